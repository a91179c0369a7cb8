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

/** Where records are kept: the browser's database, or this page's memory. */
export interface Records {
  readonly lasting: boolean;
  get(store: Write["store"], name: string): Promise<unknown>;
  names(store: Write["store"]): Promise<string[]>;
  /** All writes or none. */
  write(writes: readonly Write[]): Promise<void>;
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
    write: (writes) =>
      new Promise((resolve, reject) => {
        const transaction = database.transaction(["keys", "records"], "readwrite");
        for (const { store, name, value } of writes) {
          if (value === undefined) transaction.objectStore(store).delete(name);
          else transaction.objectStore(store).put(value, name);
        }
        transaction.oncomplete = () => resolve();
        transaction.onerror = transaction.onabort = () =>
          reject(transaction.error ?? new Error("The browser did not store it."));
      }),
  };
}

/** This page's memory: for browsers or addresses that allow no database. */
export function memoryRecords(): Records {
  const stores = { keys: new Map<string, unknown>(), records: new Map<string, unknown>() };
  return {
    lasting: false,
    get: async (store, name) => stores[store].get(name),
    names: async (store) => [...stores[store].keys()],
    write: async (writes) => {
      for (const { store, name, value } of writes) {
        if (value === undefined) stores[store].delete(name);
        else stores[store].set(name, value);
      }
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
