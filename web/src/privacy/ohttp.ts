/**
 * Oblivious HTTP, the client's side: chunked (draft-ietf-ohai-chunked-ohttp-08) and in one piece (RFC 9458).
 *
 *     request   key id (1) || kem (2) || kdf (2) || aead (2) || enc || chunks
 *     response  nonce (max(Nn, Nk)) || chunks
 *     chunk     varint(length) || sealed, not empty        final chunk   varint(0) || sealed with aad "final", to the end
 *
 * In one piece there is one sealed text instead of the chunks, without a length.
 */
import { concat, utf8 } from "../verify/bytes.ts";
import { HallmarkError } from "../verify/errors.ts";
import { aeadKey, KEY_SIZES, NONCE, TAG, tampered, type AEADKey } from "./aead.ts";
import { expand, extract, number } from "./hkdf.ts";
import { nonceAt, sender, type Context, type Suite } from "./hpke.ts";
import type { KeyConfiguration } from "./key-configurations.ts";
import { readVarint, varint } from "./varint.ts";

/** Media types. */
export const CHUNKED_REQUEST = "message/ohttp-chunked-req";
export const CHUNKED_RESPONSE = "message/ohttp-chunked-res";

const NOTHING = new Uint8Array(0);
const FINAL = utf8("final");
const LABELS = {
  chunked: ["message/bhttp chunked request", "message/bhttp chunked response"],
  whole: ["message/bhttp request", "message/bhttp response"],
} as const;
/** No honest chunk is longer (bytes, sealed). */
const MOST = 64 << 20;

/** What is random in a request, by KEM: at most this many bytes. */
export const RANDOM = 64;

/** One request on its way, and the reader of its response. */
export class ClientRequest {
  /** Goes first. */
  readonly header: Uint8Array;
  private readonly enc: Uint8Array;
  private readonly suite: Suite;
  private readonly context: Context;
  private readonly chunked: boolean;
  private ended = false;

  private constructor(header: Uint8Array, enc: Uint8Array, suite: Suite, context: Context, chunked: boolean) {
    this.header = header;
    this.enc = enc;
    this.suite = suite;
    this.context = context;
    this.chunked = chunked;
  }

  /** A request to a key under one of its suites. `random` has the KEM's size, or more. Throws `unknown_suite`, `bad_hpke_key`. */
  static async to({ id, publicKey }: KeyConfiguration, suite: Suite, random: Uint8Array, chunked = true): Promise<ClientRequest> {
    const { kem, kdf, aead } = suite;
    const head = concat(Uint8Array.of(id), number(kem, 2), number(kdf, 2), number(aead, 2));
    const [label] = LABELS[chunked ? "chunked" : "whole"];
    const [enc, context] = await sender(suite, publicKey, concat(utf8(label), Uint8Array.of(0), head), random);
    return new ClientRequest(concat(head, enc), enc, suite, context, chunked);
  }

  /** Seals the next chunk; the last one says so, and alone may be empty. */
  async seal(plain: Uint8Array, final = false): Promise<Uint8Array> {
    if (this.ended || (!this.chunked && !final)) throw new TypeError("the request has ended");
    this.ended = final;
    if (this.chunked && !final && plain.length === 0) return NOTHING;
    if (!this.chunked) return this.context.seal(NOTHING, plain);
    if (final) return concat(varint(0), await this.context.seal(FINAL, plain));
    const sealed = await this.context.seal(NOTHING, plain);
    return concat(varint(sealed.length), sealed);
  }

  /** The reader of the response. */
  response(): ResponseReader {
    const { enc, suite, context, chunked } = this;
    const size = Math.max(NONCE, KEY_SIZES.get(suite.aead) ?? 0);
    const [, label] = LABELS[chunked ? "chunked" : "whole"];
    return new ResponseReader(enc, context.export(utf8(label), size), suite.aead, size, chunked);
  }
}

/** Opens a response as it comes. Pieces must be fed one after the other. */
export class ResponseReader {
  private readonly enc: Uint8Array;
  private readonly secret: Uint8Array;
  private readonly aead: number;
  private readonly size: number;
  private readonly chunked: boolean;
  private held: Uint8Array = NOTHING;
  private key: AEADKey | undefined;
  private base: Uint8Array = NOTHING;
  private sequence = 0n;
  private final = false;

  constructor(enc: Uint8Array, secret: Uint8Array, aead: number, size: number, chunked: boolean) {
    this.enc = enc;
    this.secret = secret;
    this.aead = aead;
    this.size = size;
    this.chunked = chunked;
  }

  /** The chunks that `data` completes, opened. Throws `sealed_tampered`. */
  async feed(data: Uint8Array): Promise<Uint8Array[]> {
    this.held = concat(this.held, data);
    if (!(await this.begun()) || !this.chunked) return [];
    const opened: Uint8Array[] = [];
    while (!this.final) {
      const found = readVarint(this.held, 0);
      if (!found) break;
      const [length, start] = found;
      if (length === 0) this.final = true;
      else if (length <= TAG || length > MOST) throw tampered();
      else if (this.held.length < start + length) break;
      else opened.push(await this.open(this.held.slice(start, start + length), NOTHING));
      this.held = this.held.slice(start + length);
    }
    if (this.held.length > MOST + this.size) throw tampered();
    return opened;
  }

  /** The last chunk; call it when the response has ended. Throws `sealed_truncated` unless that one came, `sealed_tampered`. */
  async end(): Promise<Uint8Array> {
    if (!(await this.begun()) || (this.chunked && !this.final) || this.held.length < TAG) throw truncated();
    return this.open(this.held, this.chunked ? FINAL : NOTHING);
  }

  private async begun(): Promise<boolean> {
    if (this.key) return true;
    if (this.held.length < this.size) return false;
    const prk = extract(concat(this.enc, this.held.subarray(0, this.size)), this.secret);
    this.key = await aeadKey(this.aead, expand(prk, utf8("key"), KEY_SIZES.get(this.aead) ?? 0));
    this.base = expand(prk, utf8("nonce"), NONCE);
    this.held = this.held.slice(this.size);
    return true;
  }

  private async open(sealed: Uint8Array, aad: Uint8Array): Promise<Uint8Array> {
    if (!this.key) throw truncated();
    const nonce = nonceAt(this.base, this.sequence);
    this.sequence += 1n;
    return this.key.open(nonce, aad, sealed);
  }
}

/** The answer broke off before its end. */
export function truncated(): HallmarkError {
  return new HallmarkError(
    "sealed_truncated",
    "The sealed answer broke off before its end: something between the enclave and this page cut it.",
    "Ask again, through another relay if it happens twice. What came is no answer that anybody stands behind.",
  );
}
