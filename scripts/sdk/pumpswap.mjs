import { buyBaseInput, buyQuoteInput, computeFeesBps, PUMP_AMM_SDK, sellBaseInput } from "@pump-fun/pump-swap-sdk";
import { AccountLayout, MintLayout } from "@solana/spl-token";
import { PublicKey } from "@solana/web3.js";
import BN from "bn.js";

const GLOBAL_CONFIG = "95089ccaa0fcb0d9";
const FEE_CONFIG = "8f3492bbdb7b4c9b";
const MAX_U64 = new BN("18446744073709551615");

export function open(market) {
  const find = (discriminator) => [...market.accounts.values()].find(({ data }) => data.subarray(0, 8).toString("hex") === discriminator);
  const balance = (key) => new BN(AccountLayout.decode(market.accounts.get(key.toBase58()).data).amount.toString());
  const pool = PUMP_AMM_SDK.decodePool(market.accounts.get(market.pool));
  const reserves = {
    baseReserve: balance(pool.poolBaseTokenAccount),
    quoteReserve: balance(pool.poolQuoteTokenAccount),
    virtualQuoteReserves: pool.virtualQuoteReserves,
  };
  const bps = computeFeesBps({
    ...pool,
    baseReserve: reserves.baseReserve,
    quoteReserve: reserves.quoteReserve.add(pool.virtualQuoteReserves),
    globalConfig: PUMP_AMM_SDK.decodeGlobalConfig(find(GLOBAL_CONFIG)),
    feeConfig: PUMP_AMM_SDK.decodeFeeConfig(find(FEE_CONFIG)),
    baseMintSupply: new BN(MintLayout.decode(market.accounts.get(pool.baseMint.toBase58()).data).supply.toString()),
  });
  const rates = [bps.lpFeeBps, bps.protocolFeeBps, ...(pool.coinCreator.equals(PublicKey.default) ? [] : [bps.creatorFeeBps])];
  // Without a fee config the SDK takes the rates of the global one, and need not find them again for every amount.
  const state = {
    ...reserves,
    slippage: 0,
    feeConfig: null,
    globalConfig: { lpFeeBasisPoints: bps.lpFeeBps, protocolFeeBasisPoints: bps.protocolFeeBps, coinCreatorFeeBasisPoints: bps.creatorFeeBps },
    baseMintAccount: { supply: 0n },
    coinCreator: pool.coinCreator,
  };

  // What a buyer with an amount pays, which the SDK's buyQuoteInput works out and does not tell: fees on top of the net amount that leave it within the
  // amount but for their rounding, which then comes off the net amount.
  const spent = (amount) => {
    const net = amount.muln(10_000).div(rates.reduce((sum, rate) => sum.add(rate), new BN(10_000)));
    return BN.min(amount, rates.reduce((sum, rate) => sum.add(net.mul(rate).addn(9999).divn(10_000)), net));
  };

  const sell = (base) => {
    const { uiQuote, internalQuoteAmountOut } = sellBaseInput({ ...state, base });
    return { in: base, out: uiQuote, fee: internalQuoteAmountOut.sub(uiQuote) };
  };
  const sells = (base, amount) => {
    try {
      return sell(base).out.gte(amount);
    } catch (error) {
      return error.message.startsWith("Insufficient real quote reserves"); // the only reason to sell less
    }
  };
  // The program has no sale for an exact amount, and the SDK's own inverse is not exact: the least of its sales that gives the amount is. As fees
  // are rounded up each for itself, the curve can give one unit more and the seller receive a little less.
  const reserve = reserves.quoteReserve.add(pool.virtualQuoteReserves);
  const smallestSale = (amount) => {
    let low = new BN(0);
    let high = MAX_U64.sub(reserves.baseReserve);
    if (!sells(high, amount)) {
      throw new Error("no sale gives the amount");
    }
    while (high.sub(low).gtn(1)) {
      const middle = low.add(high).shrn(1);
      if (sells(middle, amount)) high = middle;
      else low = middle;
    }
    const gross = reserve.mul(high).div(reserves.baseReserve.add(high));
    for (let less = 4; less > 0; less--) {
      const curve = gross.subn(less);
      const base = reserves.baseReserve.mul(curve).add(reserve.sub(curve)).subn(1).div(reserve.sub(curve));
      if (!curve.isNeg() && sells(base, amount)) {
        return sell(base);
      }
    }
    return sell(high);
  };

  return (aToB, exactOut, amount) => {
    const given = new BN(amount.toString());
    let quote;
    if (aToB) {
      quote = exactOut ? smallestSale(given) : sell(given);
    } else if (exactOut) {
      const { uiQuote, internalQuoteAmount } = buyBaseInput({ ...state, base: given });
      quote = { in: uiQuote, out: given, fee: uiQuote.sub(internalQuoteAmount) };
    } else {
      const { base, internalQuoteWithoutFees: net } = buyQuoteInput({ ...state, quote: given });
      quote = { in: spent(given), out: base, fee: spent(given).sub(net) };
    }
    for (const amount of [quote.in, quote.out]) {
      if (amount.isNeg() || amount.gt(MAX_U64)) throw new Error("not an amount of 64 bits");
    }
    return { in: quote.in.toString(), out: quote.out.toString(), fee: quote.fee.toString() };
  };
}
