import { CpmmConfigInfoLayout, CpmmPoolInfoLayout, CurveCalculator } from "@raydium-io/raydium-sdk-v2";
import { AccountLayout } from "@solana/spl-token";
import BN from "bn.js";
import { positive, transfers, u64 } from "./raydium.mjs";

export function open(market) {
  const pool = CpmmPoolInfoLayout.decode(market.accounts.get(market.pool).data);
  const config = CpmmConfigInfoLayout.decode(market.accounts.get(pool.configId.toBase58()).data);
  const side = (letter) => {
    const vault = AccountLayout.decode(market.accounts.get(pool[`vault${letter}`].toBase58()).data);
    const owed = pool[`protocolFeesMint${letter}`].add(pool[`fundFeesMint${letter}`]).add(pool[`creatorFeesMint${letter}`]);
    return { reserve: new BN(vault.amount.toString()).sub(owed), ...transfers(market, pool[`mint${letter}`]) };
  };
  const a = side("A");
  const b = side("B");
  const creatorRate = pool.enableCreatorFee ? config.creatorFeeRate : new BN(0);

  return (aToB, exactOut, amount) => {
    const [input, output] = aToB ? [a, b] : [b, a];
    const creatorOnInput = pool.feeOn === 0 || (pool.feeOn === 1) === aToB;
    const call = exactOut ? CurveCalculator.swapBaseOutput : CurveCalculator.swapBaseInput;
    const curve = (amount) =>
      call(amount, input.reserve, output.reserve, config.tradeFeeRate, creatorRate, config.protocolFeeRate, config.fundFeeRate, creatorOnInput);
    const given = new BN(amount.toString());
    if (!exactOut) {
      const q = curve(positive(input.net(given)));
      return { in: given.toString(), out: u64(output.net(q.outputAmount)).toString(), fee: q.tradeFee.add(q.creatorFee).toString() };
    }
    const q = curve(u64(output.gross(given)));
    u64(q.newOutputVaultAmount); // negative where the pool does not have the amount
    return { in: u64(input.gross(u64(q.inputAmount))).toString(), out: given.toString(), fee: q.tradeFee.add(q.creatorFee).toString() };
  };
}
