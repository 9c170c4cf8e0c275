import { createRequire } from "node:module";
import { Connection, PublicKey } from "@solana/web3.js";
import BN from "bn.js";
import { mint } from "./token.mjs";

// Only the SDK's CommonJS half can be loaded by node.
const DLMM = createRequire(import.meta.url)("@meteora-ag/dlmm");
const { createProgram, decodeAccount, getQPriceFromId } = DLMM;

const BIN_ARRAY = "5c8e5cdc059446b5";
const EXTENSION = "506f7c7137ed1205";
const MAX_U64 = new BN("18446744073709551615");

const program = createProgram(new Connection("http://127.0.0.1")); // for its account decoders; it is never called

export const prices = (bins, step) => bins.map((bin) => getQPriceFromId(new BN(bin), new BN(step)).toString());

export function open(market) {
  // The SDK takes the machine's clock for the chain's.
  Date.now = () => market.clock.unixTimestamp * 1000;

  const accounts = (discriminator, name) =>
    [...market.accounts]
      .filter(([, { data }]) => data.subarray(0, 8).toString("hex") === discriminator)
      .map(([key, { data }]) => ({ publicKey: new PublicKey(key), account: decodeAccount(program, name, data) }));
  const lbPair = decodeAccount(program, "lbPair", market.accounts.get(market.pool).data);
  const pair = Object.assign(Object.create(DLMM.prototype), {
    lbPair,
    tokenX: { mint: mint(market, lbPair.tokenXMint.toBase58()) },
    tokenY: { mint: mint(market, lbPair.tokenYMint.toBase58()) },
    clock: { epoch: new BN(market.clock.epoch) },
    binArrayBitmapExtension: accounts(EXTENSION, "binArrayBitmapExtension")[0] ?? null,
  });
  const binArrays = accounts(BIN_ARRAY, "binArray");

  return (aToB, exactOut, amount) => {
    const given = new BN(amount.toString());
    const q = exactOut ? pair.swapQuoteExactOut(given, aToB, new BN(0), binArrays) : pair.swapQuote(given, aToB, new BN(0), binArrays, false);
    const [paid, received] = exactOut ? [q.inAmount, given] : [q.consumedInAmount, q.outAmount];
    for (const amount of [paid, received]) {
      if (amount.isNeg() || amount.gt(MAX_U64)) throw new Error("not an amount of 64 bits");
    }
    // Of an exact output the protocol's fee includes what the pair gives beyond it, in units of the output.
    const fee = exactOut ? undefined : q.fee.add(q.protocolFee).toString();
    return { in: paid.toString(), out: received.toString(), fee };
  };
}
