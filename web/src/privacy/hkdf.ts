/** HKDF-SHA256 (RFC 5869), and its labelled forms of RFC 9180 section 4. */
import { expand as expanded, extract as extracted } from "@noble/hashes/hkdf.js";
import { sha256 } from "@noble/hashes/sha2.js";
import { concat, uint, utf8 } from "../verify/bytes.ts";

export const HKDF_SHA256 = 0x0001;
const VERSION = utf8("HPKE-v1");

/** `value` as `size` bytes, big-endian. */
export function number(value: number, size: number): Uint8Array {
  const data = uint(BigInt(value), size);
  if (!data) throw new RangeError(`${value} does not fit in ${size} bytes`);
  return data;
}

/** HKDF-Extract. */
export function extract(salt: Uint8Array, ikm: Uint8Array): Uint8Array {
  return extracted(sha256, ikm, salt);
}

/** HKDF-Expand. */
export function expand(prk: Uint8Array, info: Uint8Array, size: number): Uint8Array {
  return expanded(sha256, prk, info, size);
}

/** LabeledExtract. */
export function labelledExtract(suite: Uint8Array, salt: Uint8Array, label: string, ikm: Uint8Array): Uint8Array {
  return extract(salt, concat(VERSION, suite, utf8(label), ikm));
}

/** LabeledExpand. */
export function labelledExpand(suite: Uint8Array, prk: Uint8Array, label: string, info: Uint8Array, size: number): Uint8Array {
  return expand(prk, concat(number(size, 2), VERSION, suite, utf8(label), info), size);
}
