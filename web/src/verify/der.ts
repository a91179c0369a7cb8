/** Strict DER (ITU-T X.690), only what certificates need: definite, minimal lengths, one-byte tags (attestation/der.py). */
import { hex, readUint } from "./bytes.ts";
import { HallmarkError } from "./errors.ts";

export const TAGS = {
  boolean: 0x01, integer: 0x02, bits: 0x03, octets: 0x04, oid: 0x06, utcTime: 0x17, time: 0x18, sequence: 0x30,
} as const;

/** One element: its tag byte, its content, and all its bytes. */
export interface Element {
  readonly tag: number;
  readonly content: Uint8Array;
  readonly whole: Uint8Array;
}

/** The error of every certificate that cannot be read. */
export function unreadable(): HallmarkError {
  return new HallmarkError("certificate_unreadable", "A certificate cannot be read.");
}

/** Reads elements one behind the other. Every method raises `certificate_unreadable`. */
export class DER {
  private at = 0;
  private readonly data: Uint8Array;

  constructor(data: Uint8Array) {
    this.data = data;
  }

  get done(): boolean {
    return this.at === this.data.length;
  }

  /** The tag of the element that comes next; undefined at the end. */
  get next(): number | undefined {
    return this.data[this.at];
  }

  /** The next element, of this tag if one is given. */
  take(tag?: number): Element {
    const from = this.at;
    const found = this.byte();
    if ((found & 31) === 31 || (tag !== undefined && found !== tag)) throw unreadable();
    const size = this.size();
    if (this.data.length - this.at < size) throw unreadable();
    this.at += size;
    return { tag: found, content: this.data.subarray(this.at - size, this.at), whole: this.data.subarray(from, this.at) };
  }

  /** The next element if it has this tag. */
  maybe(tag: number): Element | undefined {
    return this.next === tag ? this.take(tag) : undefined;
  }

  /** The elements inside the next one, which has this tag. */
  into(tag: number): DER {
    return new DER(this.take(tag).content);
  }

  /** Refuses anything that is left. */
  end(): void {
    if (!this.done) throw unreadable();
  }

  private byte(): number {
    const value = this.data[this.at++];
    if (value === undefined) throw unreadable();
    return value;
  }

  private size(): number {
    const first = this.byte();
    if (first < 0x80) return first;
    const count = first & 0x7f;
    if (count < 1 || count > 4) throw unreadable();
    let size = 0;
    for (let step = 0; step < count; step++) size = size * 256 + this.byte();
    if (size < (count === 1 ? 0x80 : 256 ** (count - 1))) throw unreadable();
    return size;
  }
}

/** The whole of `data` as one element of this tag, opened. */
export function open(data: Uint8Array, tag: number): DER {
  const outer = new DER(data);
  const inner = outer.into(tag);
  outer.end();
  return inner;
}

/** The value of a minimal INTEGER. */
export function integerOf({ content }: Element): bigint {
  const [first, second] = content;
  if (first === undefined) throw unreadable();
  const negative = first >= 0x80;
  if (second !== undefined && ((first === 0 && second < 0x80) || (first === 0xff && second >= 0x80))) throw unreadable();
  const value = readUint(content);
  return negative ? value - (1n << BigInt(8 * content.length)) : value;
}

/** A BOOLEAN DEFAULT FALSE: absent, or TRUE with all bits set; DER writes no default down. */
export function defaultFalse(parts: DER): boolean {
  const found = parts.maybe(TAGS.boolean);
  if (found && (found.content.length !== 1 || found.content[0] !== 0xff)) throw unreadable();
  return found !== undefined;
}

/** The bytes of a BIT STRING, and how many bits at its end are padding (all zero). */
export function bitsOf({ content }: Element): { readonly bytes: Uint8Array; readonly padding: number } {
  const [padding, bytes] = [content[0], content.subarray(1)];
  if (padding === undefined || padding > 7 || (padding && !bytes.length)) throw unreadable();
  if (padding && (bytes[bytes.length - 1] as number) & ((1 << padding) - 1)) throw unreadable();
  return { bytes, padding };
}

/** The bytes of a BIT STRING without padding. */
export function bytesOf(element: Element): Uint8Array {
  const { bytes, padding } = bitsOf(element);
  if (padding) throw unreadable();
  return bytes;
}

/** The content of a well-formed OBJECT IDENTIFIER, hex; identifiers are compared by it. */
export function oidOf({ content }: Element): string {
  let fresh = true;
  for (const byte of content) {
    if (fresh && byte === 0x80) throw unreadable();
    fresh = byte < 0x80;
  }
  if (!content.length || !fresh) throw unreadable();
  return hex(content);
}

/** Unix ms of a UTCTime or GeneralizedTime in the form that RFC 5280 asks for. */
export function timeOf({ tag, content }: Element): bigint {
  const text = String.fromCharCode(...content);
  const parts = (tag === TAGS.utcTime ? /^(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)Z$/ : /^(\d{4})(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)Z$/).exec(text);
  if (!parts || (tag !== TAGS.utcTime && tag !== TAGS.time)) throw unreadable();
  const [given = 0, month = 0, day = 0, hour = 0, minute = 0, second = 0] = parts.slice(1).map(Number);
  const year = tag === TAGS.time ? given : given + (given >= 50 ? 1900 : 2000);
  const date = new Date(0);
  date.setUTCFullYear(year, month - 1, day);
  const real = date.getUTCMonth() === month - 1 && date.getUTCDate() === day && year > 0;
  if (!real || hour > 23 || minute > 59 || second > 59) throw unreadable();
  date.setUTCHours(hour, minute, second);
  return BigInt(date.getTime());
}
