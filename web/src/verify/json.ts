/**
 * JSON (RFC 8259) as msgspec reads and writes it, so that both verifiers refuse the same files: strict UTF-8, no
 * lone surrogates, no control characters in strings, integers of any size up to 4,300 digits. No object may name a
 * member twice. Numbers with a fraction or an exponent are `Float`, which no type of ours takes.
 */
import { readUTF8 } from "./bytes.ts";
import { HallmarkError } from "./errors.ts";

/** A number that is no integer text. */
export class Float {
  readonly value: number;
  constructor(value: number) {
    this.value = value;
  }
}

/** The members of a JSON object as they stand in the text. */
export class Members {
  readonly list: readonly (readonly [string, JSONValue])[];
  constructor(list: readonly (readonly [string, JSONValue])[]) {
    this.list = list;
  }

  /** Name to value; where repeated members are let pass, of those the last. */
  table(): Map<string, JSONValue> {
    return new Map(this.list);
  }
}

/** A JSON value; integers are bigint. */
export type JSONValue = string | bigint | boolean | null | Float | JSONValue[] | Members;

const MAX_DIGITS = 4300;
const MAX_DEPTH = 900;
const NUMBER = /-?(?:0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?/y;
const PLAIN = /[^"\\\u0000-\u001f]*/y;
const SPACE = /[ \t\n\r]*/y;
const ESCAPES: Record<string, string> = { '"': '"', "\\": "\\", "/": "/", b: "\b", f: "\f", n: "\n", r: "\r", t: "\t" };
const LITERALS: readonly [string, JSONValue][] = [["true", true], ["false", false], ["null", null]];

function malformed(): HallmarkError {
  return new HallmarkError("bad_json", "This is not JSON.");
}

class Reader {
  private at = 0;
  private readonly text: string;
  private readonly repeats: boolean;

  constructor(text: string, repeats: boolean) {
    this.text = text;
    this.repeats = repeats;
  }

  whole(): JSONValue {
    const value = this.value(0);
    this.match(SPACE);
    if (this.at !== this.text.length) throw malformed();
    return value;
  }

  private match(pattern: RegExp): RegExpExecArray | null {
    pattern.lastIndex = this.at;
    const found = pattern.exec(this.text);
    if (found) this.at += found[0].length;
    return found;
  }

  private takes(sign: string): boolean {
    this.match(SPACE);
    if (this.text[this.at] !== sign) return false;
    this.at++;
    return true;
  }

  private value(depth: number): JSONValue {
    if (depth > MAX_DEPTH) throw malformed();
    if (this.takes("{")) return this.object(depth);
    if (this.takes("[")) return this.array(depth);
    if (this.takes('"')) return this.string();
    for (const [word, value] of LITERALS) {
      if (this.text.startsWith(word, this.at)) {
        this.at += word.length;
        return value;
      }
    }
    return this.number();
  }

  private number(): JSONValue {
    const found = this.match(NUMBER);
    if (!found || /[0-9.eE+-]/.test(this.text[this.at] ?? "")) throw malformed();
    const text = found[0];
    if (found[1] === undefined && found[2] === undefined) {
      if (text.length - (text.startsWith("-") ? 1 : 0) > MAX_DIGITS) throw malformed();
      return BigInt(text);
    }
    const value = Number(text);
    if (!Number.isFinite(value)) throw malformed();
    return new Float(value);
  }

  private object(depth: number): JSONValue {
    const members: [string, JSONValue][] = [];
    if (this.takes("}")) return new Members(members);
    do {
      if (!this.takes('"')) throw malformed();
      const name = this.string();
      if (!this.takes(":")) throw malformed();
      members.push([name, this.value(depth + 1)]);
    } while (this.takes(","));
    if (!this.takes("}")) throw malformed();
    if (!this.repeats && new Set(members.map(([name]) => name)).size !== members.length) throw malformed();
    return new Members(members);
  }

  private array(depth: number): JSONValue {
    const items: JSONValue[] = [];
    if (this.takes("]")) return items;
    do items.push(this.value(depth + 1));
    while (this.takes(","));
    if (!this.takes("]")) throw malformed();
    return items;
  }

  private string(): string {
    let text = "";
    for (;;) {
      text += this.match(PLAIN)?.[0] ?? "";
      const sign = this.text[this.at++];
      if (sign === '"') return text;
      if (sign !== "\\") throw malformed();
      const letter = this.text[this.at++] ?? "";
      text += letter === "u" ? this.unicode() : escaped(letter);
    }
  }

  private unicode(): string {
    const first = this.unit();
    if (first < 0xd800 || first > 0xdfff) return String.fromCharCode(first);
    if (first > 0xdbff || this.text[this.at] !== "\\" || this.text[this.at + 1] !== "u") throw malformed();
    this.at += 2;
    const second = this.unit();
    if (second < 0xdc00 || second > 0xdfff) throw malformed();
    return String.fromCharCode(first, second);
  }

  private unit(): number {
    const digits = this.text.slice(this.at, this.at + 4);
    if (!/^[0-9a-fA-F]{4}$/.test(digits)) throw malformed();
    this.at += 4;
    return parseInt(digits, 16);
  }
}

function escaped(letter: string): string {
  const found = Object.hasOwn(ESCAPES, letter) ? ESCAPES[letter] : undefined;
  if (found === undefined) throw malformed();
  return found;
}

/** Reads one JSON value; `repeats` lets objects name a member twice, as others' may. Raises `bad_json`. */
export function parseJSON(data: Uint8Array | string, repeats = false): JSONValue {
  const text = typeof data === "string" ? data : readUTF8(data);
  if (text === undefined || /\p{Cs}/u.test(text)) throw malformed();
  return new Reader(text, repeats).whole();
}

/** A JSON string, escaped as msgspec does. */
export function quoted(text: string): string {
  return JSON.stringify(text);
}

/** A value as text, one member a line, each level one space deeper. */
export function indented(value: JSONValue, line: string): string {
  const inner = `${line} `;
  if (typeof value === "string") return quoted(value);
  if (Array.isArray(value)) {
    const items = value.map((item) => inner + indented(item, inner));
    return items.length ? `[${items.join(",")}${line}]` : "[]";
  }
  if (value instanceof Members) {
    const members = value.list.map(([name, item]) => `${inner}${quoted(name)}: ${indented(item, inner)}`);
    return members.length ? `{${members.join(",")}${line}}` : "{}";
  }
  return String(value instanceof Float ? value.value : value);
}

/** Orders texts by code points, as Python does. */
export function byCodePoint(left: string, right: string): number {
  const [one, two] = [[...left], [...right]];
  for (let at = 0; at < Math.min(one.length, two.length); at++) {
    const apart = (one[at]?.codePointAt(0) ?? 0) - (two[at]?.codePointAt(0) ?? 0);
    if (apart) return apart;
  }
  return one.length - two.length;
}

/** What can be written as JSON here: plain objects, maps, lists, texts, integers. */
export type Plain = string | number | bigint | boolean | null | readonly Plain[] | { readonly [name: string]: Plain | undefined };

/** Canonical JSON: members sorted by name, no white space; what both verifiers' marks are compared by. */
export function canonical(value: Plain): string {
  if (typeof value === "string") return quoted(value);
  if (value === null || typeof value !== "object") return String(value);
  if (Array.isArray(value)) return `[${value.map((item: Plain) => canonical(item)).join(",")}]`;
  const members = Object.entries(value as { readonly [name: string]: Plain | undefined });
  const kept = members.filter((member): member is [string, Plain] => member[1] !== undefined);
  kept.sort(([one], [two]) => byCodePoint(one, two));
  return `{${kept.map(([name, item]) => `${quoted(name)}:${canonical(item)}`).join(",")}}`;
}
