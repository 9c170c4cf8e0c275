// Package whirlpool quotes Orca Whirlpool pools: static and adaptive fees, fixed, dynamic and absent tick arrays, splash pools. It follows
// programs/whirlpool of orca-so/whirlpools (manager/swap_manager.rs, manager/fee_rate_manager.rs, math, util/sparse_swap.rs) and
// knows nothing of where accounts come from.
package whirlpool
