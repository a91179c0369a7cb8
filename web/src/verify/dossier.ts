/**
 * The dossier: everything about one receipt in one JSON file (verification/dossier.py). What is in it is not believed, it
 * is verified. Reading is strict: unknown and repeated members, upper-case digits, base64 with stray bits, upper-case JSON
 * escapes and salts without their content are refused.
 */
import { unbase64, utf8 } from "./bytes.ts";
import { HallmarkError, translated } from "./errors.ts";
import { indented, parseJSON } from "./json.ts";
import {
  Base64, Hex20, Hex32, HexBytes, list, nullable, record, Signature, struct, text, textOrInteger, uint63, withDefault,
} from "./schema.ts";
import type { Of } from "./schema.ts";
import { Receipt, statementFromJSON, type Statement } from "./typed.ts";

export const FORMAT = "hallmark.dossier/1";
const MAX_DOSSIER = 64 << 20;
const BACKSLASH = 0x5c;

const string = text();
const NO_SALTS = { request: null, response: null };
const SaltsType = struct({ request: nullable(Hex32), response: nullable(Hex32) });
const RequestType = struct({ path: string, body: string });
const ResponseType = struct({ body: string });
export const DocumentsType = struct({
  bundle: string, route: string, parameters: nullable(string), configuration: nullable(string),
  candidates: nullable(string), manifest: nullable(string), upstream: nullable(string),
  inputs: withDefault(list(string), []), payment: nullable(string), offer: nullable(string), issuer_keys: nullable(string),
});
const PartType = struct({
  index: uint63, admitted: uint63, bytes: Base64, proof: nullable(string), after: nullable(list(Base64)),
});
const AnchorType = struct({
  chain_id: uint63, contract: Hex20, transaction: Hex32, block: uint63, size: uint63, root: Hex32,
  confirmations: uint63, path: withDefault(list(Hex32), []),
});
const DossierType = struct({
  format: string, network: Hex32, chain_id: uint63, receipt: record(textOrInteger), signature: Signature, id: Hex32,
  documents: DocumentsType, salts: withDefault(SaltsType, NO_SALTS), request: nullable(RequestType),
  response: nullable(ResponseType), ticket: nullable(HexBytes), evidence: nullable(Base64), entry: nullable(PartType),
  registration: nullable(PartType), version: nullable(PartType), reviews: withDefault(list(PartType), []),
  anchor: nullable(AnchorType), insecure: withDefault(list(string), []), payment_authorization: nullable(Base64),
});

/** The exact text of every document that the receipt or its bundle commits to. */
export type Documents = Of<typeof DocumentsType>;
/** A log entry with its place: index, admission time (unix ms), entry bytes (base64), and the proof of all three. */
export type LoggedPart = Of<typeof PartType>;
/** One saved receipt; `receipt` is its EIP-712 JSON form. */
export type Dossier = Of<typeof DossierType>;
/** The names of a dossier's members. */
export const MEMBERS = [
  "format", "network", "chain_id", "receipt", "signature", "id", "documents", "salts", "request", "response", "ticket",
  "evidence", "entry", "registration", "version", "reviews", "anchor", "insecure",
  "payment_authorization",
] as const satisfies readonly (keyof Dossier)[];

/** Reads a file's bytes. Raises `bad_dossier` when this cannot be a dossier; whether what it says holds is not looked at. */
export function parseDossier(data: Uint8Array): Dossier {
  if (data.length > MAX_DOSSIER) throw new HallmarkError("bad_dossier", `A dossier has at most ${MAX_DOSSIER} bytes.`);
  return translated(
    () => {
      const dossier = DossierType.read(parseJSON(data));
      openReceipt(dossier);
      checkForm(dossier);
      if (hasLooseEscape(data)) throw notCanonical("A JSON escape has upper-case hexadecimal digits.");
      return dossier;
    },
    (error) => new HallmarkError("bad_dossier", "This is not a saved receipt.", error.message),
  );
}

/** The receipt of a dossier. Raises `statement_fields`. */
export function openReceipt(dossier: Dossier): Statement {
  return statementFromJSON(Receipt, dossier.receipt);
}

/** The file's bytes, indented for people, as `Dossier.encode` writes them. */
export function encodeDossier(dossier: Dossier): Uint8Array {
  return utf8(`${indented(parseJSON(DossierType.write(dossier)), "\n")}\n`);
}

function notCanonical(message: string): HallmarkError {
  return new HallmarkError("not_canonical", message);
}

function checkForm(dossier: Dossier): void {
  const { salts, request, response, entry, registration, version, reviews } = dossier;
  if (dossier.format !== FORMAT) throw notCanonical(`The format is not ${FORMAT}.`);
  if ((salts.request === null) !== (request === null)) {
    throw notCanonical("The request and its salt go together: keep both or neither.");
  }
  if ((salts.response === null) !== (response === null)) {
    throw notCanonical("The response and its salt go together: keep both or neither.");
  }
  const parts = [entry, registration, version, ...reviews].filter((part) => part !== null);
  for (const each of parts.flatMap((part) => [part.bytes, ...(part.after ?? [])])) unbase64(each);
  for (const each of [dossier.evidence, dossier.payment_authorization]) if (each !== null) unbase64(each);
}

/** Whether a JSON escape (an odd number of backslashes, then u) has upper-case hexadecimal digits. */
function hasLooseEscape(data: Uint8Array): boolean {
  for (let at = data.indexOf(BACKSLASH); at >= 0; at = data.indexOf(BACKSLASH, at)) {
    let end = at;
    while (data[end] === BACKSLASH) end++;
    const digits = String.fromCharCode(...data.subarray(end + 1, end + 5));
    if ((end - at) % 2 && data[end] === 0x75 && digits !== digits.toLowerCase()) return true;
    at = end;
  }
  return false;
}
