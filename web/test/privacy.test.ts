// Sealing: the draft's own example, and what a response may not suffer.
import assert from "node:assert/strict";
import { existsSync, readFileSync } from "node:fs";
import { resolve } from "node:path";
import { test } from "node:test";
import { x25519 } from "@noble/curves/ed25519.js";
import { concat, hex, hex0x, uint, utf8 } from "../src/verify/bytes.ts";
import { rootOf } from "../src/verify/tree.ts";
import { ResponseParser } from "../src/privacy/binary-http.ts";
import { receiver, sender } from "../src/privacy/hpke.ts";
import { xwingPublicKey } from "../src/privacy/kem.ts";
import { drawn } from "../src/privacy/node.ts";
import { Relay } from "../src/privacy/relay.ts";
import { FrameReader, padRequest, requestClass } from "../src/privacy/padding.ts";
import { varint } from "../src/privacy/varint.ts";
import { decodeConfiguration, decodeConfigurations, encodeConfiguration, verifyWindow } from "../src/privacy/key-configurations.ts";
import { ClientRequest, ResponseReader } from "../src/privacy/ohttp.ts";

const bytes = (text: string): Uint8Array => Uint8Array.from(Buffer.from(text, "hex"));
const folder = process.env["HALLMARK_VECTORS"] ?? resolve(import.meta.dirname, "..", "..", "..", "shared", "vectors");
const draft = resolve(folder, "ohttp", "chunked_draft_08.json");
const absent = existsSync(draft) ? false : "no recorded vectors; set HALLMARK_VECTORS";

test("the example of the chunked draft, byte for byte, in pieces of every size", { skip: absent }, async () => {
  const vector = JSON.parse(readFileSync(draft, "utf8")) as Record<string, string> & { request_chunks: number[]; response_chunks: number[] };
  const of = (name: string): Uint8Array => bytes(vector[name] ?? "");
  const configuration = decodeConfiguration(of("key_config"));
  assert.equal(hex(encodeConfiguration(configuration)), vector["key_config"]);
  const listed = concat(Uint8Array.of(0, of("key_config").length), of("key_config"));
  assert.deepEqual(decodeConfigurations(listed), [configuration]);
  const request = await ClientRequest.to(configuration, { kem: 0x20, kdf: 1, aead: 1 }, of("ephemeral_secret_key"));
  const parts = [request.header];
  let at = 0;
  for (const [number, size] of vector.request_chunks.entries()) {
    const last = number === vector.request_chunks.length - 1;
    parts.push(await request.seal(of("request").subarray(at, at + size), last));
    at += size;
  }
  assert.equal(hex(concat(...parts)), vector["encapsulated_request"]);
  const sealed = of("encapsulated_response");
  for (let size = 1; size <= sealed.length; size += 1) {
    const reader = request.response();
    const opened: Uint8Array[] = [];
    for (let from = 0; from < sealed.length; from += size) opened.push(...(await reader.feed(sealed.slice(from, from + size))));
    opened.push(await reader.end());
    assert.equal(hex(concat(...opened)), vector["response"]);
  }
  const flipped = Uint8Array.from(sealed);
  flipped[20] = (flipped[20] ?? 0) ^ 1;
  await refused(request.response(), flipped, "sealed_tampered");
  for (let cut = 0; cut < sealed.length; cut += 1) {
    await refused(request.response(), sealed.slice(0, cut), cut < sealed.length - 16 ? "sealed_truncated" : "sealed_truncated sealed_tampered");
  }
});

async function refused(reader: ResponseReader, sealed: Uint8Array, reasons: string): Promise<void> {
  let reason = "";
  try {
    await reader.feed(sealed);
    await reader.end();
  } catch (error) {
    reason = (error as { reason?: string }).reason ?? String(error);
  }
  assert.ok(reasons.split(" ").includes(reason), `${reason} instead of ${reasons}`);
}



const text = (data: Uint8Array): string => new TextDecoder().decode(data);
const known = (status: number, fields: readonly [string, string][], content: string): Uint8Array => {
  const lines = fields.flatMap(([name, value]) => [sized(name), sized(value)]);
  return concat(varint(1), varint(status), sizedBytes(concat(...lines)), sized(content), varint(0));
};
const sizedBytes = (data: Uint8Array): Uint8Array => concat(varint(data.length), data);
const sized = (value: string): Uint8Array => sizedBytes(utf8(value));

test("a response is read in either form, in pieces of every size, with padding and without its empty end", () => {
  const fields: readonly [string, string][] = [["content-type", "text/plain"], ["a", "1"], ["a", "2"]];
  const lines = fields.flatMap(([name, value]) => [sized(name), sized(value)]);
  const open = concat(varint(3), varint(103), sized("link"), sized("x"), varint(0), varint(200), ...lines, varint(0), sized("Sev"), sized("en."), varint(0), varint(0));
  for (const whole of [known(200, fields, "Seven."), open, concat(open, new Uint8Array(40)), open.subarray(0, open.length - 1)]) {
    for (let size = 1; size <= whole.length; size += 1) {
      const parser = new ResponseParser();
      let content = "";
      for (let at = 0; at < whole.length; at += size) content += text(parser.feed(whole.slice(at, at + size)));
      parser.end();
      assert.equal(content, "Seven.");
      assert.equal(parser.head?.status, 200);
      assert.equal(parser.head.headers.get("a"), "1, 2");
    }
  }
});

test("a response that breaks off, has padding that says something or a field that is none is refused", () => {
  const whole = known(200, [["a", "b"]], "Seven.");
  const malformed = [whole.subarray(0, whole.length - 3), concat(whole, Uint8Array.of(0, 1)), known(99, [], ""), known(200, [["A", "b"]], ""), known(103, [], ""), Uint8Array.of(7)];
  for (const data of malformed) {
    assert.throws(() => {
      const parser = new ResponseParser();
      parser.feed(data);
      parser.end();
    }, { reason: "bad_binary_http" });
  }
});

test("frames give their data whatever pieces they come in, and only zeros beside it", () => {
  const framed = (data: string, size: number): Uint8Array => {
    const whole = new Uint8Array(size);
    whole.set(concat(uint(BigInt(data.length), 4) ?? new Uint8Array(), utf8(data)));
    return whole;
  };
  const whole = concat(framed("Sev", 256), framed("", 256), framed("e".repeat(300), 512), framed("n.", 256));
  for (const size of [1, 3, 255, 256, 257, whole.length]) {
    const reader = new FrameReader();
    let data = "";
    for (let at = 0; at < whole.length; at += size) data += text(reader.feed(whole.slice(at, at + size)));
    reader.end();
    assert.equal(data, `Sev${"e".repeat(300)}n.`);
  }
  const spoiled = framed("x", 256);
  spoiled[200] = 1;
  assert.throws(() => new FrameReader().feed(spoiled), { reason: "bad_padding" });
  assert.throws(() => new FrameReader().feed(Uint8Array.of(0xff, 0, 0, 0)), { reason: "bad_padding" });
  const half = new FrameReader();
  half.feed(whole.slice(0, 100));
  assert.throws(() => half.end(), { reason: "bad_padding" });
  assert.deepEqual([1, 1024, 1025, 40_000].map((size) => requestClass(size)), [1024, 1024, 2048, 65536]);
  assert.equal(padRequest(new Uint8Array(1500)).length, 2048);
});

test("keys are those of the window that is now, as the schedule fixes them", () => {
  const blobs = [1, 2, 3, 4, 5].map((each) => Uint8Array.of(each));
  const leaves = blobs.map((blob, window) => concat(uint(BigInt(window), 8) ?? new Uint8Array(), blob));
  const root = hex0x(rootOf(leaves));
  const sealing = { root, since: 1_000n, every: 100n, count: 5n };
  // The path of leaf 4 of five is the root of the first four.
  const path = [hex0x(rootOf(leaves.slice(0, 4)))];
  const last = blobs[4] as Uint8Array;
  verifyWindow(sealing, 4n, last, path, 1_400n);
  for (const now of [1_400n - 120_000n, 1_499n, 1_499n + 120_000n]) verifyWindow(sealing, 4n, last, path, now);
  const wrong = (reason: string, ...args: Parameters<typeof verifyWindow>): void => assert.throws(() => verifyWindow(...args), { reason });
  wrong("key_window_over", sealing, 4n, last, path, 1_399n - 200_000n);
  wrong("key_window_over", sealing, 4n, last, path, 1_500n + 200_000n);
  wrong("key_window_over", sealing, 5n, last, path, 1_500n);
  wrong("key_configuration_unproven", sealing, 4n, blobs[3] as Uint8Array, path, 1_400n);
  wrong("key_configuration_unproven", sealing, 4n, last, [], 1_400n);
});

test("X-Wing and X25519 agree with themselves, and a point of small order is refused", async () => {
  const seed = new Uint8Array(32).fill(7);
  for (const [kem, key] of [[0x647a, xwingPublicKey(seed)], [0x20, x25519.getPublicKey(seed)]] as const) {
    for (const aead of [1, 3]) {
      const suite = { kem, kdf: 1, aead };
      const [enc, mine] = await sender(suite, key, utf8("info"), new Uint8Array(64).fill(9));
      const theirs = await receiver(suite, seed, enc, utf8("info"));
      for (const word of ["one", "two"]) assert.equal(text(await theirs.open(utf8("aad"), await mine.seal(utf8("aad"), utf8(word)))), word);
      assert.deepEqual(mine.export(utf8("x"), 32), theirs.export(utf8("x"), 32));
    }
  }
  await assert.rejects(sender({ kem: 0x20, kdf: 1, aead: 1 }, new Uint8Array(32), utf8(""), seed), { reason: "bad_hpke_key" });
  await assert.rejects(sender({ kem: 0x647a, kdf: 1, aead: 1 }, new Uint8Array(1216).fill(255), utf8(""), new Uint8Array(64)), { reason: "bad_hpke_key" });
});

test("a draw takes each of three as often", () => {
  const counts = [0, 0, 0];
  let next = 0;
  for (let at = 0; at < 3000; at += 1) counts[drawn(3, () => (next = (next + 1_431_655_765) % 2 ** 32))]! += 1;
  assert.ok(counts.every((count) => count > 900), String(counts));
});

test("a relay that wants tokens is told from one that refuses otherwise, and by no other way is anything sent", async (t) => {
  const secret = x25519.utils.randomSecretKey();
  const keys = encodeConfiguration({ id: 0, kem: 0x20, publicKey: x25519.getPublicKey(secret), symmetric: [[1, 1]] });
  const blob = concat(Uint8Array.of(0, keys.length), keys);
  const request = { method: "GET", scheme: "https", authority: "hallmark.invalid", path: "/", headers: [], content: new Uint8Array() };
  const reasons = { relay_token_missing: "relay_wants_token", relay_token_invalid: "relay_wants_token", relay_token_spent: "relay_refused" };
  for (const [code, reason] of Object.entries(reasons)) {
    const fetched = t.mock.method(globalThis, "fetch", async () => new Response(JSON.stringify({ error: { code } }), { status: 401 }));
    const asked = new Relay("https://relay.test").exchange({ to: "gateway", keys: blob, request, signal: null });
    await assert.rejects(asked, (error: { reason: string; hint: string }) => error.reason === reason && error.hint !== "");
    assert.equal(fetched.mock.callCount(), 1);
    fetched.mock.restore();
  }
});
