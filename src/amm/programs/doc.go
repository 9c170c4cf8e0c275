// Package programs lists the deployed AMM programs of each cluster. It is the one place that knows every AMM package.
package programs
