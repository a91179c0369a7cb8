/** HPKE contexts in base mode (RFC 9180 sections 5.1 and 5.2): a sequence of sealed messages, and exported secrets. */
import { concat, uint, utf8 } from "../verify/bytes.ts";
import { HallmarkError } from "../verify/errors.ts";
import { aeadKey, KEY_SIZES, NONCE, type AEADKey } from "./aead.ts";
import { HKDF_SHA256, labelledExpand, labelledExtract, number } from "./hkdf.ts";
import { KEMS, type KEM } from "./kem.ts";

const NOTHING = new Uint8Array(0);
const BASE = Uint8Array.of(0);

/** A suite by its registered numbers. */
export interface Suite {
  readonly kem: number;
  readonly kdf: number;
  readonly aead: number;
}

/** The KEM of a suite that this page can use. Throws `unknown_suite`. */
export function kemOf({ kem, kdf, aead }: Suite): KEM {
  const found = KEMS.get(kem);
  if (found && kdf === HKDF_SHA256 && KEY_SIZES.has(aead)) return found;
  throw new HallmarkError("unknown_suite", "The key is for a way of sealing that this page does not know.");
}

/** `base` XOR a counter, as long as `base`. */
export function nonceAt(base: Uint8Array, sequence: bigint): Uint8Array {
  const counter = uint(sequence, base.length) ?? NOTHING;
  return base.map((byte, at) => byte ^ (counter[at] ?? 0));
}

/** One side of a context. */
export class Context {
  private readonly suite: Uint8Array;
  private readonly key: AEADKey;
  private readonly base: Uint8Array;
  private readonly exporter: Uint8Array;
  private sequence = 0n;

  private constructor(suite: Uint8Array, key: AEADKey, base: Uint8Array, exporter: Uint8Array) {
    this.suite = suite;
    this.key = key;
    this.base = base;
    this.exporter = exporter;
  }

  /** The context of a shared secret. */
  static async of(suite: Suite, secret: Uint8Array, info: Uint8Array): Promise<Context> {
    const { kem, kdf, aead } = suite;
    const id = concat(utf8("HPKE"), number(kem, 2), number(kdf, 2), number(aead, 2));
    const psk = labelledExtract(id, NOTHING, "psk_id_hash", NOTHING);
    const context = concat(BASE, psk, labelledExtract(id, NOTHING, "info_hash", info));
    const prk = labelledExtract(id, secret, "secret", NOTHING);
    const key = labelledExpand(id, prk, "key", context, KEY_SIZES.get(aead) ?? 0);
    const base = labelledExpand(id, prk, "base_nonce", context, NONCE);
    return new Context(id, await aeadKey(aead, key), base, labelledExpand(id, prk, "exp", context, 32));
  }

  /** Seals the next message. */
  async seal(aad: Uint8Array, plain: Uint8Array): Promise<Uint8Array> {
    return this.key.seal(this.next(), aad, plain);
  }

  /** Opens the next message. Throws `sealed_tampered`. */
  async open(aad: Uint8Array, sealed: Uint8Array): Promise<Uint8Array> {
    return this.key.open(this.next(), aad, sealed);
  }

  /** A secret of `size` bytes that both sides can make. */
  export(label: Uint8Array, size: number): Uint8Array {
    return labelledExpand(this.suite, this.exporter, "sec", label, size);
  }

  private next(): Uint8Array {
    const nonce = nonceAt(this.base, this.sequence);
    this.sequence += 1n;
    return nonce;
  }
}

/** The sender's context to a public key, with the encapsulated key; `random` has the KEM's size. */
export async function sender(
  suite: Suite, publicKey: Uint8Array, info: Uint8Array, random: Uint8Array,
): Promise<readonly [enc: Uint8Array, context: Context]> {
  const [enc, secret] = kemOf(suite).encap(publicKey, random);
  return [enc, await Context.of(suite, secret, info)];
}

/** The receiver's context of an encapsulated key. */
export async function receiver(suite: Suite, privateKey: Uint8Array, enc: Uint8Array, info: Uint8Array): Promise<Context> {
  return Context.of(suite, kemOf(suite).decap(privateKey, enc), info);
}
