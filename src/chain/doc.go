// Package chain is this project's side of Solana: RPC nodes of which the best is used, a market of pools that is loaded and
// followed, and transactions. It gives out immutable snapshots. It knows AMM programs only through package amm, and nothing
// of routes, HTTP answers or Jupiter.
//
// # Consistency
//
// A pool is several accounts, and one swap writes several of them. Read at different slots they make a pool that never
// existed, so a pool is only ever replaced whole:
//
//   - by a read: all its accounts come from one getMultipleAccounts answer, which a node takes from one bank; or
//   - by notifications: those of a slot are held back until the node has said something about a later slot on the same
//     connection, which it does only after all of the earlier one. The clock sysvar is always subscribed to and changes in each
//     slot, so that this takes one slot at most; to be faster, a quiet connection makes the held pools be read.
//
// An account that an acknowledged subscription covers and that was read after the acknowledgement is unchanged until a notification
// says otherwise. A snapshot is thus the market at Snapshot.Slot, of which some pools may already be at a later slot, each
// whole. Everything is read again now and then all the same, because a node may drop a notification.
package chain
