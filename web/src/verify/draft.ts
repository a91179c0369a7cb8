/** A dossier from an answer, and a dossier grown by what the network has (services/sdk/receipts.py). */
import { readUTF8, utf8 } from "./bytes.ts";
import { DocumentsType, encodeDossier, FORMAT, parseDossier, MEMBERS, type Documents, type Dossier } from "./dossier.ts";
import { HallmarkError, translated } from "./errors.ts";
import { indented, Members, parseJSON, type JSONValue } from "./json.ts";
import { anything, integer, list, nullable, record, struct, text, textOrInteger, withDefault } from "./schema.ts";

const string = text();
const NAMES = [
  "bundle", "route", "parameters", "configuration", "candidates", "manifest", "upstream", "inputs", "payment", "offer", "issuer_keys",
];
const HallmarkType = struct(
  {
    id: string, network: string, chain_id: integer, receipt: record(textOrInteger), signature: string,
    salts: struct({ request: string, response: string }, true), documents: anything,
    ticket: nullable(string), evidence: nullable(string), insecure: withDefault(list(string), []),
    payment_authorization: nullable(string),
  },
  true,
);

/**
 * The dossier that an answer's receipt begins: `hallmark` is the exact `hallmark` object, `path` and `request` what was
 * sent, `covered` every byte that the receipt covers (see answer.ts). Raises `bad_answer`, `bad_dossier`.
 */
export function draftDossier(hallmark: Uint8Array, path: string, request: Uint8Array, covered: Uint8Array): Dossier {
  const bad = () => new HallmarkError("bad_answer", "The answer's receipt cannot be read.");
  const [asked, answered] = [readUTF8(request), readUTF8(covered)];
  if (asked === undefined || answered === undefined) throw bad();
  const dossier = translated((): Dossier => {
    const found = HallmarkType.read(parseJSON(hallmark));
    return {
      format: FORMAT, network: found.network, chain_id: found.chain_id, receipt: found.receipt,
      signature: found.signature, id: found.id, documents: documentsOf(found.documents), salts: found.salts,
      request: { path, body: asked }, response: { body: answered }, ticket: found.ticket, evidence: found.evidence,
      entry: null, registration: null, version: null, reviews: [], anchor: null, insecure: found.insecure,
      payment_authorization: found.payment_authorization || null,
    };
  }, bad);
  return parseDossier(encodeDossier(dossier));
}

/** The documents that a dossier keeps, of all that came with an answer. */
function documentsOf(value: JSONValue): Documents {
  const kept = value instanceof Members ? value.list.filter(([name]) => NAMES.includes(name)) : [];
  return DocumentsType.read(new Members(kept));
}

/**
 * My dossier with the network's additions: places, proofs, reviews, anchor, documents that I lack. Nothing that I had is
 * replaced, except a place by a newer one; my copies of request and answer stay. Raises `other_receipt`.
 */
export function mergeDossier(mine: Dossier, theirs: Dossier): Dossier {
  const receiptOf = ({ receipt }: Dossier): string => JSON.stringify([...receipt].map(([name, value]) => [name, String(value)]).sort());
  if (mine.id !== theirs.id || receiptOf(mine) !== receiptOf(theirs)) {
    throw new HallmarkError("other_receipt", "The network answered with another receipt.");
  }
  const own = Object.entries(mine.documents).filter(([, value]) => value !== null && value.length > 0);
  return {
    ...mine,
    documents: { ...theirs.documents, ...Object.fromEntries(own) } as Documents,
    evidence: mine.evidence || theirs.evidence,
    ticket: mine.ticket || theirs.ticket,
    payment_authorization: mine.payment_authorization || theirs.payment_authorization,
    entry: theirs.entry ?? mine.entry,
    registration: theirs.registration ?? mine.registration,
    version: theirs.version ?? mine.version,
    reviews: theirs.reviews.length ? theirs.reviews : mine.reviews,
    anchor: theirs.anchor ?? mine.anchor,
  };
}

/** The network's part of a dossier, out of its JSON answer, members that are not a dossier's left alone. Raises `bad_dossier`. */
export function readNews(data: Uint8Array): Dossier {
  const value = translated(() => parseJSON(data), () => new HallmarkError("bad_dossier", "This is not JSON."));
  const listed = value instanceof Members ? value.list.filter(([name]) => MEMBERS.some((member) => member === name)) : [];
  return parseDossier(utf8(indented(new Members(listed), "\n")));
}
