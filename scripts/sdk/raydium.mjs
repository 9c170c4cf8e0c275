// What both of Raydium's AMMs need: its SDK's arithmetic of transfer fees, for numbers that the programs count in 64 bits.
import { getTransferAmountFeeV2 } from "@raydium-io/raydium-sdk-v2";
import { getTransferFeeConfig } from "@solana/spl-token";
import BN from "bn.js";
import { mint } from "./token.mjs";

const MAX_U64 = new BN("18446744073709551615");

// transfers of a mint: what of an amount arrives, and what to send for an amount to arrive.
export function transfers(market, key) {
  const config = getTransferFeeConfig(mint(market, key.toBase58())) ?? undefined;
  const fee = (amount, addFee) => getTransferAmountFeeV2(amount, config, { epoch: BigInt(market.clock.epoch) }, addFee).fee ?? new BN(0);
  return {
    net: (amount) => amount.sub(fee(amount, false)),
    gross: (amount) => amount.add(fee(amount, true)),
  };
}

// u64 refuses what the SDK's big numbers can be and an amount of the programs cannot.
export function u64(amount) {
  if (amount.isNeg() || amount.gt(MAX_U64)) {
    throw new Error("not an amount of 64 bits");
  }
  return amount;
}

export function positive(amount) {
  if (amount.isZero()) {
    throw new Error("zero");
  }
  return u64(amount);
}
