/**
 * Key configurations (RFC 9458 section 3, application/ohttp-keys), and the schedule that fixes every one of a node's in its
 * key bundle: configurations of window w are the leaf u64be(w) || blob of an RFC 6962 tree whose root the bundle holds. One
 * logged bundle therefore fixes all keys of all windows, and nobody can be given a key of his own.
 */
import { concat, readUint, uint, unhex, EMPTY } from "../verify/bytes.ts";
import { HallmarkError } from "../verify/errors.ts";
import { leads } from "../verify/tree.ts";
import type { Sealing } from "../verify/documents.ts";
import type { Suite } from "./hpke.ts";
import { HKDF_SHA256, number } from "./hkdf.ts";
import { KEMS, XWING } from "./kem.ts";

/** One configuration: a key, and with which KDF and AEAD pairs it may be used. */
export interface KeyConfiguration {
  readonly id: number;
  readonly kem: number;
  readonly publicKey: Uint8Array;
  readonly symmetric: readonly (readonly [kdf: number, aead: number])[];
}

/** Keys of a window are used this long before it begins and after it ended (ms): clocks differ. */
const GRACE = 120_000n;

function bad(): HallmarkError {
  return new HallmarkError("bad_key_configuration", "The key configurations cannot be read.", "Nothing was sent.");
}

/** Reads one configuration, all of `data`. Throws `bad_key_configuration`, also for KEMs that are not known here. */
export function decodeConfiguration(data: Uint8Array): KeyConfiguration {
  const kem = KEMS.get(Number(readUint(data.subarray(1, 3))));
  if (data.length < 3 || !kem) throw bad();
  const at = 3 + kem.publicKey;
  const size = Number(readUint(data.subarray(at, at + 2)));
  if (data.length !== at + 2 + size || size === 0 || size % 4) throw bad();
  const symmetric = Array.from({ length: size / 4 }, (_, each) => {
    const pair = data.subarray(at + 2 + 4 * each, at + 6 + 4 * each);
    return [Number(readUint(pair.subarray(0, 2))), Number(readUint(pair.subarray(2)))] as const;
  });
  return { id: data[0] ?? 0, kem: kem.id, publicKey: data.slice(3, at), symmetric };
}

/** Writes one configuration. */
export function encodeConfiguration({ id, kem, publicKey, symmetric }: KeyConfiguration): Uint8Array {
  const pairs = symmetric.map(([kdf, aead]) => concat(number(kdf, 2), number(aead, 2)));
  return concat(Uint8Array.of(id), number(kem, 2), publicKey, number(4 * pairs.length, 2), ...pairs);
}

/** Reads application/ohttp-keys; configurations for unknown KEMs are left out. Throws `bad_key_configuration`, also where two have one key id. */
export function decodeConfigurations(blob: Uint8Array): KeyConfiguration[] {
  const found: KeyConfiguration[] = [];
  const ids = new Set<number>();
  for (let at = 0; at < blob.length;) {
    const size = Number(readUint(blob.subarray(at, at + 2)));
    const data = blob.subarray(at + 2, at + 2 + size);
    if (at + 2 > blob.length || data.length !== size || size < 3) throw bad();
    if (ids.has(data[0] ?? 0)) throw bad();
    ids.add(data[0] ?? 0);
    if (KEMS.has(Number(readUint(data.subarray(1, 3))))) found.push(decodeConfiguration(data));
    at += 2 + size;
  }
  return found;
}

/** Which configuration and AEAD to use: X-Wing before X25519, and of the pairs offered the first that is known. Throws `unknown_suite`. */
export function chosen(configurations: readonly KeyConfiguration[], known: readonly number[]): readonly [KeyConfiguration, Suite] {
  const ranked = [...configurations].sort((one, two) => Number(two.kem === XWING) - Number(one.kem === XWING));
  for (const configuration of ranked) {
    const pair = configuration.symmetric.find(([kdf, aead]) => kdf === HKDF_SHA256 && known.includes(aead));
    if (pair) return [configuration, { kem: configuration.kem, kdf: pair[0], aead: pair[1] }];
  }
  throw new HallmarkError("unknown_suite", "The node offers no way of sealing that this page knows.", "Nothing was sent.");
}

/**
 * Checks that `blob` is what the bundle's schedule fixes for `window`, and that `now` (unix ms) is in it, or nearly. Throws
 * `key_window_over` (another time's, or none), `key_configuration_unproven` (not the schedule's).
 */
export function verifyWindow(sealing: Sealing, window: bigint, blob: Uint8Array, path: readonly string[], now: bigint): void {
  const begins = sealing.since + window * sealing.every;
  if (window < 0n || window >= sealing.count || now < begins - GRACE || now >= begins + sealing.every + GRACE) {
    throw new HallmarkError("key_window_over", "The node's keys are not those of now.", "Ask again; nothing was sent.");
  }
  const leaf = concat(uint(window, 8) ?? EMPTY, blob);
  if (!leads(leaf, window, sealing.count, path.map(unhex), unhex(sealing.root))) {
    throw new HallmarkError(
      "key_configuration_unproven",
      "The node's keys are not those that its logged key bundle fixes: somebody would give this page keys of its own.",
      "Nothing was sent. Tell the network's operators.",
    );
  }
}
