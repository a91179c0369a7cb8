/**
 * Types of JSON values: each reads a parsed value or refuses it, and writes it back in canonical form. They say what
 * the Python structs say, so that both refuse the same texts: unknown members, missing ones, wrong types, texts that
 * miss their pattern.
 */
import { HallmarkError } from "./errors.ts";
import { byCodePoint, Members, quoted, type JSONValue } from "./json.ts";

/** A type: `read` raises `bad_value`; `write` gives canonical JSON; a member with `fallback` may be left out. */
export interface Type<T> {
  read(value: JSONValue): T;
  write(value: T): string;
  readonly fallback?: { readonly value: T };
}

/** The value that a type reads. */
export type Of<X> = X extends Type<infer T> ? T : never;
type Fields = Readonly<Record<string, Type<never> | Type<unknown>>>;
type Values<F extends Fields> = { readonly [Name in keyof F]: F[Name] extends Type<infer T> ? T : never };

function refused(what: string): HallmarkError {
  return new HallmarkError("bad_value", `A value is not ${what}.`);
}

/** A text that matches `pattern`, or any. */
export function text(pattern?: RegExp): Type<string> {
  return {
    read(value) {
      if (typeof value !== "string" || (pattern && !pattern.test(value))) throw refused("the text that belongs there");
      return value;
    },
    write: quoted,
  };
}

/** An integer from 0 to 2^63 - 1: a position, a time or a number of things, as far as C2SP and SQL both count. */
export const uint63: Type<bigint> = {
  read(value) {
    if (typeof value !== "bigint" || value < 0n || value >> 63n) throw refused("an integer from 0 to 2^63 - 1");
    return value;
  },
  write: String,
};

/** An integer of any size. */
export const integer: Type<bigint> = {
  read(value) {
    if (typeof value !== "bigint") throw refused("an integer");
    return value;
  },
  write: String,
};

/** true or false. */
export const boolean: Type<boolean> = {
  read(value) {
    if (typeof value !== "boolean") throw refused("true or false");
    return value;
  },
  write: String,
};

/** A text or an integer. */
export const textOrInteger: Type<string | bigint> = {
  read(value) {
    if (typeof value !== "string" && typeof value !== "bigint") throw refused("a text or an integer");
    return value;
  },
  write: (value) => (typeof value === "string" ? quoted(value) : String(value)),
};

/** Anything; what is written of it is nothing that a digest rests on. */
export const anything: Type<JSONValue> = { read: (value) => value, write: () => "null" };

/** A list of values of one type. */
export function list<T>(item: Type<T>): Type<readonly T[]> {
  return {
    read(value) {
      if (!Array.isArray(value)) throw refused("a list");
      return value.map((each) => item.read(each));
    },
    write: (values) => `[${values.map((each) => item.write(each)).join(",")}]`,
  };
}

/** A map from texts to values of one type; written in the order of its keys. */
export function table<T>(item: Type<T>): Type<ReadonlyMap<string, T>> {
  return {
    read(value) {
      if (!(value instanceof Members)) throw refused("an object");
      return new Map(value.list.map(([name, each]) => [name, item.read(each)]));
    },
    write(values) {
      const sorted = [...values].sort(([one], [two]) => byCodePoint(one, two));
      return `{${sorted.map(([name, each]) => `${quoted(name)}:${item.write(each)}`).join(",")}}`;
    },
  };
}

/** A map from texts to values of one type, written in its own order. */
export function record<T>(item: Type<T>): Type<ReadonlyMap<string, T>> {
  const members = (values: ReadonlyMap<string, T>) => [...values].map(([name, each]) => `${quoted(name)}:${item.write(each)}`);
  return { read: table(item).read, write: (values) => `{${members(values).join(",")}}` };
}

/** The same type, or null. */
export function nullable<T>(type: Type<T>): Type<T | null> {
  return {
    read: (value) => (value === null ? null : type.read(value)),
    write: (value) => (value === null ? "null" : type.write(value)),
    fallback: { value: null },
  };
}

/** The same type with the value that stands where the member is left out. */
export function withDefault<T>(type: Type<T>, value: T): Type<T> {
  return { read: type.read, write: type.write, fallback: { value } };
}

/** The same type for a member that may not be there, and then is not written. */
export function optional<T>(type: Type<T>): Type<T | undefined> {
  return {
    read: type.read,
    write: (value) => (value === undefined ? "" : type.write(value)),
    fallback: { value: undefined },
  };
}

/** An object with these members, in this order when written; unless `open`, it has no others. */
export function struct<F extends Fields>(fields: F, open = false): Type<Values<F>> {
  const types = fields as unknown as Readonly<Record<string, Type<unknown>>>;
  return {
    read(value) {
      if (!(value instanceof Members)) throw refused("an object");
      const found: Record<string, unknown> = {};
      for (const [name, each] of value.list) {
        const type = Object.hasOwn(types, name) ? types[name] : undefined;
        if (type) found[name] = type.read(each);
        else if (!open) throw refused("an object without unknown members");
      }
      for (const [name, type] of Object.entries(types)) {
        if (Object.hasOwn(found, name)) continue;
        if (!type.fallback) throw refused("an object with all its members");
        found[name] = type.fallback.value;
      }
      return found as Values<F>;
    },
    write(values) {
      const given = values as Readonly<Record<string, unknown>>;
      const members = Object.entries(types).flatMap(([name, type]) => {
        const written = type.write(given[name]);
        return written === "" ? [] : [`${quoted(name)}:${written}`];
      });
      return `{${members.join(",")}}`;
    },
  };
}

export const Hex20 = text(/^0x[0-9a-f]{40}$/);
export const Hex32 = text(/^0x[0-9a-f]{64}$/);
export const Hex48 = text(/^0x[0-9a-f]{96}$/);
export const HexBytes = text(/^0x([0-9a-f]{2})*$/);
export const Base64 = text(/^[A-Za-z0-9+/]*={0,2}$/);
export const Signature = text(/^0x[0-9a-f]{130}$/);
