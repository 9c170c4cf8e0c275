// Quotes swaps with an AMM's official SDK. Every line of input is a question and gets one line of answer:
//   {"prices": [tick or bin, ...]}                              -> {"prices": ["its price as the program counts it", ...]}
//   {"pool": key, "accounts": {...}, "clock": {...}, "swaps": [...]} -> {"quotes": [{"in", "out", "fee"} or {"error"}, ...]}
// Usage: node quote.mjs whirlpool
import readline from "node:readline";
import vm from "node:vm";

console.log = console.info = console.warn = console.error; // the SDKs must not write between the answers

// A module has prices(indexes) where its AMM has ticks or bins, and open(market), which gives a function that quotes one swap of that market and
// throws where the SDK refuses.
const sdk = await import(`./${process.argv[2]}.mjs`);

// within ends a call that takes as long as only an endless loop does.
const call = new vm.Script("bounded()");
function within(milliseconds, bounded) {
  globalThis.bounded = bounded;
  return call.runInThisContext({ timeout: milliseconds });
}

function answer(question) {
  if (question.prices) {
    return { prices: sdk.prices(question.prices, question.step) };
  }
  const accounts = Object.entries(question.accounts).map(([key, { owner, data }]) => [key, { owner, data: Buffer.from(data, "base64") }]);
  const quote = sdk.open({ ...question, accounts: new Map(accounts) });
  return {
    quotes: question.swaps.map(({ aToB, exactOut, amount }) => {
      try {
        return within(2000, () => quote(aToB, exactOut, BigInt(amount)));
      } catch (error) {
        return { error: `${error?.message ?? error}` };
      }
    }),
  };
}

for await (const line of readline.createInterface({ input: process.stdin })) {
  process.stdout.write(JSON.stringify(answer(JSON.parse(line)), (_, value) => (typeof value === "bigint" ? value.toString() : value)) + "\n");
}
