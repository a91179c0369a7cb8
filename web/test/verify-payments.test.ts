// Payments by the shared vectors: what the Python verifier refuses, this one refuses, with the same reason.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { utf8 } from "../src/verify/bytes.ts";
import { amount, prices } from "../src/verify/payment-words.ts";
import { parseTrust } from "../src/verify/trust.ts";
import { verifyDossier } from "../src/verify/verify.ts";

interface Vectors {
  readonly now: number;
  readonly trust_json: string;
  readonly base: { readonly documents: object };
  readonly cases: readonly { readonly name: string; readonly state: string; readonly reason: string; readonly changes: { readonly documents?: object } }[];
}

const file = new URL("../../tests/vectors/payments.json", import.meta.url);
const { now, trust_json, base, cases } = JSON.parse(readFileSync(file, "utf8")) as Vectors;
const trust = parseTrust(trust_json);

test("every field of record, offer and authorization counts, and what an enclave signs wrongly is refused", () => {
  for (const { name, state, reason, changes } of cases) {
    const saved = { ...base, ...changes, documents: { ...base.documents, ...changes.documents } };
    const { paid } = verifyDossier(utf8(JSON.stringify(saved)), trust, now).marks;
    // The evidence of this network is of no kind that a browser knows: what holds is the node's word.
    const known = state === "checked" ? "claimed" : state;
    assert.deepEqual([name, paid.state, paid.reason], [name, known, reason]);
  }
  assert.ok(cases.length > 70);
});

test("amounts are shown whole, and a symbol is no sentence", () => {
  const asset = { chain_id: 1n, address: `0x${"11".repeat(20)}`, decimals: 6n, symbol: "DEV", name: "", version: "", development: true };
  const shown = (changes: object): string => amount(1_234_567_000n, { ...asset, ...changes });
  assert.equal(shown({}), "1,234.567 DEV");
  assert.equal(shown({ decimals: 0n }), "1,234,567,000 DEV");
  assert.equal(shown({ decimals: 18n }), "0.000000001234567 DEV");
  for (const change of [{ symbol: "money that is guaranteed" }, { symbol: "" }, { decimals: -3n }, { decimals: 19n }]) {
    assert.equal(shown(change), "1234567000 atomic units of token 0x111111...1111");
  }
  const count = { tokens_in: 7n, tokens_out: 2n, images: 0n, milliseconds: 0n };
  const price = { label: "", million_tokens_in: 1_000_000n, million_tokens_out: 2_000_000n, image: 3_000_000n, second: 4_000_000n, call: 5_000_000n };
  const record = { asset, ...count } as unknown as Parameters<typeof prices>[0];
  assert.equal(
    prices(record, price),
    "7 tokens in at 1.00 DEV a million, 2 tokens out at 2.00 DEV a million, 0 images at 3.00 DEV each, " +
      "0 ms at 4.00 DEV for each second begun, one call at 5.00 DEV",
  );
});
