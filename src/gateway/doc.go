// Package gateway is the tier's public HTTP surface: Jupiter's API under the paths that its clients use, and the policies
// between a client and an upstream, one file each. It treats quotes as opaque bytes and knows nothing of pools or routes.
package gateway
