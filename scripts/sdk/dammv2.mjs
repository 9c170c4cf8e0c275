import { CpAmm, swapQuoteExactInput, swapQuoteExactOutput } from "@meteora-ag/cp-amm-sdk";
import { Connection } from "@solana/web3.js";
import BN from "bn.js";
import { mint } from "./token.mjs";

const MAX_U64 = new BN("18446744073709551615");
const BY_TIME = 1;

const { coder } = new CpAmm(new Connection("http://127.0.0.1"))._program; // it is never called

export function open(market) {
  const pool = coder.accounts.decode("pool", market.accounts.get(market.pool).data);
  const { slot, epoch, unixTimestamp } = market.clock;
  const point = new BN(pool.activationType === BY_TIME ? unixTimestamp : slot);
  const [a, b] = [pool.tokenAMint, pool.tokenBMint].map((key) => ({ mint: mint(market, key.toBase58()), currentEpoch: epoch }));

  return (aToB, exactOut, amount) => {
    const call = exactOut ? swapQuoteExactOutput : swapQuoteExactInput;
    const given = new BN(amount.toString());
    const q = call(pool, point, given, 0, aToB, false, a.mint.decimals, b.mint.decimals, aToB ? a : b, aToB ? b : a);
    const [paid, received] = exactOut ? [q.maximumAmountIn, given] : [given, q.minimumAmountOut];
    for (const amount of [paid, received]) {
      if (amount.isNeg() || amount.gt(MAX_U64)) throw new Error("not an amount of 64 bits");
    }
    const fee = q.claimingFee.add(q.compoundingFee).add(q.protocolFee).add(q.referralFee);
    return { in: paid.toString(), out: received.toString(), fee: fee.toString() };
  };
}
