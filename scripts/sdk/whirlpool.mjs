import { decodeTickArray, getOracleDecoder, getWhirlpoolDecoder } from "@orca-so/whirlpools-client";
import { swapQuoteByInputToken, swapQuoteByOutputToken, tickIndexToSqrtPrice } from "@orca-so/whirlpools-core";
import { transferFee as feeOf } from "./token.mjs";

const ORACLE = "8bc283b38cb3e5f4";
const TICK_ARRAYS = ["4561bdbe6e0742bb", "11d8f68ee1c7da38"]; // fixed, dynamic
const TICKS = 88;
const MIN_TICK = -443636;
const MAX_TICK = 443636;

export const prices = (ticks) => ticks.map((tick) => tickIndexToSqrtPrice(tick));

export function open(market) {
  const whirlpool = getWhirlpoolDecoder().decode(market.accounts.get(market.pool).data);
  const arrays = new Map();
  let oracle;
  for (const [address, { owner, data }] of market.accounts) {
    const discriminator = data.subarray(0, 8).toString("hex");
    if (discriminator === ORACLE) {
      oracle = getOracleDecoder().decode(data);
    } else if (TICK_ARRAYS.includes(discriminator)) {
      const array = decodeTickArray({ address, programAddress: owner, data: new Uint8Array(data) }).data;
      arrays.set(array.startTickIndex, array);
    }
  }

  // The three arrays that the program looks through. One that does not exist has no initialised ticks, as in the SDK's own client.
  const span = TICKS * whirlpool.tickSpacing;
  const emptyTick = { initialized: false, liquidityNet: 0n, liquidityGross: 0n, feeGrowthOutsideA: 0n, feeGrowthOutsideB: 0n, rewardGrowthsOutside: [0n, 0n, 0n] };
  const sequence = (aToB) => {
    let start = Math.floor(whirlpool.tickCurrentIndex / span) * span;
    if (!aToB && whirlpool.tickCurrentIndex + whirlpool.tickSpacing >= start + span) start += span;
    return [0, 1, 2]
      .map((n) => start + (aToB ? -n : n) * span)
      .filter((start) => start + span > MIN_TICK && start <= MAX_TICK)
      .map((startTickIndex) => arrays.get(startTickIndex) ?? { startTickIndex, ticks: Array(TICKS).fill(emptyTick) });
  };
  const falling = sequence(true);
  const rising = sequence(false);

  const transferFee = (key) => {
    const fee = feeOf(market, key);
    return fee ? { feeBps: fee.transferFeeBasisPoints, maxFee: fee.maximumFee } : undefined;
  };
  const feeA = transferFee(whirlpool.tokenMintA);
  const feeB = transferFee(whirlpool.tokenMintB);
  const now = BigInt(market.clock.unixTimestamp);

  return (aToB, exactOut, amount) => {
    const call = exactOut ? swapQuoteByOutputToken : swapQuoteByInputToken;
    const q = call(amount, exactOut !== aToB, 0, whirlpool, oracle, aToB ? falling : rising, now, feeA, feeB);
    return exactOut ? { in: q.tokenEstIn, out: q.tokenOut, fee: q.tradeFee } : { in: q.tokenIn, out: q.tokenEstOut, fee: q.tradeFee };
  };
}
