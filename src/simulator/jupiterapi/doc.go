// Package jupiterapi speaks Jupiter's HTTP APIs (swap v1, price v3, tokens v2) for a simulated market: answers in today's shapes
// with numbers that the pools would honour, both error shapes, keys and rate limits per organisation. It routes simply, over one
// or two pools, and is nobody's model of a router.
package jupiterapi
