// Package jupiter is Jupiter's HTTP API as a Go caller or server sees it: wire types, request parsing, both error shapes,
// and the upstream client. It holds no policy: no limits, no retries, no caching.
package jupiter
