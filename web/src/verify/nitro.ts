/**
 * AWS Nitro attestation documents, and documents of the same format under a development root (attestation/nitro.py,
 * attestation/cose.py): COSE_Sign1 (RFC 9052) with ES384. Steps in their order, each with its own reason:
 *
 * 1. format: at most 16 KiB, no collateral, one array of four members, tagged 18 or untagged
 * 2. header: protected header ES384 exactly, unprotected empty, payload there, signature 96 bytes
 * 3. fields: the required ones, none unknown, each of its type and length
 * 4. root: SHA-256 of the whole root certificate is accepted
 * 5. chain: see chain.ts, valid at the given time
 * 6. signature: ECDSA P-384 by the leaf over the bytes as received
 */
import { concat, EMPTY, hex, same, sha256, utf8 } from "./bytes.ts";
import { CBORMap, decodeCBOR, encodeBytes, type CBORValue } from "./cbor.ts";
import { checkSpans, validate, type Leaf } from "./chain.ts";
import { HallmarkError } from "./errors.ts";
import { holdsP384 } from "./keys.ts";

const MAX_DOCUMENT = 16 * 1024;
const MAX_CERTIFICATE = 1024;
const MAX_CALLER_DATA = 512;
const PCR_SIZE = 48;
const KEPT = 64;
const HEADER = Uint8Array.of(0xa1, 0x01, 0x38, 0x22);
const TAG_SIGN1 = 0xd2;

/** The payload, every field's type and length checked; `timestamp` is unix ms. */
interface Payload {
  readonly timestamp: bigint;
  readonly pcrs: ReadonlyMap<number, Uint8Array>;
  readonly certificate: Uint8Array;
  readonly bundle: readonly Uint8Array[];
  readonly userData: Uint8Array | undefined;
  readonly nonce: Uint8Array | undefined;
}

/** What authenticated evidence says; `digest` names the signed content, 32 bytes. */
export interface Claims {
  readonly digest: Uint8Array;
  readonly registers: ReadonlyMap<string, string>;
  readonly reportData: Uint8Array | undefined;
  readonly nonce: Uint8Array | undefined;
  readonly madeAt: bigint;
  readonly debug: boolean;
}

interface Opened {
  readonly payload: Payload;
  readonly leaf: Leaf;
  readonly claims: Claims;
}

const remembered = new Map<string, Opened>();

function bad(reason: string, message: string): HallmarkError {
  return new HallmarkError(reason, message);
}

/** What a document says, if it holds at `at` (unix ms) under one of `roots` (SHA-256, hex). Raises with the step's reason. */
export function examineNitro(data: Uint8Array, collateral: Uint8Array, roots: ReadonlySet<string>, at: bigint): Claims {
  if (data.length > MAX_DOCUMENT) throw bad("evidence_too_large", `A document has at most ${MAX_DOCUMENT} bytes.`);
  if (collateral.length) throw bad("collateral_unexpected", "This kind of evidence has no collateral.");
  const name = hex(sha256(data));
  const known = remembered.get(name);
  if (known) {
    checkRoot(known.payload, roots);
    checkSpans(known.leaf.spans, at);
    return known.claims;
  }
  const [signed, signature] = readSign1(data);
  const payload = readPayload(signed);
  checkRoot(payload, roots);
  const leaf = validate(payload.certificate, payload.bundle);
  checkSpans(leaf.spans, at);
  if (!holdsP384(leaf.key, signedBytes(signed), signature)) {
    throw bad("signature_invalid", "The leaf did not sign this document.");
  }
  const claims = claimsOf(payload, sha256(signed));
  if (remembered.size >= KEPT) remembered.clear();
  remembered.set(name, { payload, leaf, claims });
  return claims;
}

/** Payload as received and signature of a COSE_Sign1. */
function readSign1(data: Uint8Array): [Uint8Array, Uint8Array] {
  const members = decodeCBOR(data[0] === TAG_SIGN1 ? data.subarray(1) : data, 2, false);
  if (!Array.isArray(members) || members.length !== 4) {
    throw bad("not_cose_sign1", "A COSE_Sign1 is an array of four members.");
  }
  const [header, unprotected, payload, signature] = members as CBORValue[];
  if (!(header instanceof Uint8Array) || !same(header, HEADER)) {
    throw bad("cose_algorithm", "The protected header must say ES384 and nothing else.");
  }
  if (!(unprotected instanceof CBORMap) || unprotected.pairs.length) {
    throw bad("cose_unprotected", "The unprotected header must be empty.");
  }
  if (!isBytes(payload, 1, Infinity) || !isBytes(signature, 96, 96)) {
    throw bad("cose_shape", "Payload or signature have a wrong shape.");
  }
  return [payload, signature];
}

/** Sig_structure of RFC 9052 section 4.4. */
function signedBytes(payload: Uint8Array): Uint8Array {
  const context = concat(Uint8Array.of(0x84, 0x6a), utf8("Signature1"));
  return concat(context, encodeBytes(HEADER), encodeBytes(EMPTY), encodeBytes(payload));
}

function isBytes(value: CBORValue | undefined, low: number, high: number): value is Uint8Array {
  return value instanceof Uint8Array && value.length >= low && value.length <= high;
}

function isPCRs(value: CBORValue): boolean {
  return (
    value instanceof CBORMap && value.pairs.length > 0 &&
    value.pairs.every(([at, pcr]) => typeof at === "bigint" && at >= 0n && at < 32n && isBytes(pcr, PCR_SIZE, PCR_SIZE))
  );
}

const optional = (low: number, high: number) => (value: CBORValue) => value === null || isBytes(value, low, high);
const RULES: ReadonlyMap<CBORValue, (value: CBORValue) => boolean> = new Map<CBORValue, (value: CBORValue) => boolean>([
  ["module_id", (value) => typeof value === "string" && value !== ""],
  ["digest", (value) => value === "SHA384"],
  ["timestamp", (value) => typeof value === "bigint" && value > 0n && value < 1n << 63n],
  ["pcrs", isPCRs],
  ["certificate", (value) => isBytes(value, 1, MAX_CERTIFICATE)],
  ["cabundle", (value) => Array.isArray(value) && value.length > 0 && value.every((der: CBORValue) => isBytes(der, 1, MAX_CERTIFICATE))],
  ["public_key", optional(1, MAX_CERTIFICATE)],
  ["user_data", optional(0, MAX_CALLER_DATA)],
  ["nonce", optional(0, MAX_CALLER_DATA)],
]);
const REQUIRED = ["cabundle", "certificate", "digest", "module_id", "pcrs", "timestamp"];

function readPayload(data: Uint8Array): Payload {
  const value = decodeCBOR(data, 3, true);
  if (!(value instanceof CBORMap)) throw bad("field_invalid", "The payload is not a map.");
  const fields = new Map(value.pairs);
  const missing = REQUIRED.find((name) => !fields.has(name));
  if (missing) throw bad("field_missing", `The payload lacks ${missing}.`);
  for (const name of fields.keys()) {
    if (!RULES.has(name)) throw bad("field_unknown", "The payload has a field that the format does not know.");
  }
  for (const [name, field] of fields) {
    if (!RULES.get(name)?.(field)) throw bad("field_invalid", "A field has a wrong type, length or value.");
  }
  const pcrs = (fields.get("pcrs") as CBORMap).pairs.map(([at, pcr]) => [Number(at), pcr as Uint8Array] as const);
  return {
    timestamp: fields.get("timestamp") as bigint,
    pcrs: new Map(pcrs),
    certificate: fields.get("certificate") as Uint8Array,
    bundle: fields.get("cabundle") as readonly Uint8Array[],
    userData: (fields.get("user_data") ?? undefined) as Uint8Array | undefined,
    nonce: (fields.get("nonce") ?? undefined) as Uint8Array | undefined,
  };
}

function checkRoot(payload: Payload, roots: ReadonlySet<string>): void {
  const digest = hex(sha256(payload.bundle[0] as Uint8Array));
  if (!roots.has(digest)) throw bad("root_not_accepted", `Root ${digest} is not accepted for this kind.`);
}

function claimsOf(payload: Payload, digest: Uint8Array): Claims {
  return {
    digest,
    registers: new Map([...payload.pcrs].map(([at, pcr]) => [`PCR${at}`, hex(pcr)])),
    reportData: payload.userData,
    nonce: payload.nonce,
    madeAt: payload.timestamp,
    debug: !payload.pcrs.get(0)?.some(Boolean),
  };
}
