/**
 * Entries of the log (core/entries.py): u8 version = 1 || u8 kind || packed statement || u8 signatures || 65 bytes each ||
 * u8 attachments || (u32 length || bytes) each. A leaf is u64 admitted || entry.
 */
import { concat, readUint, uint } from "./bytes.ts";
import { HallmarkError } from "./errors.ts";
import * as typed from "./typed.ts";

export const MAX_ENTRY = 65_527;
export const SIGNATURE_SIZE = 65;
const VERSION = 1;

/** Kind number to name and layout. Numbers are for ever. */
export const KINDS: ReadonlyMap<number, readonly [name: string, layout: typed.Layout]> = new Map([
  [1, ["registration", typed.Registration]],
  [2, ["retirement", typed.Retirement]],
  [3, ["compromise", typed.Compromise]],
  [4, ["approval", typed.Approval]],
  [5, ["revocation", typed.Revocation]],
  [6, ["publication", typed.Publication]],
  [7, ["version", typed.Version]],
  [8, ["receipt", typed.Receipt]],
  [9, ["verdict", typed.Verdict]],
  [10, ["fault", typed.Fault]],
  [11, ["review", typed.Review]],
  [12, ["policy", typed.PolicyStatement]],
  [13, ["offer", typed.PriceOffer]],
  [14, ["issuer_epoch", typed.IssuerEpoch]],
  [15, ["outcome", typed.Outcome]],
  [16, ["derivation", typed.Derivation]],
]);

/** A decoded entry. Nothing in it is verified yet. */
export interface Entry {
  readonly kind: string;
  readonly statement: typed.Statement;
  readonly signatures: readonly Uint8Array[];
  readonly attachments: readonly Uint8Array[];
}

/** Reads an entry's bytes, all of them. Raises `bad_entry`, `entry_too_large`, `statement_length`. */
export function decodeEntry(data: Uint8Array): Entry {
  if (data.length > MAX_ENTRY) throw new HallmarkError("entry_too_large", `An entry has at most ${MAX_ENTRY} bytes.`);
  const bad = () => new HallmarkError("bad_entry", "The bytes are not an entry.", "See docs/formats.md.");
  let at = 0;
  const take = (size: number): Uint8Array => {
    if (data.length < at + size) throw bad();
    at += size;
    return data.subarray(at - size, at);
  };
  const version = take(1)[0];
  const known = KINDS.get(take(1)[0] ?? 0);
  if (version !== VERSION || !known) throw bad();
  const [kind, layout] = known;
  const statement = typed.unpack(layout, take(layout.size));
  const signatures = Array.from({ length: take(1)[0] ?? 0 }, () => take(SIGNATURE_SIZE));
  const attachments = Array.from({ length: take(1)[0] ?? 0 }, () => take(Number(readUint(take(4)))));
  if (at !== data.length) throw bad();
  return { kind, statement, signatures, attachments };
}

/** Leaf bytes: u64 admission time (unix ms) || entry. Raises `bad_leaf` when the time is no uint64. */
export function leafOf(admitted: bigint, entry: Uint8Array): Uint8Array {
  const time = uint(admitted, 8);
  if (!time) throw new HallmarkError("bad_leaf", "An admission time is a uint64.");
  return concat(time, entry);
}

/** Admission time and entry bytes of a leaf. Raises `bad_leaf`. */
export function splitLeaf(data: Uint8Array): [bigint, Uint8Array] {
  if (data.length < 10) throw new HallmarkError("bad_leaf", "A leaf has at least 10 bytes.");
  return [readUint(data.subarray(0, 8)), data.subarray(8)];
}
