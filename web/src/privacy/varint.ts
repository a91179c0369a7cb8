/** Integers of variable length (RFC 9000 section 16): the first two bits say how many bytes there are. */
import { readUint, uint } from "../verify/bytes.ts";

/** The shortest form of an integer below 2^53. */
export function varint(value: number): Uint8Array {
  const size = value < 0x40 ? 1 : value < 0x4000 ? 2 : value < 0x4000_0000 ? 4 : 8;
  const data = uint(BigInt(value), size);
  if (!data || value > Number.MAX_SAFE_INTEGER) throw new RangeError(`${value} is no length`);
  data[0] = (data[0] ?? 0) | (Math.log2(size) << 6);
  return data;
}

/** The integer at `at` and where it ends; undefined while bytes of it are missing. */
export function readVarint(data: Uint8Array, at: number): readonly [value: number, end: number] | undefined {
  const first = data[at];
  if (first === undefined) return undefined;
  const end = at + (1 << (first >> 6));
  if (data.length < end) return undefined;
  const bytes = data.slice(at, end);
  bytes[0] = first & 0x3f;
  return [Number(readUint(bytes)), end];
}
