// Asks a quote and a swap transaction through the gateway with Jupiter's official client, unchanged but for its base path,
// and decodes the transaction with @solana/web3.js. Usage: node check.mjs http://127.0.0.1:8080
import assert from "node:assert/strict";
import { PublicKey, VersionedTransaction } from "@solana/web3.js";

const gateway = process.argv[2] ?? "http://127.0.0.1:8080";
const SOL = "So11111111111111111111111111111111111111112";
const USDC = "EPjFWdd5AufqSSqeM2qN1xzybapC8G4wEGGkZwyTDt1v";
// Nothing is signed: any public key will do.
const user = new PublicKey("9WzDXwBbmkg8ZTbNMqUxvQRAyrZzDsGYdLVL9zYtAWWM");

for (const version of ["@jup-ag/api-6.0.40", "@jup-ag/api-6.0.42", "@jup-ag/api"]) {
  const { Configuration, SwapApi } = await import(version);
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

    const labels = await client.programIdToLabelGet();
    const dexes = quote.routePlan.map((step) => step.swapInfo.label);
    assert.ok(dexes.every((label) => Object.values(labels).includes(label)), `${dexes} are among the labels`);

    console.log(
      `${version} ${prefix || "/"}: 1 SOL -> ${Number(quote.outAmount) / 1e6} USDC over ${dexes}; ` +
        `transaction of ${compiledInstructions.length} instructions, ${staticAccountKeys.length} accounts, version ${transaction.version}`,
    );
  }
}
