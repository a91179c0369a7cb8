// JSON objects as members with the exact text of their values: what is kept and hashed is never parsed and rewritten.
import { HallmarkError } from "../verify/errors.ts";

/** An object's members, each with the exact text of its value; of repeated names the last. */
export type RawMembers = ReadonlyMap<string, string>;

const SPACE = /[ \t\n\r]*/y;
const STRING = /"(?:[^"\\\u0000-\u001f]|\\.)*"/y;
const SCALAR = /[^\s,\]}]+/y;

/** Takes an object apart. Throws `bad_json` when the text is not JSON, or not an object. */
export function rawMembers(text: string): Map<string, string> {
  try {
    JSON.parse(text);
  } catch {
    throw new HallmarkError("bad_json", "This is not JSON.");
  }
  // From here on the text is known to be JSON, so the scan needs to find borders only.
  const found = new Map<string, string>();
  let at = skip(SPACE, text, 0);
  if (text[at] !== "{") throw new HallmarkError("bad_json", "This is not a JSON object.");
  at = skip(SPACE, text, at + 1);
  while (text[at] === '"') {
    const nameEnd = skip(STRING, text, at);
    const name = JSON.parse(text.slice(at, nameEnd)) as string;
    at = skip(SPACE, text, skip(SPACE, text, nameEnd) + 1);
    const end = valueEnd(text, at);
    found.set(name, text.slice(at, end));
    at = skip(SPACE, text, end);
    if (text[at] === ",") at = skip(SPACE, text, at + 1);
  }
  return found;
}

/** An object of such members; the inverse of `rawMembers` but for white space. */
export function rawObject(members: Iterable<readonly [string, string]>): string {
  return `{${[...members].map(([name, value]) => `${JSON.stringify(name)}:${value}`).join(",")}}`;
}

/** The value at a path of names, as JavaScript reads it; undefined when there is none. Integers above 2^53 lose digits. */
export function valueAt(members: RawMembers, first: string, ...path: readonly string[]): unknown {
  const raw = members.get(first);
  let value: unknown = raw === undefined ? undefined : JSON.parse(raw);
  for (const name of path) {
    value =
      typeof value === "object" && value !== null && Object.hasOwn(value, name)
        ? (value as Record<string, unknown>)[name]
        : undefined;
  }
  return value;
}

/** The text at a path of names; "" when it is no text. */
export function textAt(members: RawMembers, first: string, ...path: readonly string[]): string {
  const value = valueAt(members, first, ...path);
  return typeof value === "string" ? value : "";
}

/** The number at a path of names; 0 when it is no number. */
export function numberAt(members: RawMembers, first: string, ...path: readonly string[]): number {
  const value = valueAt(members, first, ...path);
  return typeof value === "number" ? value : 0;
}

function valueEnd(text: string, start: number): number {
  if (text[start] === '"') return skip(STRING, text, start);
  if (text[start] !== "{" && text[start] !== "[") return skip(SCALAR, text, start);
  let depth = 0;
  for (let at = start; at < text.length;) {
    const sign = text[at];
    if (sign === '"') {
      at = skip(STRING, text, at);
      continue;
    }
    if (sign === "{" || sign === "[") depth += 1;
    if (sign === "}" || sign === "]") depth -= 1;
    at += 1;
    if (depth === 0) return at;
  }
  throw new HallmarkError("bad_json", "This is not JSON.");
}

function skip(pattern: RegExp, text: string, at: number): number {
  pattern.lastIndex = at;
  return pattern.test(text) ? pattern.lastIndex : at;
}
