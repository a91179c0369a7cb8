// IndexedDB as a few promises: named records in two stores, `keys` (as they are) and `records` (sealed).
import type { Sealed } from "./crypto.ts";

const NAME = "hallmark-chat";
const VERSION = 1;

/** One write of a transaction: a value, or undefined to delete. */
export interface Write {
  readonly store: "keys" | "records";
  readonly name: string;
  readonly value: unknown;
}

/** What must still stand in a record for a transaction to be made: `tag` as `tagOf` gives it, "" for no record. */
export interface Expected {
  readonly store: Write["store"];
  readonly name: string;
  readonly tag: string;
}

/** Where records are kept: the browser's database, or this page's memory. */
export interface Records {
  readonly lasting: boolean;
  get(store: Write["store"], name: string): Promise<unknown>;
  names(store: Write["store"]): Promise<string[]>;
  /**
   * All writes or none. False, and nothing written, when another window changed a record that was expected to stand as it
   * did, or when there are not `count` sealed records.
   */
  write(writes: readonly Write[], expected?: readonly Expected[], count?: number): Promise<boolean>;
}

/** What tells one state of a record from every other: the nonce under which it, or what it wraps, is sealed. */
export function tagOf(value: unknown): string {
  if (value === undefined) return "";
  const sealed = isSealed(value) ? value : (value as { readonly wrapped?: unknown } | null)?.wrapped;
  return isSealed(sealed) ? sealed.iv.join() : "other";
}

/** The browser's database. Throws DOMException when the browser does not allow one. */
export async function openDatabase(): Promise<Records> {
  const request = indexedDB.open(NAME, VERSION);
  request.onupgradeneeded = () => {
    request.result.createObjectStore("keys");
    request.result.createObjectStore("records");
  };
  const database = await settled(request);
  return {
    lasting: true,
    get: (store, name) => settled(database.transaction(store).objectStore(store).get(name)),
    names: async (store) => (await settled(database.transaction(store).objectStore(store).getAllKeys())).map(String),
    write: (writes, expected = [], count = undefined) => transact(database, writes, expected, count),
  };
}

/** Compares and writes in one transaction, which the browser runs alone: no other window comes between. */
function transact(
  database: IDBDatabase,
  writes: readonly Write[],
  expected: readonly Expected[],
  count: number | undefined,
): Promise<boolean> {
  return new Promise((resolve, reject) => {
    const transaction = database.transaction(["keys", "records"], "readwrite");
    let stands = true;
    for (const { store, name, tag } of expected) {
      const found = transaction.objectStore(store).get(name);
      found.onsuccess = () => (stands &&= tagOf(found.result) === tag);
    }
    const counted = transaction.objectStore("records").count();
    // Requests of one transaction are answered in order: when this one is, all the others were.
    counted.onsuccess = () => {
      if (!stands || (count !== undefined && counted.result !== count)) return void (stands = false);
      for (const { store, name, value } of writes) {
        if (value === undefined) transaction.objectStore(store).delete(name);
        else transaction.objectStore(store).put(value, name);
      }
    };
    transaction.oncomplete = () => resolve(stands);
    transaction.onerror = transaction.onabort = () =>
      reject(transaction.error ?? new Error("The browser did not store it."));
  });
}

/** This page's memory: for browsers or addresses that allow no database. */
export function memoryRecords(): Records {
  const stores = { keys: new Map<string, unknown>(), records: new Map<string, unknown>() };
  return {
    lasting: false,
    get: async (store, name) => stores[store].get(name),
    names: async (store) => [...stores[store].keys()],
    write: async (writes, expected = [], count = stores.records.size) => {
      const moved = expected.some(({ store, name, tag }) => tagOf(stores[store].get(name)) !== tag);
      if (moved || count !== stores.records.size) return false;
      for (const { store, name, value } of writes) {
        if (value === undefined) stores[store].delete(name);
        else stores[store].set(name, value);
      }
      return true;
    },
  };
}

/** True for what `seal` makes. */
export function isSealed(value: unknown): value is Sealed {
  const found = value as Partial<Sealed> | null | undefined;
  return found?.iv instanceof Uint8Array && found.data instanceof Uint8Array;
}

function settled<T>(request: IDBRequest<T>): Promise<T> {
  return new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error ?? new Error("The browser's database did not answer."));
  });
}
