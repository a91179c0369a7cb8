/**
 * Trust files as people have them: `trust.toml`, in the part of TOML that `Trust.to_toml` writes (verification/trust.py).
 * A line is a heading, or a key with a text, a whole number, a truth value or a list of them; nothing else is read. What
 * comes out is the JSON form, which trust.ts reads as strictly as ever.
 */
import { HallmarkError } from "../verify/errors.ts";

const KEY = `(?:[A-Za-z0-9_-]+|"(?:[^"\\\\]|\\\\.)*")`;
const HEADING = new RegExp(`^(\\[\\[?)(${KEY}(?:\\.${KEY})*)(\\]\\]?)$`);
const LINE = new RegExp(`^(${KEY}) = (.*)$`);
const VALUE = /^(?:-?(?:0|[1-9]\d*)|true|false|"(?:[^"\\\u0000-\u001f]|\\.)*")$/;
const LIST = /^\[(.*)\]$/;
const ITEMS = /(?:-?(?:0|[1-9]\d*)|true|false|"(?:[^"\\\u0000-\u001f]|\\.)*")(?:, |$)/y;
const LONG = '"""';

/** A table: members by name, each a value's JSON text, a table, or tables. */
type Table = Map<string, string | Table | Table[]>;

/** The JSON text of a trust file that is written as TOML. Raises `bad_trust_file`. */
export function fromTOML(text: string): string {
  const root: Table = new Map();
  let table = root;
  const lines = text.replaceAll("\r\n", "\n").split("\n");
  for (let at = 0; at < lines.length; at++) {
    const line = (lines[at] ?? "").trimEnd();
    if (line === "" || line.startsWith("#")) continue;
    const heading = HEADING.exec(line);
    if (heading) {
      table = opened(root, heading, at);
      continue;
    }
    const [, name, value] = LINE.exec(line) ?? unread(at);
    if (value === LONG) {
      const end = lines.findIndex((each, number) => number > at && each.trimEnd().endsWith(LONG));
      const long = end < 0 ? unread(at) : lines.slice(at + 1, end + 1).join("\n").trimEnd().slice(0, -LONG.length);
      if (long.includes("\\") || long.includes(LONG)) unread(at);
      put(table, keyOf(name ?? ""), JSON.stringify(long), at);
      at = end;
    } else put(table, keyOf(name ?? ""), valueOf(value ?? "", at), at);
  }
  return written(root);
}

function opened(root: Table, [, open, path, close]: RegExpExecArray, at: number): Table {
  if (open?.length !== close?.length) unread(at);
  const names = (path ?? "").match(new RegExp(KEY, "g"))?.map(keyOf) ?? [];
  let table = root;
  names.forEach((name, depth) => {
    const last = depth === names.length - 1;
    const found = table.get(name);
    if (!last && Array.isArray(found) && found.length) table = found.at(-1) ?? table;
    else if (!last && found instanceof Map) table = found;
    else if (last && open === "[[" && (found === undefined || Array.isArray(found))) {
      const made: Table = new Map();
      table.set(name, [...(found ?? []), made]);
      table = made;
    } else if (last && open === "[" && found === undefined) {
      const made: Table = new Map();
      table.set(name, made);
      table = made;
    } else unread(at);
  });
  return table;
}

function put(table: Table, name: string, value: string, at: number): void {
  if (table.has(name)) unread(at);
  table.set(name, value);
}

function valueOf(text: string, at: number): string {
  if (VALUE.test(text)) return text;
  let rest = LIST.exec(text)?.[1] ?? unread(at);
  const items: string[] = [];
  while (rest !== "") {
    ITEMS.lastIndex = 0;
    const [item] = ITEMS.exec(rest) ?? unread(at);
    items.push(item.replace(/, $/, ""));
    rest = rest.slice(item.length);
  }
  return `[${items.join(",")}]`;
}

function keyOf(text: string): string {
  return text.startsWith('"') ? (JSON.parse(text) as string) : text;
}

function written(table: Table): string {
  const members = [...table].map(([name, value]) => {
    const text = typeof value === "string" ? value : Array.isArray(value) ? `[${value.map(written).join(",")}]` : written(value);
    return `${JSON.stringify(name)}:${text}`;
  });
  return `{${members.join(",")}}`;
}

function unread(at: number): never {
  throw new HallmarkError("bad_trust_file", "This is not a trust file as the network writes it.", `Line ${at + 1} cannot be read.`);
}
