/**
 * Unlinkable tokens that paid (core/tokens.py, crypto/token_keys.py): RSASSA-PSS with SHA-384 (RFC 8017) under an issuer's
 * key set, one key for each value. A token is RFC 9577's, type 0x0002 of RFC 9578.
 */
import { sha384 } from "@noble/hashes/sha2.js";
import { concat, hex0x, readUint, same, sha256, uint, unhex, utf8 } from "./bytes.ts";
import { documentDigest, IssuerKeys } from "./documents.ts";
import { HallmarkError } from "./errors.ts";

const VALUES = 16;
const MAX_TOKENS = 64;
const MAX_UNITS = (1n << 16n) - 1n;
const DIGEST = 32;
const TOKEN = 1 + 32 + 256;
const MODULUS_AT = 81;
const MODULUS = 256;
const EXPONENT = 65_537n;
const HASH = 48;
const SALT = 48;
const MAX_EPOCH_MS = 92n * 86_400_000n;
const TYPE = new Uint8Array([0, 2]);

/** A token of a key set that is known from elsewhere. Nothing is verified yet. */
interface Token {
  readonly value: number;
  readonly nonce: Uint8Array;
  readonly authenticator: Uint8Array;
}

/** What one answer was paid with. Nothing is verified yet. */
export interface TokenSpend {
  readonly keys: Uint8Array;
  readonly digest: string;
  readonly units: bigint;
  readonly tokens: readonly Token[];
}

/** Reads key set || tokens, all of it. Raises `bad_tokens`. */
export function readSpend(data: Uint8Array): TokenSpend {
  const bad = new HallmarkError("bad_tokens", "These bytes are no tokens of one key set.");
  const count = (data.length - DIGEST) / TOKEN;
  if (!Number.isInteger(count) || count < 1 || count > MAX_TOKENS) throw bad;
  const tokens = Array.from({ length: count }, (_, number): Token => {
    const part = data.subarray(DIGEST + number * TOKEN, DIGEST + (number + 1) * TOKEN);
    return { value: part[0] ?? VALUES, nonce: part.subarray(1, 33), authenticator: part.subarray(33) };
  });
  const order = tokens.map(({ value, nonce }) => (BigInt(value) << 256n) + readUint(nonce));
  const units = tokens.reduce((sum, { value }) => sum + (1n << BigInt(value)), 0n);
  const ascend = order.every((place, number) => number === 0 || (order[number - 1] ?? place) < place);
  if (tokens.some(({ value }) => value >= VALUES) || units > MAX_UNITS || !ascend) throw bad;
  const digest = hex0x(sha256(utf8("hallmark/token-spend/v1\0"), data));
  return { keys: data.subarray(0, DIGEST), digest, units, tokens };
}

/** Whether an issuer's keys can be meant (core.tokens.check_issuer_keys). */
export function areSound({ keys, since, until, unit, asset }: IssuerKeys): boolean {
  const whole = keys.length === VALUES && new Set(keys).size === VALUES;
  const timed = since < until && until <= since + MAX_EPOCH_MS && unit > 0n;
  return whole && timed && asset.decimals >= 0n && asset.decimals <= 18n && asset.chain_id > 0n && asset.symbol !== "";
}

/** An issuer's keys, ready for use: what each token's authenticator is a signature of, and what the log knows it by. */
export class KeySet {
  readonly document: IssuerKeys;
  readonly digest: Uint8Array;
  readonly #keys: readonly Uint8Array[];
  readonly #challenge: Uint8Array;

  constructor(document: IssuerKeys) {
    this.document = document;
    this.digest = documentDigest(IssuerKeys, document);
    this.#keys = document.keys.map(unhex);
    this.#challenge = sha256(challengeOf(document));
  }

  /** SHA-256 of the token as RFC 9577 has it. */
  nullifier(token: Token): string {
    return hex0x(sha256(this.#message(token), token.authenticator));
  }

  /** Whether the issuer signed a token, for its value and epoch. */
  signed(token: Token): boolean {
    const modulus = readUint(this.#key(token).subarray(MODULUS_AT, MODULUS_AT + MODULUS));
    return isSigned(modulus, this.#message(token), token.authenticator);
  }

  #key({ value }: Token): Uint8Array {
    return this.#keys[value] ?? new Uint8Array();
  }

  #message(token: Token): Uint8Array {
    return concat(TYPE, token.nonce, this.#challenge, sha256(this.#key(token)));
  }
}

/** RFC 9577's TokenChallenge of an issuer and epoch: the same for all who buy. */
function challengeOf({ network, issuer, epoch }: IssuerKeys): Uint8Array {
  const name = utf8(issuer);
  const number = uint(epoch, 8) ?? new Uint8Array();
  const context = sha256(utf8("hallmark/token-challenge/v1\0"), unhex(network), unhex(issuer), number);
  return concat(TYPE, new Uint8Array([0, name.length]), name, new Uint8Array([context.length]), context, new Uint8Array(2));
}

/** RSASSA-PSS-VERIFY with SHA-384, MGF1 with SHA-384 and 48 bytes of salt (RFC 8017 section 8.1.2). */
function isSigned(modulus: bigint, message: Uint8Array, signature: Uint8Array): boolean {
  const number = readUint(signature);
  if (signature.length !== MODULUS || number >= modulus) return false;
  const encoded = uint(power(number, modulus), MODULUS) ?? new Uint8Array(MODULUS);
  const masked = encoded.subarray(0, MODULUS - HASH - 1);
  const hashed = encoded.subarray(masked.length, -1);
  if (encoded[MODULUS - 1] !== 0xbc || (masked[0] ?? 0) > 0x7f) return false;
  const block = mask(hashed, masked.length).map((byte, at) => byte ^ (masked[at] ?? 0));
  block[0] = (block[0] ?? 0) & 0x7f;
  const one = block.length - SALT - 1;
  if (block[one] !== 1 || block.subarray(0, one).some(Boolean)) return false;
  return same(hashed, sha384(concat(new Uint8Array(8), sha384(message), block.subarray(one + 1))));
}

function power(base: bigint, modulus: bigint): bigint {
  let found = base;
  for (let bit = EXPONENT >> 1n; bit; bit >>= 1n) found = (found * found) % modulus;
  return (found * base) % modulus; // 65,537 is 2^16 + 1
}

function mask(seed: Uint8Array, size: number): Uint8Array {
  const count = Math.ceil(size / HASH);
  const parts = Array.from({ length: count }, (_, at) => sha384(concat(seed, new Uint8Array([0, 0, 0, at]))));
  return concat(...parts).slice(0, size);
}
