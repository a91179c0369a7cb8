/** The two AEADs of sealed requests: AES-128-GCM by WebCrypto (constant time where the machine has it), ChaCha20-Poly1305. */
import { chacha20poly1305 } from "@noble/ciphers/chacha.js";
import { HallmarkError } from "../verify/errors.ts";

export const AES_128_GCM = 0x0001;
export const CHACHA20_POLY1305 = 0x0003;
/** Bytes of a nonce and of a tag, with both. */
export const NONCE = 12;
export const TAG = 16;

/** Bytes of a key by AEAD. */
export const KEY_SIZES: ReadonlyMap<number, number> = new Map([[AES_128_GCM, 16], [CHACHA20_POLY1305, 32]]);

type Bytes = Uint8Array<ArrayBuffer>;

/** One key. Nonces are the caller's affair: none may be used twice. */
export interface AEADKey {
  seal(nonce: Uint8Array, aad: Uint8Array, plain: Uint8Array): Promise<Bytes>;
  /** Throws `sealed_tampered`. */
  open(nonce: Uint8Array, aad: Uint8Array, sealed: Uint8Array): Promise<Bytes>;
}

/** What arrived is not what was sealed. */
export function tampered(): HallmarkError {
  return new HallmarkError(
    "sealed_tampered",
    "What arrived is not what was sealed: it was changed, reordered or made by somebody else on its way.",
    "Keep nothing of it. Ask again, through another relay if it happens twice.",
  );
}

/** A key of an AEAD (`id` as registered for HPKE). Throws `unknown_suite`. */
export async function aeadKey(id: number, key: Uint8Array): Promise<AEADKey> {
  if (key.length !== KEY_SIZES.get(id)) throw new HallmarkError("unknown_suite", "There is no such AEAD, or the key has another size.");
  return id === AES_128_GCM ? await gcm(key) : chacha(key);
}

async function gcm(raw: Uint8Array): Promise<AEADKey> {
  const key = await crypto.subtle.importKey("raw", owned(raw), "AES-GCM", false, ["encrypt", "decrypt"]);
  const use = (nonce: Uint8Array, aad: Uint8Array) => ({ name: "AES-GCM", iv: owned(nonce), additionalData: owned(aad), tagLength: 8 * TAG });
  return {
    seal: async (nonce, aad, plain) => new Uint8Array(await crypto.subtle.encrypt(use(nonce, aad), key, owned(plain))),
    open: async (nonce, aad, sealed) => {
      try {
        return new Uint8Array(await crypto.subtle.decrypt(use(nonce, aad), key, owned(sealed)));
      } catch {
        throw tampered();
      }
    },
  };
}

function chacha(key: Uint8Array): AEADKey {
  return {
    seal: async (nonce, aad, plain) => owned(chacha20poly1305(key, nonce, aad).encrypt(plain)),
    open: async (nonce, aad, sealed) => {
      try {
        return owned(chacha20poly1305(key, nonce, aad).decrypt(sealed));
      } catch {
        throw tampered();
      }
    },
  };
}

function owned(data: Uint8Array): Bytes {
  return data as Bytes;
}
