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
//     slot, so that this takes one slot.
//
// An account that an acknowledged subscription covers, and that was read after the acknowledgement, is unchanged until a notification
// says otherwise. So while the stream is up a snapshot is the market at Snapshot.Slot, all pools of one slot; only a pool that had to be
// read for itself (it names new accounts, a notification came too late) can be of a later one. Without a stream each pool is of
// the slot that it was last read at, and Snapshot.Slot is the oldest. Everything is read again now and then all the same,
// because a node may drop a notification.
package chain
