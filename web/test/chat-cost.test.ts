// The running cost of a conversation, the price of a model and what is left: words that say no more than is known.
import assert from "node:assert/strict";
import { test } from "node:test";
import { troubleOf } from "../src/chat/api.ts";
import { costWords, leftWords, priceWords } from "../src/chat/cost.ts";

const asset = { chain_id: 31_337, address: `0x${"11".repeat(20)}`, decimals: 6, symbol: "DEV", name: "", version: "1", development: true };
const dossier = (payment: object | null): Map<string, string> =>
  new Map([["documents", JSON.stringify(payment === null ? {} : { payment: JSON.stringify(payment) })]]);
const charged = (units: string): Map<string, string> => dossier({ rail: "vault", charged: units, asset });
const free = dossier({ rail: "free", charged: "0", asset: null });

test("a conversation costs what the payment records of its answers say, added up exactly", () => {
  assert.equal(costWords([]), "");
  const told = costWords([charged("3"), charged("9007199254740993"), free, dossier(null)]);
  assert.match(told, /9,007,199,254\.740996 DEV \(development money\) charged for 2 answers/);
  assert.match(told, /1 answer for nothing, by the offer; 1 answer without a payment record\.$/);
  assert.match(costWords([dossier({ rail: "vault", charged: "many" })]), /1 answer without a payment record/);
  assert.match(costWords([dossier({ rail: "vault", charged: "5", asset: null })]), /5 atomic units charged for 1 answer/);
});

const offer = (more: object) => ({ asset, nodes: [{ models: ["tiny"] }], prices: [], free: {}, ...more });
const priced = { prices: [{ label: "tiny", million_tokens_in: 150_000, million_tokens_out: 600_000 }] };

test("a model's price says what is for nothing, and that this page signs no payments where it is not", () => {
  assert.match(priceWords("tiny", []), /nobody is charged/);
  assert.match(priceWords("other", [offer(priced)]), /nobody is charged/);
  assert.match(priceWords("tiny", [offer({ free: { everything: true } })]), /for nothing, by the offer/);
  assert.match(priceWords("tiny", [offer({ free: { models: ["tiny"] } })]), /for nothing, by the offer/);
  const small = priceWords("tiny", [offer({ ...priced, free: { tokens_in: 4000, tokens_out: 512 } })]);
  assert.match(small, /^Requests of at most 4000 tokens in and 512 out for nothing\. Above that it costs 0\.15 DEV \(development money\) for a million tokens in/);
  assert.match(small, /This page signs no payments, so what has a price is not answered here\. Ask in a terminal with hallmark ask --pay/);
  assert.match(priceWords("tiny", [offer(priced)]), /^It costs 0\.15 DEV/);
  assert.match(priceWords("tiny", [offer({})]), /has no price for it/);
});

test("what is left is what the account's page says, and unknown is said to be unknown", () => {
  const balance = { shown: "4.99 DEV", development: true, leases: 1 };
  assert.equal(leftWords({ balances: [balance] }), "Left: 4.99 DEV (development money, worth nothing) in no lease, beside 1 open lease.");
  assert.match(leftWords({ balances: [], chain: "This explorer reads no chain." }), /No vault account .* This explorer reads no chain\./);
  assert.match(leftWords("x"), /No vault account/);
});

test("a refusal for payment says that this page does not sign, and what to do instead", () => {
  const body = { error: { code: "payment_required", message: "This costs. Pay.", hint: "Pay." } };
  const trouble = troubleOf(body, 402);
  assert.equal(trouble.reason, "payment_required");
  assert.match(trouble.hint, /^This page signs no payments\. Ask in a terminal with hallmark ask --pay .* hallmark up --small-free\.$/);
  assert.equal(troubleOf(body, 500).hint, "Pay.");
});
