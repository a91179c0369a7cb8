// What the verifier checks and compares: trees, signatures, figures, marks beside marks.
import assert from "node:assert/strict";
import { test } from "node:test";
import { ed25519 } from "@noble/curves/ed25519.js";
import { p384 } from "@noble/curves/nist.js";
import { secp256k1 } from "@noble/curves/secp256k1.js";
import { keccak_256 } from "@noble/hashes/sha3.js";
import { concat, hex, hex0x, uint, unhex, utf8 } from "../src/verify/bytes.ts";
import { compareMarks } from "../src/verify/compare.ts";
import { HallmarkError } from "../src/verify/errors.ts";
import { differences, splitBundle, Tally } from "../src/verify/figures.ts";
import { holdsEd25519, holdsP384, recover } from "../src/verify/keys.ts";
import { deriveMarks, marksJSON, type Finding } from "../src/verify/marks.ts";
import { leafHash, leads, nodeHash, rootOf, sides, verifyInclusion } from "../src/verify/tree.ts";
import { signingDigest, statementFromJSON, Receipt, unpack } from "../src/verify/typed.ts";

const refuses = (work: () => unknown, reason: string) =>
  assert.throws(work, (error) => error instanceof HallmarkError && error.reason === reason, reason);
const leaves = Array.from({ length: 21 }, (_, at) => Uint8Array.of(at, at, at));

function split(size: number): number {
  let width = 1;
  while (width * 2 < size) width *= 2;
  return width;
}

/** RFC 6962 section 2.1, word for word. */
function root(from: readonly Uint8Array[]): Uint8Array {
  if (from.length === 1) return leafHash(from[0] as Uint8Array);
  const middle = split(from.length);
  return nodeHash(root(from.slice(0, middle)), root(from.slice(middle)));
}

function path(index: number, from: readonly Uint8Array[]): Uint8Array[] {
  if (from.length === 1) return [];
  const middle = split(from.length);
  const [left, right] = [from.slice(0, middle), from.slice(middle)];
  return index < middle ? [...path(index, left), root(right)] : [...path(index - middle, right), root(left)];
}

test("roots and inclusion proofs are those of RFC 6962, at every size and place", () => {
  assert.equal(hex(rootOf([])), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  for (let size = 1; size <= leaves.length; size++) {
    const some = leaves.slice(0, size);
    const top = root(some);
    assert.equal(hex(rootOf(some)), hex(top));
    for (let index = 0; index < size; index++) {
      const leaf = some[index] as Uint8Array;
      const [at, of, proof] = [BigInt(index), BigInt(size), path(index, some)];
      verifyInclusion(leafHash(leaf), at, of, proof, top);
      assert.ok(leads(leaf, at, of, proof, top));
      assert.equal(sides(at, of).length, proof.length);
      refuses(() => verifyInclusion(leafHash(leaf), at, of, [...proof, top], top), "inclusion_proof");
      refuses(() => verifyInclusion(leafHash(leaf), of, of, proof, top), "inclusion_proof");
      refuses(() => verifyInclusion(leafHash(leaf), at, of, proof, leafHash(top)), "inclusion_proof");
      assert.ok(!leads(leaf, at, of + 1n, proof, top) || sides(at, of + 1n).length === proof.length);
      if (proof.length) refuses(() => verifyInclusion(leafHash(leaf), at, of, proof.slice(1), top), "inclusion_proof");
    }
  }
});

test("a recovered address is the signer's; high s, other v and damage are refused", () => {
  const [secret, digest] = [new Uint8Array(32).fill(7), keccak_256(utf8("statement"))];
  const made = secp256k1.sign(digest, secret, { prehash: false, format: "recovered" });
  const signature = concat(made.subarray(1), Uint8Array.of(27 + (made[0] ?? 0)));
  const address = keccak_256(secp256k1.getPublicKey(secret, false).subarray(1)).subarray(12);
  assert.equal(hex(recover(digest, signature)), hex(address));
  const s = secp256k1.Point.Fn.ORDER - BigInt(hex0x(signature.subarray(32, 64)));
  const high = concat(signature.subarray(0, 32), uint(s, 32) as Uint8Array, Uint8Array.of(signature[64] === 27 ? 28 : 27));
  for (const wrong of [high, signature.subarray(1), concat(signature.subarray(0, 64), Uint8Array.of(0)), concat(new Uint8Array(64), Uint8Array.of(27))]) {
    refuses(() => recover(digest, wrong), "bad_signature");
  }
});

test("Ed25519 takes exact encodings only", () => {
  const [secret, message] = [new Uint8Array(32).fill(9), utf8("cosignature")];
  const [key, signature] = [ed25519.getPublicKey(secret), ed25519.sign(message, secret)];
  assert.ok(holdsEd25519(key, message, signature));
  const order = ed25519.Point.Fn.ORDER;
  const s = BigInt(hex0x(Uint8Array.from(signature.subarray(32)).reverse())) + order;
  const loose = concat(signature.subarray(0, 32), Uint8Array.from(uint(s, 32) as Uint8Array).reverse());
  assert.ok(!holdsEd25519(key, message, loose));
  for (let bit = 0; bit < 512; bit += 37) {
    const wrong = Uint8Array.from(signature);
    wrong[bit >> 3] = (wrong[bit >> 3] ?? 0) ^ (1 << (bit & 7));
    assert.ok(!holdsEd25519(key, message, wrong), `bit ${bit}`);
  }
  assert.ok(!holdsEd25519(key, utf8("another"), signature));
  assert.ok(!holdsEd25519(new Uint8Array(32), message, signature));
});

test("ECDSA on P-384 takes both twins of a signature and nothing else", () => {
  const [secret, message] = [new Uint8Array(48).fill(5), utf8("document")];
  const [key, signature] = [p384.getPublicKey(secret, false), p384.sign(message, secret)];
  const s = p384.Point.Fn.ORDER - BigInt(hex0x(signature.subarray(48)));
  assert.ok(holdsP384(key, message, signature));
  assert.ok(holdsP384(key, message, concat(signature.subarray(0, 48), uint(s, 48) as Uint8Array)));
  assert.ok(!holdsP384(key, utf8("another"), signature), "remembered under another message");
  assert.ok(!holdsP384(p384.getPublicKey(new Uint8Array(48).fill(6), false), message, signature));
  assert.ok(!holdsP384(key, message, new Uint8Array(96)));
});

const base = { by: "x", at: 5n } as const;

test("the worst finding stands, else the highest, the earliest of equals; nobody waives by finding, but money by an offer", () => {
  const found: Finding[] = [
    { ...base, question: "ran", state: "witnessed" }, { ...base, question: "ran", state: "disputed", at: 9n, reason: "r" },
    { ...base, question: "ran", state: "failed", at: 8n, reason: "{by} $& $1" }, { ...base, question: "ran", state: "failed", at: 8n, reason: "later" },
    { ...base, question: "model", state: "claimed", at: 1n }, { ...base, question: "model", state: "checked", at: 7n },
    { ...base, question: "model", state: "checked", at: 6n, by: "early" }, { ...base, question: "paid", state: "not_required", detail: { what: "free" } },
    { ...base, question: "inputs", state: "not_required" },
  ];
  const marks = deriveMarks(found);
  assert.equal(marks.ran.shows, "Does not hold ({by} $& $1): ran.");
  assert.deepEqual([marks.model.state, marks.model.by], ["checked", "early"]);
  assert.equal(marks.paid.shows, "Not required, according to x: free.");
  assert.equal(marks.inputs.state, "absent");
});

test("a disagreement comes first and is said; anchored beside witnessed is explained", () => {
  const ours = marksJSON(deriveMarks([{ ...base, question: "proved", state: "witnessed" }, { ...base, question: "model", state: "failed", reason: "manifest_mismatch" }]));
  const theirs = { ...Object.fromEntries(Object.keys(ours).map((name) => [name, { state: "absent", assurance: "" }])), proved: { state: "anchored", assurance: "" }, model: { state: "witnessed", assurance: "" } };
  const [first, ...rest] = compareMarks(theirs, ours);
  assert.equal(first?.question, "model");
  assert.match(first?.sentence ?? "", /server says witnessed, this browser derives failed/);
  assert.ok(rest.every((line) => line.standing !== "apart"));
  assert.equal(compareMarks({}, ours).filter((line) => line.standing === "apart").length, 7);
});

test("what one of the two could not see contradicts nobody; another state or other hardware does", () => {
  const ran = (state: Finding["state"], assurance: string) => marksJSON(deriveMarks([{ ...base, question: "ran", state, detail: { assurance } }]));
  const standing = (server: string, word: string, here: Finding["state"], assurance: string) =>
    compareMarks({ ran: { state: server, assurance: word } }, ran(here, assurance)).find((line) => line.question === "ran")?.standing;
  assert.equal(standing("witnessed", "simulated", "claimed", "none"), "less");
  assert.equal(standing("witnessed", "simulated", "checked", "simulated"), "less");
  assert.equal(standing("claimed", "none", "witnessed", "simulated"), "more");
  assert.equal(standing("witnessed", "hardware", "witnessed", "simulated"), "apart");
  assert.equal(standing("witnessed", "hardware", "checked", "simulated"), "apart");
  assert.equal(standing("witnessed", "simulated", "failed", "none"), "apart");
  assert.equal(standing("failed", "none", "witnessed", "simulated"), "apart");
  assert.equal(standing("not_required", "", "absent", ""), "same");
});

test("figures follow from leaves, and every difference is named", () => {
  const receipt = new Uint8Array(566).fill(1);
  const statement = unpack(Receipt, receipt);
  const secret = new Uint8Array(32).fill(3);
  const signed = (node: Uint8Array, admitted: bigint): Uint8Array => {
    const fields = Uint8Array.from(receipt);
    fields.set(node, 33);
    const digest = signingDigest(unpack(Receipt, fields), 1n);
    const made = secp256k1.sign(digest, secret, { prehash: false, format: "recovered" });
    const entry = concat(Uint8Array.of(1, 8), fields, Uint8Array.of(1), made.subarray(1), Uint8Array.of(27 + (made[0] ?? 0), 0));
    return concat(uint(admitted, 8) as Uint8Array, entry);
  };
  const node = keccak_256(secp256k1.getPublicKey(secret, false).subarray(1)).subarray(12);
  const finished = statement.number("finished");
  const made = [signed(node, finished + 3n), signed(new Uint8Array(20), finished), signed(node, finished + 9n)];
  const bundle = concat(...made.flatMap((leaf) => [uint(BigInt(leaf.length), 2) as Uint8Array, leaf]));
  const tally = new Tally(1n);
  for (const leaf of splitBundle(bundle)) tally.add(leaf);
  const figures = tally.figures();
  assert.deepEqual(figures.entries, { receipt: 3 });
  assert.deepEqual(figures.receipts_by_node, { [hex0x(node)]: 2 });
  assert.deepEqual(figures.admission_gap_ms, { p50: 3, p99: 9 });
  assert.equal(figures.root, hex0x(rootOf(made)));
  assert.deepEqual(new Tally(1n).figures().admission_gap_ms, { p50: -1, p99: -1 });
  assert.deepEqual(differences(figures, figures), []);
  assert.equal(differences({ ...figures, entries: { receipt: 2, fault: 1 } }, figures).length, 2);
  for (const cut of [bundle.subarray(1), bundle.subarray(0, -1), Uint8Array.of(0)]) refuses(() => splitBundle(cut), "bad_bundle");
  refuses(() => statementFromJSON(Receipt, new Map()), "statement_fields");
  assert.equal(hex(unhex("0xAb")), "ab");
});
