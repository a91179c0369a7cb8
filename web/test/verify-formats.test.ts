// The verifier's formats against the published vectors (tests/vectors) and against damage.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { base64, hex, readBase64, sha256, unhex, utf8 } from "../src/verify/bytes.ts";
import { decodeCBOR } from "../src/verify/cbor.ts";
import { parseCheckpoint } from "../src/verify/checkpoint.ts";
import { integerOf, oidOf, open, timeOf } from "../src/verify/der.ts";
import * as documents from "../src/verify/documents.ts";
import { decodeEntry, KINDS } from "../src/verify/entries.ts";
import { HallmarkError } from "../src/verify/errors.ts";
import { holdsEd25519, isEd25519Key } from "../src/verify/keys.ts";
import { canonical, parseJSON } from "../src/verify/json.ts";
import { parseKey, parseNote, timeOf as noteTime, verifyLine } from "../src/verify/note.ts";
import { Base64, Hex32, HexBytes, uint63 } from "../src/verify/schema.ts";
import { parsePolicy } from "../src/verify/quorum.ts";
import * as typed from "../src/verify/typed.ts";
import { readCertificate } from "../src/verify/x509.ts";

const vectors = (name: string) => JSON.parse(readFileSync(new URL(`../../tests/vectors/${name}.json`, import.meta.url), "utf8"));
const refuses = (work: () => unknown, reason: string) =>
  assert.throws(work, (error) => error instanceof HallmarkError && error.reason === reason, reason);
const bytes = (text: string) => unhex(`0x${text}`);
const OF_THE_VAULT = ["SpendingCeiling", "Spend"];
const layouts = Object.values(typed).filter((value): value is typed.Layout => typeof value === "object" && "typeHash" in value);

test("every statement that a dossier can hold is hashed and signed as published", () => {
  const published = vectors("typed");
  for (const layout of layouts.filter(({ name }) => !OF_THE_VAULT.includes(name))) {
    const { valid, invalid } = published[layout.name];
    const statement = typed.unpack(layout, bytes(valid.packed));
    assert.equal(hex(typed.structHash(statement)), valid.struct_hash);
    assert.equal(hex(typed.signingDigest(statement, BigInt(valid.chain_id))), valid.signing_digest);
    for (const { packed, reason } of invalid) refuses(() => typed.unpack(layout, bytes(packed)), reason);
  }
  assert.equal(layouts.length, 17 + OF_THE_VAULT.length);
});

test("a ceiling is hashed and signed in the vault's own domain; spends are held to payments.json", () => {
  const [read, file] = [parseJSON, new URL("../../tests/vectors/vault.json", import.meta.url)];
  const members = (value: unknown): Map<string, never> => (value as { table(): Map<string, never> }).table();
  const published = members(read(readFileSync(file, "utf8")));
  const ceiling = members(members(published.get("statements")).get("SpendingCeiling"));
  const statement = typed.statementFromJSON(typed.SpendingCeiling, members(ceiling.get("message")));
  assert.equal(hex(typed.structHash(statement)), ceiling.get("struct_hash"));
  const vault = unhex(members(published.get("vault")).get("contract") ?? "");
  assert.equal(hex(typed.vaultDigest(statement, published.get("chain_id") ?? 0n, vault)), ceiling.get("digest"));
});

test("every document that a dossier can hold has its published digest, and no second spelling", () => {
  const published = vectors("documents");
  const known = ["KeyBundle", "Measurement", "Manifest", "Parameters", "UpstreamRecord", "RouteRecord", "InputRecord", "Candidates", "EnclaveConfiguration", "ClearingPolicy", "AttestationPolicy", "Offer", "Payment", "Basis", "Making"] as const;
  for (const name of known) {
    const type = documents[name] as documents.DocumentType<unknown>;
    const { tag, valid, invalid } = published[name];
    assert.equal(type.tag, tag);
    const read = documents.readDocument(type, utf8(valid.bytes));
    assert.equal(hex(documents.documentDigest(type, read)), valid.digest);
    for (const { bytes: wrong, reason } of invalid) refuses(() => documents.readDocument(type, utf8(wrong)), reason);
    const { sealed } = published[name];
    if (sealed) assert.equal(hex(documents.documentDigest(type, documents.readDocument(type, utf8(sealed.bytes)))), sealed.digest);
  }
});

test("every kind of entry is read as published, and damage is refused", () => {
  const published = vectors("entries");
  for (const [number, [kind]] of KINDS) {
    const { kind: stated, valid, invalid } = published[kind.toUpperCase()];
    assert.equal(stated, number);
    const entry = decodeEntry(bytes(valid.bytes));
    assert.equal(entry.kind, kind);
    assert.equal(entry.signatures.length, valid.signatures);
    for (const { bytes: wrong } of invalid) refuses(() => decodeEntry(bytes(wrong)), "bad_entry");
  }
  assert.deepEqual(Object.keys(published).sort(), [...KINDS.values()].map(([kind]) => kind.toUpperCase()).sort());
});

test("base64 has one spelling", () => {
  for (const size of [0, 1, 2, 3, 4, 255]) {
    const data = Uint8Array.from({ length: size }, (_, at) => (at * 7 + size) & 255);
    const text = base64(data);
    assert.equal(text, Buffer.from(data).toString("base64"));
    assert.deepEqual(readBase64(text), data);
  }
  for (const wrong of ["A", "AA", "AAA", "AB==", "AAB=", "A===", "====", "AA=A", "AA==\n", "A A=", "__==", "\u00c3AAA"]) {
    assert.equal(readBase64(wrong), undefined, wrong);
  }
});

test("JSON is read strictly", () => {
  assert.equal(parseJSON('{"a":{"a":1},"b":18446744073709551616}') instanceof Object, true);
  const twice = ['{"a":1,"a":1}', '[{"b":{"a":1,"c":2,"a":null}}]', '{"a":1,"\\u0061":2}', '{"":1,"":2}'];
  for (const text of twice) {
    refuses(() => parseJSON(text), "bad_json");
    assert.equal(parseJSON(text, true) instanceof Object, true);
  }
  for (const wrong of ["", "{", "01", "1.", ".5", "-", "+1", "NaN", "1e400", '"\\x"', '"\\ud800"', '"\\udc00\\ud800"', '"\u0007"', "[1,]", '{"a":1,}', "{a:1}", "1 2", "\ufeff1", "9".repeat(4301)]) {
    refuses(() => parseJSON(wrong), "bad_json");
  }
  refuses(() => parseJSON(Uint8Array.of(0x22, 0xff, 0x22)), "bad_json");
  assert.equal(canonical({ b: 1, "\u{10000}": 2n, "\uffff": 3, a: "\u2028\u007f\n" }), '{"a":"\u2028\u007f\\n","b":1,"\uffff":3,"\u{10000}":2}');
});

test("hexadecimal and base64 texts end with their digits, positions and times have 63 bits", () => {
  const [digits, most] = ["00".repeat(32), (1n << 63n) - 1n];
  assert.equal(Hex32.read(`0x${digits}`), `0x${digits}`);
  for (const wrong of [`0x${digits}\n`, `\n0x${digits}`, `0x${digits}0`, digits]) refuses(() => Hex32.read(wrong), "bad_value");
  refuses(() => HexBytes.read("0x\n"), "bad_value");
  refuses(() => Base64.read("AAAA\n"), "bad_value");
  refuses(() => unhex("0x00\n"), "bad_hex");
  assert.deepEqual([0n, most].map((value) => uint63.read(value)), [0n, most]);
  for (const wrong of [-1n, most + 1n, 1n << 64n, -(1n << 70n), "1", null]) refuses(() => uint63.read(wrong), "bad_value");
});

test("CBOR has no tags, no repeated keys, bounded nesting, nothing behind", () => {
  const decode = (text: string, indefinite = true) => decodeCBOR(bytes(text), 3, indefinite);
  assert.equal(decode("1bffffffffffffffff"), (1n << 64n) - 1n);
  assert.equal(decode("7f6161ff"), "a");
  assert.deepEqual(decode("5f41014102ff"), Uint8Array.of(1, 2));
  for (const wrong of ["", "18", "1c", "3f", "ff", "5f6161ff", "7f61c361a9ff", "61ff", "c000", "d9d9f700", "f818", "fc", "9bffffffffffffffff", "8181818180", "a200000000", "a20000f400", "a20000f9000000", "a241000041000 0".replace(" ", ""), "bf01ff", "81ff"]) {
    refuses(() => decode(wrong), "bad_cbor");
  }
  refuses(() => decode("0000"), "trailing_bytes");
  refuses(() => decode("9fff", false), "bad_cbor");
});

test("DER has one spelling", () => {
  assert.equal(integerOf(open(bytes("3003020180"), 0x30).take(2)), -128n);
  assert.equal(oidOf(open(bytes("300706052b81040022"), 0x30).take(6)), "2b81040022");
  assert.equal(timeOf(open(bytes(`300f170d${Buffer.from("491231235959Z").toString("hex")}`), 0x30).take()), BigInt(Date.UTC(2049, 11, 31, 23, 59, 59)));
  for (const wrong of ["30", "3080", "308100", "30820001ff", "3000ff", "1f8100"]) refuses(() => open(bytes(wrong), 0x30).end(), "certificate_unreadable");
  for (const wrong of ["30020200", "300402020001", "30040202ffff"]) refuses(() => integerOf(open(bytes(wrong), 0x30).take(2)), "certificate_unreadable");
  for (const wrong of ["000230000000Z", "490229000000Z", "491231236060Z", "4912312359Z"]) {
    const text = Buffer.from(wrong).toString("hex");
    refuses(() => timeOf(open(bytes(`30${(wrong.length + 2).toString(16).padStart(2, "0")}17${wrong.length.toString(16).padStart(2, "0")}${text}`), 0x30).take()), "certificate_unreadable");
  }
});

test("certificates are read as published, as far as they matter and no further", () => {
  for (const { why, der, read } of vectors("certificates")) {
    if (read === null) {
      refuses(() => readCertificate(bytes(der)), "certificate_unreadable");
      continue;
    }
    const found = readCertificate(bytes(der));
    const { constraints, usage } = found;
    const told = {
      issuer: found.issuer, subject: found.subject, first: Number(found.notBefore), last: Number(found.notAfter),
      key: found.key ? hex(found.key) : null, critical: found.critical,
      constraints: constraints ? [constraints.critical, constraints.ca, constraints.pathLength?.toString() ?? null] : null,
      usage: usage ? [usage.critical, usage.digitalSignature, usage.certSign] : null,
    };
    assert.deepEqual(told, read, why);
  }
});

test("an Ed25519 key is the canonical encoding of a point that is not of small order", () => {
  for (const { why, key, sound } of vectors("keys")) {
    assert.equal(isEd25519Key(bytes(key)), sound, `${why} ${key}`);
    const id = hex(sha256(utf8("key\n"), Uint8Array.of(4), bytes(key)).subarray(0, 4));
    const vkey = `key+${id}+${base64(Uint8Array.of(4, ...bytes(key)))}`;
    if (sound) assert.equal(parseKey(vkey).name, "key");
    else refuses(() => parseKey(vkey), "bad_vkey");
  }
});

test("Ed25519 signatures with odd points and numbers hold here when they hold in Python", () => {
  for (const { why, key, message, signature, holds } of vectors("signatures")) {
    assert.equal(holdsEd25519(bytes(key), bytes(message), bytes(signature)), holds, why);
  }
});

// The example of the Go package golang.org/x/mod/sumdb/note, and that of c2sp.org/tlog-cosignature.
const KEY = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW";
const NOTE = "If you think cryptography is the answer to your problem,\nthen you don't know what your problem is.\n\n\u2014 PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n";
const SOFA = "example.com/behind-the-sofa\n20852163\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n\n\u2014 example.com/behind-the-sofa Az3grlgtzPICa5OS8npVmf1Myq/5IZniMp+ZJurmRDeOoRDe4URYN7u5/Zhcyv2q1gGzGku9nTo+zyWE+xeMcTOAYQ8=\n\u2014 witness.example.com/w1 jWbPPwAAAABkGFDLEZMHwSRaJNiIDoe9DYn/zXcrtPHeolMI5OWXEhZCB9dlrDJsX3b2oyin1nPZqhf5nNo0xUe+mbIUBkBIfZ+qnA==\n";

test("published notes and checkpoints are read, and a changed text is refused", () => {
  const [key, note] = [parseKey(KEY), parseNote(utf8(NOTE))];
  const line = note.signatures[0];
  assert.ok(line);
  verifyLine(key, note.text, line);
  refuses(() => verifyLine(key, utf8("another text\n"), line), "note_signature");
  const sofa = parseNote(utf8(SOFA));
  assert.equal(parseCheckpoint(sofa.text).size, 20852163n);
  assert.equal(noteTime(sofa.signatures[1] ?? line), 1679315147_000n);
  const witness = { name: "w", kind: 4, publicKey: new Uint8Array(32), id: new Uint8Array(4) };
  for (const seconds of [0n, (1n << 63n) / 1000n + 1n, (1n << 63n) - 1n, (1n << 64n) - 1n]) {
    const data = bytes(seconds.toString(16).padStart(16, "0") + "00".repeat(64));
    const said = (error: unknown) => error instanceof HallmarkError && error.message.includes("no usable time");
    assert.throws(() => verifyLine(witness, note.text, { name: "w", keyId: witness.id, data }), said);
  }
  for (const wrong of [NOTE.slice(0, -1), NOTE.replace("\n\n", "\n"), NOTE.replace("x08go", "x08g\u0001"), NOTE.replace("AM=", "AN="), NOTE.replace("\u2014 ", "- ")]) {
    refuses(() => parseNote(utf8(wrong)), "bad_note");
  }
  for (const wrong of [KEY.replace("c74f20a3", "c74f20a4"), KEY.replace("+AR", "+BR"), `Peter ${KEY}`, "x"]) refuses(() => parseKey(wrong), "bad_vkey");
});

test("a quorum policy counts a key once, in one way", () => {
  const trust = vectors("network").trust as string;
  const text = trust.slice(trust.indexOf("log "), trust.indexOf("quorum full-nodes") + "quorum full-nodes".length);
  assert.equal(parsePolicy(text).witnesses.length, 4);
  const lines = text.split("\n");
  const witness = lines.find((line) => line.startsWith("witness")) ?? "";
  const swap = (from: RegExp, to: string) => text.replace(from, to);
  for (const wrong of [
    "", swap(/quorum .*/, ""), `${text}\nquorum none`, swap(/quorum .*/, "quorum nobody"), `${witness.replace("full-node-0", "again")}\n${text}`,
    swap(/group full-nodes 3/, "group full-nodes 5"), swap(/group full-nodes 3/, "group full-nodes 0"), swap(/group full-nodes 3/, "group full-nodes 03"),
    swap(/full-node-3$/m, "full-node-0"), swap(/full-node-3$/m, "nobody"), swap(/^log/m, "lag"), `${text}\r`, swap(/^witness/m, "log"),
  ]) {
    refuses(() => parsePolicy(wrong), "bad_policy");
  }
});
