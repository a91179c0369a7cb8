// The vectors that Python wrote: tests/vectors/sealing.json, every one of them that a client meets.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { resolve } from "node:path";
import { test } from "node:test";
import { concat, hex, hex0x, utf8 } from "../src/verify/bytes.ts";
import { encodeRequest, ResponseParser } from "../src/privacy/binary-http.ts";
import { receiver, sender, type Suite } from "../src/privacy/hpke.ts";
import { KEMS } from "../src/privacy/kem.ts";
import { decodeConfiguration, decodeConfigurations, verifyWindow } from "../src/privacy/key-configurations.ts";
import { ClientRequest, ResponseReader } from "../src/privacy/ohttp.ts";
import { checkNode, readNode } from "../src/privacy/node.ts";
import { FrameReader, requestClass } from "../src/privacy/padding.ts";
import { parseTrust } from "../src/verify/trust.ts";

// Written by our own tests/vectors/sealing.py, so its form is known.
const vectors = JSON.parse(readFileSync(resolve(import.meta.dirname, "../../tests/vectors/sealing.json"), "utf8")) as any;
const bytes = (text: string): Uint8Array => Uint8Array.from(Buffer.from(text, "hex"));
const secret = bytes(vectors.secret_key);
const reasonOf = async (work: () => unknown): Promise<string> => {
  try {
    await work();
    return "";
  } catch (error) {
    return (error as { reason?: string }).reason ?? String(error);
  }
};

test("HPKE contexts seal, open and export the same bytes", async () => {
  for (const { kem, kdf, aead, public_key, ephemeral_secret_key, encapsulated_key, info, messages, exports } of vectors.hpke) {
    const suite: Suite = { kem, kdf, aead };
    const theirs = await receiver(suite, secret, bytes(encapsulated_key), bytes(info));
    const made = ephemeral_secret_key ? await sender(suite, bytes(public_key), bytes(info), bytes(ephemeral_secret_key)) : undefined;
    if (made) assert.equal(hex(made[0]), encapsulated_key);
    for (const { message, aad, sealed } of messages) {
      if (made) assert.equal(hex(await made[1].seal(bytes(aad), bytes(message))), sealed);
      assert.equal(hex(await theirs.open(bytes(aad), bytes(sealed))), message);
    }
    for (const { context, size, value } of exports) assert.equal(hex(theirs.export(bytes(context), size)), value);
  }
});

test("key configurations are read alike, and refused alike", async () => {
  for (const { bytes: data, known } of vectors.configurations.valid) {
    const read = decodeConfigurations(bytes(data));
    const plain = read.map(({ id, kem, publicKey, symmetric }) => ({ key_id: id, kem, public_key: hex(publicKey), symmetric: symmetric.map((pair) => [...pair]) }));
    assert.deepEqual(plain, known);
  }
  for (const { why, bytes: data, reason } of vectors.configurations.invalid) assert.equal(await reasonOf(() => decodeConfigurations(bytes(data))), reason, why);
});

/** The reader of a response as whoever made the request has it. */
async function reader(vector: { chunked: boolean; configuration: string; aead: number; ephemeral_secret_key?: string; encapsulated_key?: string }): Promise<{ reader: () => ResponseReader; request: ClientRequest | undefined }> {
  const configuration = decodeConfiguration(bytes(vector.configuration));
  const suite = { kem: configuration.kem, kdf: 1, aead: vector.aead };
  if (vector.ephemeral_secret_key) {
    const request = await ClientRequest.to(configuration, suite, bytes(vector.ephemeral_secret_key), vector.chunked);
    return { request, reader: () => request.response() };
  }
  const number = (value: number): Uint8Array => Uint8Array.of(value >> 8, value & 255);
  const header = concat(Uint8Array.of(configuration.id), number(suite.kem), number(1), number(suite.aead));
  const label = vector.chunked ? "message/bhttp chunked" : "message/bhttp";
  const enc = bytes(vector.encapsulated_key ?? "");
  const context = await receiver(suite, secret, enc, concat(utf8(`${label} request\0`), header));
  const size = vector.aead === 1 ? 16 : 32;
  return { request: undefined, reader: () => new ResponseReader(enc, context.export(utf8(`${label} response`), size), vector.aead, size, vector.chunked) };
}

async function opened(one: ResponseReader, sealed: Uint8Array, size: number): Promise<string> {
  const parts: Uint8Array[] = [];
  for (let at = 0; at < sealed.length; at += size) parts.push(...(await one.feed(sealed.slice(at, at + size))));
  parts.push(await one.end());
  return hex(concat(...parts));
}

test("sealed requests and responses are the same bytes", async () => {
  assert.deepEqual(new Set(vectors.ohttp.map((one: { configuration: string }) => decodeConfiguration(bytes(one.configuration)).kem)), new Set(KEMS.keys()));
  for (const vector of vectors.ohttp) {
    const { request, reader: fresh } = await reader(vector);
    if (request) {
      const parts = [request.header];
      for (const [at, part] of vector.request.entries()) parts.push(await request.seal(bytes(part), at === vector.request.length - 1));
      assert.equal(hex(concat(...parts)), vector.sealed_request);
    }
    const sealed = bytes(vector.sealed_response);
    for (const size of [1, 7, sealed.length]) assert.equal(await opened(fresh(), sealed, size), vector.response.join(""));
  }
});

test("a response that was cut, moved, repeated or changed is refused for the same reason, after the same pieces", async () => {
  const { responses, ...request } = vectors.ohttp_refused;
  const { reader: fresh } = await reader({ chunked: true, ...request });
  for (const { why, sealed, opened: pieces, reason } of responses) {
    const one = fresh();
    const found: string[] = [];
    const told = await reasonOf(async () => {
      for (const byte of bytes(sealed)) found.push(...(await one.feed(Uint8Array.of(byte))).map(hex));
      found.push(hex(await one.end()));
    });
    assert.deepEqual([told, found], [reason, pieces], why);
  }
});

test("Binary HTTP is read and written alike", async () => {
  for (const { bytes: data, status, headers, content } of vectors.binary_http.responses.valid) {
    const parser = new ResponseParser();
    let said = "";
    for (const byte of bytes(data)) said += hex(parser.feed(Uint8Array.of(byte)));
    parser.end();
    const wanted = new Map<string, string>();
    for (const [name, value] of headers as [string, string][]) wanted.set(name, wanted.has(name) ? `${wanted.get(name)}, ${value}` : value);
    assert.deepEqual([parser.head?.status, said, parser.head?.headers], [status, content, wanted]);
  }
  for (const { why, bytes: data, reason } of vectors.binary_http.responses.invalid) {
    const told = await reasonOf(() => {
      const parser = new ResponseParser();
      parser.feed(bytes(data));
      parser.end();
    });
    assert.equal(told, reason, why);
  }
  for (const { why, bytes: data, method, scheme, authority, path, headers, content, trailers, encoded } of vectors.binary_http.requests.valid) {
    if (!encoded || trailers.length > 0) continue;
    assert.equal(hex(encodeRequest({ method, scheme, authority, path, headers, content: bytes(content) })), data, why);
  }
});

test("size classes and frames are the same", async () => {
  for (const [size, found] of vectors.padding.request_classes) assert.equal(requestClass(size), found);
  for (const { data, frame } of vectors.padding.frames) {
    const one = new FrameReader();
    assert.equal(hex(one.feed(bytes(frame))), data);
    one.end();
  }
  for (const { why, bytes: data, reason } of vectors.padding.invalid) {
    const told = await reasonOf(() => {
      const one = new FrameReader();
      one.feed(bytes(data));
      one.end();
    });
    assert.equal(told, reason, why);
  }
});

test("a window's keys are those of the schedule, at the same times", async () => {
  const { since, every, count, root, windows, refused } = vectors.schedule;
  const sealing = { root, since: BigInt(since), every: BigInt(every), count: BigInt(count) };
  const check = ({ window, blob, path, at }: { window: number; blob: string; path: string[]; at: number }): void =>
    verifyWindow(sealing, BigInt(window), bytes(blob), path.map((step) => hex0x(bytes(step))), BigInt(at));
  for (const one of windows) {
    check(one);
    assert.deepEqual(decodeConfigurations(bytes(one.blob)).map(({ id }) => id), one.key_ids);
  }
  for (const one of refused) assert.equal(await reasonOf(() => check(one)), one.reason, one.why);
});

test("a node that runs without a check is refused, and each of them is named", async () => {
  for (const { why, shown, candidate, trust_json, now, insecure, reason } of vectors.nodes) {
    const check = (): unknown => checkNode(readNode(utf8(shown)), candidate, parseTrust(trust_json), BigInt(now));
    // Evidence that is a stub ends every other way here.
    assert.equal(await reasonOf(check), reason || "evidence_rejected", why);
    if (reason === "node_insecure") assert.throws(check, { message: new RegExp(`: ${insecure.join(", ")}\\.$`) });
  }
});
