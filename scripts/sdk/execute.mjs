// Executes transactions with real programs in a local Solana runtime. The first line of input names the programs,
//   {"programs": {"id": "path of its binary", ...}}             -> {"blockhash": "..."}
// and every further one a market and transactions on it, each of which starts from the same accounts and those of its own:
//   {"accounts": {...}, "clock": {...}, "transactions": [{"transaction": "base64", "accounts": {...}, "watch": [key, ...]}, ...]}
//     -> {"results": [{"instructions": ["program id", ...], "error", "units", "amounts": ["...", ...]}, ...]}
// amounts are the balances of the token accounts to watch afterwards.
import assert from "node:assert/strict";
import readline from "node:readline";
import { AccountLayout } from "@solana/spl-token";
import { VersionedTransaction } from "@solana/web3.js";
import { Clock, FailedTransactionMetadata, LiteSVM } from "litesvm";

const svm = new LiteSVM().withTransactionHistory(0n);

function setAccounts(accounts) {
  for (const [address, account] of Object.entries(accounts)) {
    const data = Buffer.from(account?.data ?? "", "base64");
    svm.setAccount({
      address,
      data,
      programAddress: account?.owner ?? "11111111111111111111111111111111",
      lamports: account ? svm.minimumBalanceForRentExemption(BigInt(data.length)) + BigInt(account.lamports ?? 0) : 0n,
      executable: false,
    });
  }
}

function execute({ transaction, accounts, watch }) {
  setAccounts(accounts);
  const decoded = VersionedTransaction.deserialize(Buffer.from(transaction, "base64"));
  const { message } = decoded;
  assert.equal(decoded.version, 0);
  const signatures = decoded.signatures.map((signature, i) => [message.staticAccountKeys[i].toBase58(), signature]);
  const outcome = svm.sendTransaction({ messageBytes: message.serialize(), signatures: Object.fromEntries(signatures) });
  const failed = outcome instanceof FailedTransactionMetadata;
  const meta = failed ? outcome.meta() : outcome;
  return {
    instructions: message.compiledInstructions.map(({ programIdIndex }) => message.staticAccountKeys[programIdIndex].toBase58()),
    error: failed ? `${outcome.err()}; ${meta.logs().slice(-4).join("; ")}` : "",
    units: Number(meta.computeUnitsConsumed()),
    amounts: failed ? [] : watch.map((key) => AccountLayout.decode(svm.getAccount(key).data).amount.toString()),
  };
}

for await (const line of readline.createInterface({ input: process.stdin })) {
  const question = JSON.parse(line);
  let answer;
  if (question.programs) {
    for (const [id, path] of Object.entries(question.programs)) svm.addProgramFromFile(id, path);
    answer = { blockhash: svm.latestBlockhash() };
  } else {
    const { slot, epoch, unixTimestamp } = question.clock;
    svm.setClock(new Clock(BigInt(slot), 0n, BigInt(epoch), BigInt(epoch), BigInt(unixTimestamp)));
    answer = {
      results: question.transactions.map((transaction) => {
        setAccounts(question.accounts);
        return execute(transaction);
      }),
    };
  }
  process.stdout.write(JSON.stringify(answer) + "\n");
}
