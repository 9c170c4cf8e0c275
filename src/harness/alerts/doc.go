// Package alerts holds only tests: what Prometheus's own rule engine makes of the alerts that the overlays render. It is a
// module of its own, since what it needs of Prometheus is far more than the project does; nothing may import it.
//
// testdata has a file per alert, with series that make it fire, and when, and series that do not.
package alerts
