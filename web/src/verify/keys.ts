/** Signatures: secp256k1 with recovery (EIP-2), Ed25519 (RFC 8032, as OpenSSL checks it), ECDSA on P-384 (FIPS 186-5). */
import { ed25519 } from "@noble/curves/ed25519.js";
import { p384 } from "@noble/curves/nist.js";
import { secp256k1 } from "@noble/curves/secp256k1.js";
import { sha512 } from "@noble/hashes/sha2.js";
import { keccak_256 } from "@noble/hashes/sha3.js";
import { concat, hex, readUint, same } from "./bytes.ts";
import { HallmarkError } from "./errors.ts";
import { signingDigest, type Statement } from "./typed.ts";

const HALF_ORDER = 0x7fffffffffffffffffffffffffffffff5d576e7357a4501ddfe92f46681b20a0n;
const ED_ORDER = ed25519.Point.Fn.ORDER;
const REMEMBERED = 1024;
// A receipt takes a handful of checks: small tables cost less to make than large ones save.
for (const curve of [ed25519, p384, secp256k1]) curve.Point.BASE.precompute(4);

/** The 20-byte address that signed a 32-byte digest with r || s || v. Raises `bad_signature`, also for high s. */
export function recover(digest: Uint8Array, signature: Uint8Array): Uint8Array {
  const bad = (message: string) => new HallmarkError("bad_signature", message);
  const v = signature[64];
  if (signature.length !== 65 || (v !== 27 && v !== 28)) {
    throw bad("A signature is 65 bytes, r || s || v with v 27 or 28.");
  }
  if (readUint(signature.subarray(32, 64)) > HALF_ORDER) {
    throw bad("The signature's s value is not in the lower half.");
  }
  try {
    const parsed = secp256k1.Signature.fromBytes(signature.subarray(0, 64), "compact").addRecoveryBit(v - 27);
    return keccak_256(parsed.recoverPublicKey(digest).toBytes(false).subarray(1)).subarray(12);
  } catch {
    throw bad("The signature does not recover to a key.");
  }
}

const recovered = new Map<string, Uint8Array>();

/** The address that signed a statement; found ones are remembered by digest and signature. Raises `bad_signature`. */
export function recoverStatement(statement: Statement, chainId: bigint, signature: Uint8Array): Uint8Array {
  const digest = signingDigest(statement, chainId);
  const name = `${hex(digest)} ${hex(signature)}`;
  let found = recovered.get(name);
  if (!found) {
    found = recover(digest, signature);
    if (recovered.size >= REMEMBERED) recovered.clear();
    recovered.set(name, found);
  }
  return found;
}

function littleEndian(data: Uint8Array): bigint {
  return readUint(Uint8Array.from(data).reverse());
}

const points = new Map<string, InstanceType<typeof ed25519.Point>>();

function point(key: Uint8Array): InstanceType<typeof ed25519.Point> {
  const name = key.join();
  let found = points.get(name);
  if (!found) {
    found = ed25519.Point.fromBytes(key);
    if (points.size >= REMEMBERED) points.clear();
    points.set(name, found);
  }
  return found;
}

/**
 * Whether 32 bytes are the one canonical encoding of a point on the curve, and not one of small order, under which one
 * signature holds for many messages (crypto/ed25519.py).
 */
export function isEd25519Key(key: Uint8Array): boolean {
  try {
    return key.length === 32 && !point(key).isSmallOrder();
  } catch {
    return false;
  }
}

const held = new Set<string>();

/** Whether a signature check holds; one that did is remembered by a digest over algorithm, key, signature and message. */
function holds(name: string, [key, signature, message]: readonly [Uint8Array, Uint8Array, Uint8Array], check: () => boolean): boolean {
  const sizes = Uint8Array.of(key.length, signature.length);
  const digest = name + hex(sha512(concat(sizes, key, signature, message)));
  if (held.has(digest)) return true;
  try {
    if (!check()) return false;
  } catch {
    return false;
  }
  if (held.size >= REMEMBERED) held.clear();
  held.add(digest);
  return true;
}

/**
 * Whether an Ed25519 signature holds: S below the order, and R the exact encoding of SB - kA. This is the check without
 * cofactor that OpenSSL makes, so that no signature passes for one verifier and not for the other.
 */
export function holdsEd25519(key: Uint8Array, message: Uint8Array, signature: Uint8Array): boolean {
  if (signature.length !== 64 || key.length !== 32) return false;
  const [r, s] = [signature.subarray(0, 32), littleEndian(signature.subarray(32))];
  if (s >= ED_ORDER) return false;
  return holds("Ed25519", [key, signature, message], () => {
    const k = littleEndian(sha512(concat(r, key, message))) % ED_ORDER;
    const base = s ? ed25519.Point.BASE.multiply(s) : ed25519.Point.ZERO;
    return same(base.add(point(key).negate().multiplyUnsafe(k)).toBytes(), r);
  });
}

/** Whether r || s (48 bytes each, any s) is an ECDSA signature on P-384 over SHA-384 of the message. */
export function holdsP384(key: Uint8Array, message: Uint8Array, signature: Uint8Array): boolean {
  if (signature.length !== 96) return false;
  return holds("P-384", [key, signature, message], () => p384.verify(signature, message, key, { lowS: false, prehash: true }));
}

/** Whether these bytes are an uncompressed point on P-384. */
export function isP384Point(key: Uint8Array): boolean {
  try {
    p384.Point.fromBytes(key).assertValidity();
    return true;
  } catch {
    return false;
  }
}
