import {
  ClmmConfigLayout,
  MAX_SQRT_PRICE_X64,
  MIN_SQRT_PRICE_X64,
  PoolInfoLayout,
  swapInternal,
  TickArrayBitmapExtensionLayout,
  TickArrayBitmapUtil,
  TickArrayLayout,
  TickUtil,
} from "@raydium-io/raydium-sdk-v2";
import { PublicKey } from "@solana/web3.js";
import BN from "bn.js";
import { positive, transfers, u64 } from "./raydium.mjs";

const EXTENSION = "3c9624db61808b99";

export const prices = (ticks) => ticks.map((tick) => TickUtil.getSqrtPriceAtTick(tick).toString());

export function open(market) {
  const { owner, data } = market.accounts.get(market.pool);
  const programId = new PublicKey(owner);
  const poolId = new PublicKey(market.pool);
  const pool = PoolInfoLayout.decode(data);
  const config = ClmmConfigLayout.decode(market.accounts.get(pool.configId.toBase58()).data);
  const extension = [...market.accounts.values()].find((account) => account.data.subarray(0, 8).toString("hex") === EXTENSION);
  const tickarrayBitmapExtension = TickArrayBitmapExtensionLayout.decode(extension.data);

  const arrays = (type) =>
    TickArrayBitmapUtil.findTickArrayAddress({
      programId,
      poolId,
      tickSpacing: pool.tickSpacing,
      poolBitmap: pool.tickArrayBitmap,
      tickArrayBitmap: tickarrayBitmapExtension,
      findInfo: { type, tickArrayCurrent: pool.tickCurrent },
    }).map((address) => ({ address, value: TickArrayLayout.decode(market.accounts.get(address.toBase58()).data) }));
  const falling = arrays("zeroForOne");
  const rising = arrays("oneForZero");
  const a = transfers(market, pool.mintA);
  const b = transfers(market, pool.mintB);

  return (aToB, exactOut, amount) => {
    const [input, output] = aToB ? [a, b] : [b, a];
    const given = new BN(amount.toString());
    const result = swapInternal({
      programId,
      poolId,
      // A swap writes to the ticks that it crosses and to the pool's dynamic fee.
      poolInfo: { ...pool, dynamicFeeInfo: { ...pool.dynamicFeeInfo } },
      tickArrays: (aToB ? falling : rising).map(({ address, value }) => ({ address, value: { ...value, ticks: value.ticks.map((tick) => ({ ...tick })) } })),
      configInfo: config,
      tickarrayBitmapExtension,
      amountSpecified: positive(exactOut ? output.gross(given) : input.net(given)),
      sqrtPriceLimitX64: new BN(0),
      zeroForOne: aToB,
      isBaseInput: !exactOut,
      blockTimestamp: market.clock.unixTimestamp,
      includeExtraTickArrays: false,
    });
    if (!result.allTrade) {
      throw new Error("not filled");
    }
    const limit = aToB ? MIN_SQRT_PRICE_X64.addn(1) : MAX_SQRT_PRICE_X64.subn(1);
    const other = positive(result.amountCalculated);
    const amounts = exactOut ? { in: u64(input.gross(other)), out: given } : { in: given, out: output.net(other) };
    return { in: amounts.in.toString(), out: amounts.out.toString(), fee: result.feeAmount.toString(), atLimit: result.sqrtPriceX64.eq(limit) };
  };
}
