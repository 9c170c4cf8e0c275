// Mints, as SPL Token's own library reads them.
import { getEpochFee, getTransferFeeConfig, unpackMint } from "@solana/spl-token";
import { PublicKey } from "@solana/web3.js";

export function mint(market, key) {
  const account = market.accounts.get(key);
  const info = { ...account, owner: new PublicKey(account.owner), lamports: 1, executable: false };
  return unpackMint(new PublicKey(key), info, info.owner);
}

// transferFee is {transferFeeBasisPoints, maximumFee} of the market's epoch, or null.
export function transferFee(market, key) {
  const config = getTransferFeeConfig(mint(market, key));
  return config && getEpochFee(config, BigInt(market.clock.epoch));
}
