/** Bytes and the strict texts that stand for them: 0x-hex, base64 (RFC 4648), UTF-8, big-endian integers. */
import { sha256 as digest } from "@noble/hashes/sha2.js";
import { HallmarkError } from "./errors.ts";

const HEX = Array.from({ length: 256 }, (_, value) => value.toString(16).padStart(2, "0"));
const ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
const SEXTETS = new Uint8Array(128).fill(255);
for (const [value, letter] of [...ALPHABET].entries()) SEXTETS[letter.charCodeAt(0)] = value;

export const ZERO32 = new Uint8Array(32);
export const EMPTY = new Uint8Array(0);

/** Lower-case hexadecimal digits without prefix. */
export function hex(data: Uint8Array): string {
  let text = "";
  for (const byte of data) text += HEX[byte];
  return text;
}

/** Lower-case 0x-hex text. */
export function hex0x(data: Uint8Array): string {
  return "0x" + hex(data);
}

/** The bytes of 0x-hex text. Raises `bad_hex`. */
export function unhex(text: string): Uint8Array {
  const digits = text.slice(2);
  if (!text.startsWith("0x") || digits.length % 2 || /[^0-9a-fA-F]/.test(digits)) {
    throw new HallmarkError("bad_hex", "A value is not 0x-prefixed hexadecimal text.");
  }
  const data = new Uint8Array(digits.length / 2);
  for (let at = 0; at < data.length; at++) data[at] = parseInt(digits.slice(2 * at, 2 * at + 2), 16);
  return data;
}

/** Canonical base64 with padding; undefined for anything else, stray bits included. */
export function readBase64(text: string): Uint8Array | undefined {
  if (text.length % 4) return undefined;
  const pads = text.endsWith("==") ? 2 : text.endsWith("=") ? 1 : 0;
  const data = new Uint8Array((text.length / 4) * 3 - pads);
  let [held, bits, at] = [0, 0, 0];
  for (let from = 0; from < text.length - pads; from++) {
    const value = SEXTETS[text.charCodeAt(from)] ?? 255;
    if (value > 63) return undefined;
    held = ((held << 6) | value) & 0xffff;
    bits += 6;
    if (bits < 8) continue;
    bits -= 8;
    data[at++] = held >> bits;
  }
  return held & ((1 << bits) - 1) ? undefined : data;
}

/** Canonical base64. Raises `not_canonical`. */
export function unbase64(text: string): Uint8Array {
  const data = readBase64(text);
  if (!data) throw new HallmarkError("not_canonical", "A value is not canonical base64.");
  return data;
}

/** Standard base64 with padding. */
export function base64(data: Uint8Array): string {
  let text = "";
  for (let at = 0; at < data.length; at += 3) {
    const group = ((data[at] ?? 0) << 16) | ((data[at + 1] ?? 0) << 8) | (data[at + 2] ?? 0);
    const letters = [18, 12, 6, 0].map((shift) => ALPHABET[(group >> shift) & 63]);
    const kept = Math.min(data.length - at, 3) + 1;
    text += letters.slice(0, kept).join("").padEnd(4, "=");
  }
  return text;
}

/** UTF-8 bytes of a text without lone surrogates. */
export function utf8(text: string): Uint8Array {
  return new TextEncoder().encode(text);
}

/** The text of strict UTF-8 bytes, a byte order mark kept; undefined when they are not UTF-8. */
export function readUTF8(data: Uint8Array): string | undefined {
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(data);
  } catch {
    return undefined;
  }
}

/** The parts, one behind the other. */
export function concat(...parts: Uint8Array[]): Uint8Array {
  const whole = new Uint8Array(parts.reduce((size, part) => size + part.length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}

/** Whether two byte strings are the same. */
export function same(left: Uint8Array, right: Uint8Array): boolean {
  return left.length === right.length && left.every((byte, at) => byte === right[at]);
}

/** Where `part` stands last in `data` at or after `from`, ending at or before `end`; -1 if nowhere (bytes.rfind). */
export function lastIndexOf(data: Uint8Array, part: Uint8Array, end = data.length): number {
  for (let at = Math.min(end, data.length) - part.length; at >= 0; at--) {
    let step = 0;
    while (step < part.length && data[at + step] === part[step]) step++;
    if (step === part.length) return at;
  }
  return -1;
}

/** Whether `data` ends in `part`. */
export function endsWith(data: Uint8Array, part: Uint8Array): boolean {
  return data.length >= part.length && same(data.subarray(data.length - part.length), part);
}

/** `value` as `size` bytes, big-endian; undefined when it does not fit. */
export function uint(value: bigint, size: number): Uint8Array | undefined {
  if (value < 0n || value >> BigInt(8 * size)) return undefined;
  const data = new Uint8Array(size);
  for (let at = size - 1, rest = value; at >= 0; at--, rest >>= 8n) data[at] = Number(rest & 255n);
  return data;
}

/** The big-endian integer in these bytes. */
export function readUint(data: Uint8Array): bigint {
  return data.length ? BigInt(hex0x(data)) : 0n;
}

/** SHA-256 over the concatenation of `parts`; 32 bytes. */
export function sha256(...parts: Uint8Array[]): Uint8Array {
  const state = digest.create();
  for (const part of parts) state.update(part);
  return state.digest();
}
