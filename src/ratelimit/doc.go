// Package ratelimit holds rates across replicas through Redis: the clients' limits, as a limiter.Store, and the budget of
// calls to an upstream that meters all replicas as one. It knows rates, keys and time, and neither HTTP nor who the clients
// are.
package ratelimit
