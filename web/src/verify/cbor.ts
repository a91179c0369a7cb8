/**
 * Strict CBOR (RFC 8949) as Nitro documents need it: exactly one item, no tags, no repeated keys, bounded nesting,
 * indefinite lengths only where allowed. Refuses what attestation/cose.py refuses.
 */
import { concat, hex, readUint, readUTF8 } from "./bytes.ts";
import { HallmarkError } from "./errors.ts";

/** A map as pairs in their order; keys are distinct. */
export class CBORMap {
  readonly pairs: readonly (readonly [CBORValue, CBORValue])[];
  constructor(pairs: readonly (readonly [CBORValue, CBORValue])[]) {
    this.pairs = pairs;
  }
}

/** A value that no field of ours may have: a float, undefined, a simple value. `key` tells equal ones. */
export class CBOROther {
  readonly key: string | undefined;
  constructor(key: string | undefined) {
    this.key = key;
  }
}

/** A decoded item; integers are bigint. */
export type CBORValue = bigint | Uint8Array | string | boolean | null | CBOROther | CBORMap | readonly CBORValue[];

const BREAK = 0xff;

function bad(): HallmarkError {
  return new HallmarkError("bad_cbor", "This is not the CBOR that the format asks for.");
}

/** What decides whether two keys are the same: 0, 0.0 and false are, as in the languages that read such maps. */
function keyOf(value: CBORValue): string | undefined {
  if (typeof value === "bigint") return `n${value}`;
  if (typeof value === "boolean") return value ? "n1" : "n0";
  if (typeof value === "string") return `t${value.length}:${value}`;
  if (value === null) return "null";
  if (value instanceof Uint8Array) return `b${hex(value)}`;
  if (value instanceof CBOROther) return value.key;
  if (value instanceof CBORMap) {
    const pairs = value.pairs.map(([key, item]) => `${keyOf(key)}=${keyOf(item)}`);
    return `{${pairs.sort().join(",")}}`;
  }
  return `[${value.map(keyOf).join(",")}]`;
}

class Reader {
  at = 0;
  private readonly data: Uint8Array;
  private readonly depth: number;
  private readonly indefinite: boolean;

  constructor(data: Uint8Array, depth: number, indefinite: boolean) {
    this.data = data;
    this.depth = depth;
    this.indefinite = indefinite;
  }

  item(level: number): CBORValue {
    const [major, info] = this.head();
    if (major === 0) return this.length(info);
    if (major === 1) return -1n - this.length(info);
    if (major === 2) return concat(...this.chunks(major, info));
    if (major === 3) return this.chunks(major, info).map(textOf).join("");
    if (major === 7) return this.simple(info);
    if (major === 6) throw bad();
    return major === 4 ? this.array(info, level) : this.map(info, level);
  }

  private head(): [number, number] {
    const byte = this.take(1)[0] as number;
    return [byte >> 5, byte & 31];
  }

  private take(size: number | bigint): Uint8Array {
    if (BigInt(this.data.length - this.at) < BigInt(size)) throw bad();
    this.at += Number(size);
    return this.data.subarray(this.at - Number(size), this.at);
  }

  private length(info: number): bigint {
    if (info < 24) return BigInt(info);
    if (info > 27) throw bad();
    return readUint(this.take(1 << (info - 24)));
  }

  private opens(info: number): boolean {
    if (info === 31 && !this.indefinite) throw bad();
    return info === 31;
  }

  private closes(): boolean {
    if (this.data[this.at] !== BREAK) return false;
    this.at++;
    return true;
  }

  private chunks(major: number, info: number): Uint8Array[] {
    if (!this.opens(info)) return [this.take(this.length(info))];
    const found: Uint8Array[] = [];
    while (!this.closes()) {
      const [kind, size] = this.head();
      if (kind !== major) throw bad();
      found.push(this.take(this.length(size)));
    }
    return found;
  }

  /** Takes the items of a container, one at each call of `take`. One that may hold something counts as a level. */
  private each(info: number, level: number, take: () => void): void {
    const open = this.opens(info);
    let left = open ? 1n : this.length(info);
    if (left && level >= this.depth) throw bad();
    if (open) while (!this.closes()) take();
    else for (; left > 0n; left--) take();
  }

  private array(info: number, level: number): CBORValue {
    const items: CBORValue[] = [];
    this.each(info, level, () => items.push(this.item(level + 1)));
    return items;
  }

  private map(info: number, level: number): CBORValue {
    const pairs: [CBORValue, CBORValue][] = [];
    const known = new Set<string>();
    this.each(info, level, () => {
      const key = this.item(level + 1);
      const name = keyOf(key);
      if (name !== undefined && known.has(name)) throw bad();
      if (name !== undefined) known.add(name);
      pairs.push([key, this.item(level + 1)]);
    });
    return new CBORMap(pairs);
  }

  private simple(info: number): CBORValue {
    if (info === 20 || info === 21) return info === 21;
    if (info === 22) return null;
    if (info < 24) return new CBOROther(info === 23 ? "undefined" : `n${info}`);
    if (info === 24) {
      const number = this.take(1)[0] as number;
      if (number < 32) throw bad();
      return new CBOROther(`n${number}`);
    }
    if (info > 27) throw bad();
    const value = float(this.take(1 << (info - 24)));
    if (Number.isNaN(value)) return new CBOROther(undefined);
    return new CBOROther(Number.isInteger(value) ? `n${BigInt(value)}` : `f${value}`);
  }
}

function textOf(chunk: Uint8Array): string {
  const text = readUTF8(chunk);
  if (text === undefined) throw bad();
  return text;
}

function float(data: Uint8Array): number {
  const view = new DataView(data.buffer, data.byteOffset, data.length);
  if (data.length === 4) return view.getFloat32(0);
  if (data.length === 8) return view.getFloat64(0);
  const bits = view.getUint16(0);
  const [sign, exponent, part] = [bits >> 15 ? -1 : 1, (bits >> 10) & 31, bits & 1023];
  if (exponent === 31) return part ? NaN : sign * Infinity;
  return sign * (exponent ? 2 ** (exponent - 25) * (1024 + part) : 2 ** -24 * part);
}

/** Decodes exactly one item. Raises `bad_cbor`, `trailing_bytes`. */
export function decodeCBOR(data: Uint8Array, depth: number, indefinite: boolean): CBORValue {
  const reader = new Reader(data, depth, indefinite);
  const value = reader.item(0);
  if (reader.at !== data.length) {
    throw new HallmarkError("trailing_bytes", `${data.length - reader.at} bytes follow the document.`);
  }
  return value;
}

/** A byte string of less than 2^16 bytes, encoded. */
export function encodeBytes(data: Uint8Array): Uint8Array {
  const size = data.length;
  const head = size < 24 ? [0x40 | size] : size < 256 ? [0x58, size] : [0x59, size >> 8, size & 255];
  return concat(Uint8Array.from(head), data);
}
