/** The log entry of an own receipt: what its owner hands in, because no gateway saw the answer. Nothing in it is content. */
import { concat, EMPTY, unbase64, uint, unhex, utf8, same, ZERO32 } from "../verify/bytes.ts";
import { openReceipt, parseDossier } from "../verify/dossier.ts";

/** Version 1 of an entry, of the kind that holds a receipt. */
const HEAD = Uint8Array.of(1, 8);

/** The entry's bytes. Raises `bad_dossier`. */
export function entryOf(text: string): Uint8Array {
  const dossier = parseDossier(utf8(text));
  const receipt = openReceipt(dossier);
  const { route, candidates, payment } = dossier.documents;
  const ticket = dossier.ticket ? unhex(dossier.ticket) : EMPTY;
  const attached = [utf8(route), utf8(candidates ?? ""), ticket];
  if (!same(receipt.bytes("payment"), ZERO32)) {
    attached.push(utf8(payment ?? ""), dossier.payment_authorization ? unbase64(dossier.payment_authorization) : EMPTY);
  }
  const sized = attached.map((data) => concat(uint(BigInt(data.length), 4) ?? EMPTY, data));
  return concat(HEAD, receipt.packed, Uint8Array.of(1), unhex(dossier.signature), Uint8Array.of(attached.length), ...sized);
}
