/**
 * The two KEMs: DHKEM(X25519, HKDF-SHA256) of RFC 9180, and X-Wing (draft-connolly-cfrg-xwing-kem; 0x647a of
 * draft-ietf-hpke-pq), which holds as long as one of ML-KEM-768 and X25519 does.
 */
import { x25519 } from "@noble/curves/ed25519.js";
import { sha3_256, shake256 } from "@noble/hashes/sha3.js";
import { ml_kem768 } from "@noble/post-quantum/ml-kem.js";
import { concat, utf8 } from "../verify/bytes.ts";
import { HallmarkError } from "../verify/errors.ts";
import { labelledExpand, labelledExtract, number } from "./hkdf.ts";

export const X25519 = 0x0020;
export const XWING = 0x647a;

/** One KEM: sizes in bytes, and what it makes of a public key and of a private one. */
export interface KEM {
  readonly id: number;
  readonly name: string;
  readonly publicKey: number;
  readonly enc: number;
  /** Bytes of randomness that `encap` takes. */
  readonly random: number;
  /** The encapsulated key and the shared secret (32 bytes). Throws `bad_hpke_key`. */
  encap(publicKey: Uint8Array, random: Uint8Array): readonly [enc: Uint8Array, secret: Uint8Array];
  /** The shared secret. Throws `bad_hpke_key`. */
  decap(privateKey: Uint8Array, enc: Uint8Array): Uint8Array;
}

const M = { publicKey: 1184, cipherText: 1088 };
const LABEL = Uint8Array.of(0x5c, 0x2e, 0x2f, 0x2f, 0x5e, 0x5c);

function guarded<T>(work: () => T): T {
  try {
    return work();
  } catch (error) {
    if (error instanceof HallmarkError) throw error;
    throw new HallmarkError("bad_hpke_key", "A key for sealing is no key of its kind.", "Nothing was sent.");
  }
}

/** X25519; a product of zero, which a point of small order gives, is refused (RFC 9180 section 7.1.4). */
function product(secret: Uint8Array, point: Uint8Array): Uint8Array {
  const shared = x25519.getSharedSecret(secret, point);
  if (shared.every((byte) => byte === 0)) throw new HallmarkError("bad_hpke_key", "A key for sealing is of small order.");
  return shared;
}

function dhSecret(shared: Uint8Array, enc: Uint8Array, publicKey: Uint8Array): Uint8Array {
  const suite = concat(utf8("KEM"), number(X25519, 2));
  const prk = labelledExtract(suite, new Uint8Array(0), "eae_prk", shared);
  return labelledExpand(suite, prk, "shared_secret", concat(enc, publicKey), 32);
}

const dhkem: KEM = {
  id: X25519,
  name: "X25519",
  publicKey: 32,
  enc: 32,
  random: 32,
  encap: (publicKey, random) =>
    guarded(() => {
      const secret = random.subarray(0, 32);
      const enc = x25519.getPublicKey(secret);
      return [enc, dhSecret(product(secret, publicKey), enc, publicKey)];
    }),
  decap: (privateKey, enc) => guarded(() => dhSecret(product(privateKey, enc), enc, x25519.getPublicKey(privateKey))),
};

/** SHA3-256(ML-KEM's secret || X25519's || X25519's ephemeral key || the public X25519 key || label). */
function combined(mlkem: Uint8Array, shared: Uint8Array, ephemeral: Uint8Array, point: Uint8Array): Uint8Array {
  return sha3_256(concat(mlkem, shared, ephemeral, point, LABEL));
}

const xwing: KEM = {
  id: XWING,
  name: "X-Wing",
  publicKey: M.publicKey + 32,
  enc: M.cipherText + 32,
  random: 64,
  encap: (publicKey, random) =>
    guarded(() => {
      const point = publicKey.subarray(M.publicKey);
      const { cipherText, sharedSecret } = ml_kem768.encapsulate(publicKey.slice(0, M.publicKey), random.slice(0, 32));
      const secret = random.slice(32);
      const ephemeral = x25519.getPublicKey(secret);
      return [concat(cipherText, ephemeral), combined(sharedSecret, product(secret, point), ephemeral, point)];
    }),
  decap: (privateKey, enc) =>
    guarded(() => {
      const { mlkem, secret, point } = xwingKeys(privateKey);
      const shared = ml_kem768.decapsulate(enc.slice(0, M.cipherText), mlkem.secretKey);
      const ephemeral = enc.subarray(M.cipherText);
      return combined(shared, product(secret, ephemeral), ephemeral, point);
    }),
};

function xwingKeys(seed: Uint8Array) {
  const wide = shake256(seed, { dkLen: 96 });
  const mlkem = ml_kem768.keygen(wide.slice(0, 64));
  const secret = wide.slice(64);
  return { mlkem, secret, point: x25519.getPublicKey(secret) };
}

/** The public X-Wing key of a 32-byte seed; 1216 bytes. */
export function xwingPublicKey(seed: Uint8Array): Uint8Array {
  const { mlkem, point } = xwingKeys(seed);
  return concat(mlkem.publicKey, point);
}

/** By number. */
export const KEMS: ReadonlyMap<number, KEM> = new Map([[X25519, dhkem], [XWING, xwing]]);
