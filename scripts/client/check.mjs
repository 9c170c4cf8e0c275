// Asks a quote and a swap transaction through the gateway with Jupiter's official client, unchanged but for its base path,
// and decodes the transaction with @solana/web3.js. Usage: node check.mjs http://127.0.0.1:8080
import assert from "node:assert/strict";
import { Configuration, SwapApi } from "@jup-ag/api";
import { PublicKey, VersionedTransaction } from "@solana/web3.js";

const gateway = process.argv[2] ?? "http://127.0.0.1:8080";
const SOL = "So11111111111111111111111111111111111111112";
const USDC = "EPjFWdd5AufqSSqeM2qN1xzybapC8G4wEGGkZwyTDt1v";
// A seeded key pair would do as well: nothing is signed, only the public key is sent.
const user = new PublicKey("9WzDXwBbmkg8ZTbNMqUxvQRAyrZzDsGYdLVL9zYtAWWM");

for (const prefix of ["/swap/v1", "/v6", ""]) {
  const client = new SwapApi(new Configuration({ basePath: gateway + prefix }));
  const quote = await client.quoteGet({ inputMint: SOL, outputMint: USDC, amount: 1_000_000_000, slippageBps: 50 });
  assert.equal(quote.inAmount, "1000000000");
  assert.ok(BigInt(quote.outAmount) > 0n, "the quote has an output");

  const swap = await client.swapPost({ swapRequest: { userPublicKey: user.toBase58(), quoteResponse: quote } });
  const transaction = VersionedTransaction.deserialize(Buffer.from(swap.swapTransaction, "base64"));
  const { staticAccountKeys, compiledInstructions } = transaction.message;
  assert.ok(staticAccountKeys[0].equals(user), "the user pays for the transaction");
  assert.ok(swap.lastValidBlockHeight > 0);

  console.log(
    `${prefix || "/"}: 1 SOL -> ${Number(quote.outAmount) / 1e6} USDC over ${quote.routePlan.map((step) => step.swapInfo.label)}; ` +
      `transaction of ${compiledInstructions.length} instructions, ${staticAccountKeys.length} accounts, version ${transaction.version}`,
  );
}
