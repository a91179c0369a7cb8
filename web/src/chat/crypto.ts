// Sealing what is kept on this device: AES-256-GCM, with a data key that a passphrase or a device key wraps. Pure WebCrypto.

/** PBKDF2-SHA-256 rounds for a passphrase (OWASP 2023 asks for 600,000). */
export const ROUNDS = 600_000;

/** Sealed bytes: a fresh 12-byte nonce and the ciphertext with its 16-byte tag. */
export interface Sealed {
  readonly iv: Uint8Array<ArrayBuffer>;
  readonly data: Uint8Array<ArrayBuffer>;
}

/** Wrong key, wrong place, or changed bytes: AES-GCM cannot tell which, so neither can this. */
export class CannotOpen extends Error {
  constructor() {
    super("It cannot be opened: the passphrase is another one, or the data was changed.");
  }
}

type Bytes = Uint8Array<ArrayBuffer>;
const encoder = new TextEncoder();

/** Random bytes. */
export function randomBytes(size: number): Bytes {
  return crypto.getRandomValues(new Uint8Array(size));
}

/** A key that can seal and open, and whose bytes no script can read back. */
export async function importKey(raw: Bytes): Promise<CryptoKey> {
  return crypto.subtle.importKey("raw", raw, "AES-GCM", false, ["encrypt", "decrypt"]);
}

/** A new device key: made inside the browser, kept by it, never readable as bytes. */
export async function makeDeviceKey(): Promise<CryptoKey> {
  return crypto.subtle.generateKey({ name: "AES-GCM", length: 256 }, false, ["encrypt", "decrypt"]);
}

/** The key of a passphrase; `salt` has 16 bytes. Takes about half a second on purpose. */
export async function passphraseKey(passphrase: string, salt: Bytes, rounds = ROUNDS): Promise<CryptoKey> {
  const material = await crypto.subtle.importKey("raw", encoder.encode(passphrase.normalize("NFKC")), "PBKDF2", false, [
    "deriveKey",
  ]);
  const how = { name: "PBKDF2", hash: "SHA-256", salt, iterations: rounds };
  return crypto.subtle.deriveKey(how, material, { name: "AES-GCM", length: 256 }, false, ["encrypt", "decrypt"]);
}

/** Seals bytes for a place: a record that is moved to another name does not open. */
export async function seal(key: CryptoKey, place: string, data: Bytes): Promise<Sealed> {
  const iv = randomBytes(12);
  const sealed = await crypto.subtle.encrypt({ name: "AES-GCM", iv, additionalData: encoder.encode(place) }, key, data);
  return { iv, data: new Uint8Array(sealed) };
}

/** Opens sealed bytes. Throws CannotOpen. */
export async function open(key: CryptoKey, place: string, sealed: Sealed): Promise<Bytes> {
  try {
    const how = { name: "AES-GCM", iv: sealed.iv, additionalData: encoder.encode(place) };
    return new Uint8Array(await crypto.subtle.decrypt(how, key, sealed.data));
  } catch {
    throw new CannotOpen();
  }
}

/** Base64 of bytes. */
export function toBase64(data: Uint8Array): string {
  let text = "";
  for (let at = 0; at < data.length; at += 32_768) text += String.fromCharCode(...data.subarray(at, at + 32_768));
  return btoa(text);
}

/** Bytes of base64. Throws CannotOpen. */
export function fromBase64(text: string): Bytes {
  try {
    return Uint8Array.from(atob(text), (sign) => sign.charCodeAt(0));
  } catch {
    throw new CannotOpen();
  }
}
