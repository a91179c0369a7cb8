// A key that the person chose to keep in this browser: sealed with a passphrase, in IndexedDB, never as plain bytes.
import { open, passphraseKey, randomBytes, seal, type Sealed } from "../chat/crypto.ts";

const DATABASE = "hallmark-review";
const STORE = "keys";
const PLACE = "reviewer-key";

interface Kept {
  readonly address: string;
  readonly salt: Uint8Array<ArrayBuffer>;
  readonly sealed: Sealed;
}

/** The address of the kept key, or nothing when none is kept or the browser keeps nothing. */
export async function keptAddress(): Promise<string | undefined> {
  try {
    return (await read())?.address;
  } catch {
    return undefined;
  }
}

/** Seals a key with a passphrase and keeps it. */
export async function keep(address: string, secret: Uint8Array<ArrayBuffer>, passphrase: string): Promise<void> {
  const salt = randomBytes(16);
  const kept: Kept = { address, salt, sealed: await seal(await passphraseKey(passphrase, salt), PLACE, secret) };
  await within("readwrite", (store) => store.put(kept, PLACE));
}

/** Opens the kept key. Throws CannotOpen for another passphrase. */
export async function unlock(passphrase: string): Promise<Uint8Array | undefined> {
  const kept = await read();
  return kept && open(await passphraseKey(passphrase, kept.salt), PLACE, kept.sealed);
}

/** Forgets the kept key. */
export async function forget(): Promise<void> {
  await within("readwrite", (store) => store.delete(PLACE));
}

async function read(): Promise<Kept | undefined> {
  return (await within("readonly", (store) => store.get(PLACE))) as Kept | undefined;
}

async function within(mode: IDBTransactionMode, work: (store: IDBObjectStore) => IDBRequest): Promise<unknown> {
  const opening = indexedDB.open(DATABASE, 1);
  opening.onupgradeneeded = () => opening.result.createObjectStore(STORE);
  const database = await result(opening);
  try {
    return await result(work(database.transaction(STORE, mode).objectStore(STORE)));
  } finally {
    database.close();
  }
}

function result<T>(request: IDBRequest<T>): Promise<T> {
  return new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error ?? new Error("IndexedDB"));
  });
}
