/**
 * Canonical documents that statements commit to (core/document.py, core/documents.py): exact UTF-8 JSON, fields in
 * declared order, map keys sorted, integers only. Digest: SHA-256(TAG || 0x00 || bytes).
 */
import { sha512 } from "@noble/hashes/sha2.js";
import { concat, readUTF8, same, sha256, utf8 } from "./bytes.ts";
import { HallmarkError, translated } from "./errors.ts";
import { parseJSON } from "./json.ts";
import {
  boolean, Hex20, Hex32, Hex48, HexBytes, integer, list, nullable, optional, struct, table, text, uint63, withDefault,
} from "./schema.ts";
import type { Of, Type } from "./schema.ts";

/** A kind of document: its tag and the type of its content. */
export interface DocumentType<T> {
  readonly tag: string;
  readonly type: Type<T>;
}

function document<T>(name: string, type: Type<T>): DocumentType<T> {
  return { tag: `hallmark/${name}/v1`, type };
}

const ZERO = "0x" + "00".repeat(32);
const string = text();
const texts = list(string);
const NO_TEXTS: readonly string[] = [];

const HPKEKey = struct({ id: uint63, kem: uint63, kdf: uint63, aead: uint63, public_key: HexBytes });

/** All keys that requests are sealed to: the root over all windows, when the first begins, how long each lasts. */
const Sealing = struct({ root: Hex32, since: uint63, every: uint63, count: uint63 });
export type Sealing = Of<typeof Sealing>;

export const KeyBundle = document("key-bundle", struct({
  network: Hex32, owner: Hex20, endpoint: string, payment: Hex20, epoch: uint63, signing_key: Hex20,
  hpke: list(HPKEKey), tls_spki: Hex32, image: Hex48, configuration: Hex32, artifacts: list(Hex32), mode: uint63,
  capacity: uint63, engine: string, upstreams: withDefault(texts, NO_TEXTS), settlement: optional(Hex20),
  sealing: optional(Sealing),
}));
export type KeyBundle = Of<typeof KeyBundle.type>;

export const Measurement = document("measurement", struct({
  name: string, version: string, evidence: string, registers: table(HexBytes), source: string,
  not_after: withDefault(uint63, 0n),
}));
export type Measurement = Of<typeof Measurement.type>;

export const Manifest = document("manifest", struct({
  label: string, version: string, artifact: Hex32, sha256: Hex32, size: uint63, format: string, task: string,
  card: Hex32, derived_from: withDefault(string, ""),
}));
export type Manifest = Of<typeof Manifest.type>;

export const Parameters = document("parameters", struct({
  task: string, max_tokens: withDefault(integer, 0n), temperature: withDefault(integer, 0n),
  top_p: withDefault(integer, 1_000_000n), top_k: withDefault(integer, 0n), stop: withDefault(texts, NO_TEXTS),
  node_nonce: withDefault(Hex32, ZERO), seed: withDefault(integer, 0n), engine: withDefault(string, ""),
  trace_root: optional(Hex32), trace_leaves: optional(uint63),
}));
export type Parameters = Of<typeof Parameters.type>;

export const UpstreamRecord = document("upstream", struct({
  provider: string, url: string, label: string, asserted_model: string, response_id: string,
  tls_spki: withDefault(string, ""),
}));
export type UpstreamRecord = Of<typeof UpstreamRecord.type>;

const Attempt = struct({ node: Hex20, outcome: string });

/** How a sealed request came; `relay` is the client's own word. */
const SealedPath = struct({ configuration: Hex32, window: uint63, suite: string, size: uint63, relay: withDefault(string, "") });
export type SealedPath = Of<typeof SealedPath>;

export const RouteRecord = document("route", struct({
  ticket: Hex32, path: string, saw_prompt: texts, chosen: Hex20, attempts: withDefault(list(Attempt), []),
  sealed: optional(SealedPath),
}));
export type RouteRecord = Of<typeof RouteRecord.type>;

export const InputRecord = document("input", struct({
  kind: string, content: Hex32, source: string, as_of: withDefault(integer, 0n),
}));
export type InputRecord = Of<typeof InputRecord.type>;

const Candidate = struct({ node: Hex20, bundle: Hex32 });
const Exclusion = struct({ node: Hex20, reason: string });

export const Candidates = document("candidates", struct({
  model: string, mode: integer, candidates: list(Candidate), excluded: list(Exclusion),
}));

export const EnclaveConfiguration = document("configuration", struct({
  network: Hex32, chain_id: integer, owner: Hex20, endpoint: string, payment: Hex20, mode: integer, capacity: integer,
  models: table(Hex32), upstreams: table(string), limits: table(integer), insecure: withDefault(texts, NO_TEXTS),
}));
export type EnclaveConfiguration = Of<typeof EnclaveConfiguration.type>;

const Requirement = struct({
  question: string, state: string, verifiers: withDefault(texts, NO_TEXTS), max_age: withDefault(uint63, 0n),
  assurance: withDefault(texts, ["hardware"]), count: withDefault(uint63, 0n),
});
export type Requirement = Of<typeof Requirement>;

export const ClearingPolicy = document("clearing-policy", struct({
  name: string, version: uint63, requires: list(Requirement), not_required: withDefault(texts, NO_TEXTS),
  enforcement: withDefault(string, "enforce"), classes: withDefault(texts, NO_TEXTS),
  min_value: withDefault(uint63, 0n), sla: withDefault(uint63, 0n), dispute_window: withDefault(uint63, 0n),
  resample: withDefault(uint63, 50_000n),
}));
export type ClearingPolicy = Of<typeof ClearingPolicy.type>;

export const AttestationPolicy = document("attestation-policy", struct({
  name: string, version: uint63, kinds: texts, roots: table(list(Hex32)), max_age: uint63, skew: uint63,
  tcb_statuses: withDefault(texts, ["UpToDate"]), denied_advisories: withDefault(texts, NO_TEXTS),
  snp_products: withDefault(texts, ["Genoa", "Turin"]), debug: withDefault(boolean, false),
}));
export type AttestationPolicy = Of<typeof AttestationPolicy.type>;

const Asset = struct({
  chain_id: uint63, address: Hex20, decimals: uint63, symbol: string, name: string, version: string,
  development: withDefault(boolean, false),
});
export type Asset = Of<typeof Asset>;
const count = withDefault(uint63, 0n);
const Price = struct({
  label: string, million_tokens_in: count, million_tokens_out: count, image: count, second: count, call: count,
});
export type Price = Of<typeof Price>;
/** Whether two prices say the same. */
export function samePrice(one: Price, two: Price): boolean {
  return Price.write(one) === Price.write(two);
}
/** Whether two assets, or their absence, are the same. */
export function sameAsset(one: Asset | null, two: Asset | null): boolean {
  return nullable(Asset).write(one) === nullable(Asset).write(two);
}

export const Offer = document("offer", struct({
  network: Hex32, owner: Hex20, payee: Hex20, asset: nullable(Asset), vault: nullable(Hex20), prices: list(Price),
  free: struct({ tokens_in: count, tokens_out: count, everything: withDefault(boolean, false), models: withDefault(texts, NO_TEXTS) }),
  since: uint63, until: uint63,
}));
export type Offer = Of<typeof Offer.type>;

const Amount = text(/^(0|[1-9][0-9]{0,28})$/);
const Rail = text(/^(free|vault|exact|upto|batch-settlement|token)$/);

export const Payment = document("payment", struct({
  network: Hex32, offer: Hex32, rail: Rail, payer: nullable(Hex20), payee: Hex20, account: uint63,
  asset: nullable(Asset), price: nullable(Price), request: Hex32, authorization: Hex32, tokens_in: uint63,
  tokens_out: uint63, images: uint63, milliseconds: uint63, reserved: Amount, charged: Amount, position: uint63,
}));
export type Payment = Of<typeof Payment.type>;

/** A public key of 2,048 bits: RSASSA-PSS with SHA-384, 48 bytes of salt, exponent 65,537 (RFC 9578 section 6.5). */
const TokenKey = text(new RegExp(
  "^0x30820152303d06092a864886f70d01010a3030a00d300b0609608648016503040202a11a301806092a864886f70d010108300b06096086480165" +
  "03040202a2030201300382010f003082010a0282010100[89a-f][0-9a-f]{510}[13579bdf]0203010001$",
));

export const IssuerKeys = document("issuer-keys", struct({
  network: Hex32, issuer: Hex20, asset: Asset, unit: uint63, epoch: uint63, since: uint63, until: uint63,
  keys: list(TokenKey),
}));
export type IssuerKeys = Of<typeof IssuerKeys.type>;

/** What somebody who says how an answer turned out rests that on (core/outcomes.py). */
export const Basis = document("outcome-basis", struct({
  kind: string, rests_on: Hex32, name: withDefault(string, ""), parameters: withDefault(string, ""),
  inputs: withDefault(texts, NO_TEXTS),
}));
export type Basis = Of<typeof Basis.type>;

const Figure = struct({ name: string, value: uint63, unit: string, of: uint63 });

/** What an owner says of how a model was made from another (core/derivations.py). */
export const Making = document("derivation", struct({
  tool: string, version: string, parameters: withDefault(string, ""),
  figures: withDefault(list(Figure), [] as readonly Of<typeof Figure>[]),
}));
export type Making = Of<typeof Making.type>;

/** Reads exact bytes. Raises `bad_document` unless they are well-formed and canonical. */
export function readDocument<T>(type: DocumentType<T>, data: Uint8Array): T {
  const bad = () => new HallmarkError("bad_document", "This is not a document of that type in canonical form.");
  const told = readUTF8(data);
  if (told === undefined) throw bad();
  const value = translated(() => type.type.read(parseJSON(told)), bad);
  if (!same(utf8(type.type.write(value)), data)) throw bad();
  return value;
}

/** SHA-256(tag || 0x00 || exact bytes); 32 bytes. */
export function digestOf(type: { readonly tag: string }, data: Uint8Array): Uint8Array {
  return sha256(utf8(type.tag + "\0"), data);
}

/** Digest of a value's canonical bytes. */
export function documentDigest<T>(type: DocumentType<T>, value: T): Uint8Array {
  return digestOf(type, utf8(type.type.write(value)));
}

/** SHA-512(tag || 0x00 || exact bytes): the 64 bytes that hardware evidence binds. */
export function reportData(type: { readonly tag: string }, data: Uint8Array): Uint8Array {
  return sha512(concat(utf8(type.tag + "\0"), data));
}
