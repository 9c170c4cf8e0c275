// Package ratelimit holds rates across replicas through Redis: the clients' limits, as a limiter.Store. It knows rates,
// keys and time, and neither HTTP nor who the clients are.
package ratelimit
