// The dossier of an answer in its owner's hands: begun from the exact bytes, grown by the network's proofs.
import { HallmarkError } from "../verify/errors.ts";
import { splitStream } from "./answer.ts";
import { rawMembers, rawObject, textAt, valueAt, type RawMembers } from "./rawjson.ts";

const FORMAT = '"hallmark.dossier/1"';
const DOCUMENTS = [
  "bundle",
  "route",
  "parameters",
  "configuration",
  "candidates",
  "manifest",
  "upstream",
  "inputs",
  "payment",
  "offer",
  "issuer_keys",
];
const MEMBERS = [
  "format",
  "network",
  "chain_id",
  "receipt",
  "signature",
  "id",
  "documents",
  "salts",
  "request",
  "response",
  "ticket",
  "evidence",
  "entry",
  "registration",
  "version",
  "anchor",
  "insecure",
  "reviews",
  "payment_authorization",
];
/** What only the answer's own stream brings. */
const OWNED = ["salts", "request", "response", "insecure"];
/** What the network knows and an owner may lack; a newer one replaces an older one. */
const GROWING = ["entry", "registration", "version", "anchor", "reviews"];

/** Where a receipt stands by the gateway's word, and what it brings: material to verify, never a verdict. */
export interface News {
  readonly stage: string;
  readonly reason: string;
  readonly dossier: RawMembers;
  /** What speaks against the receipt today, as the exact JSON text of a list. */
  readonly status: string;
}

/** The dossier that an answer's receipt begins. `body` is every byte that came. Throws `no_receipt`, `bad_answer`. */
export function openAnswer(path: string, request: string, body: Uint8Array<ArrayBuffer>): RawMembers {
  const { content, hallmark } = splitStream(body);
  const found = readMembers(hallmark);
  const members = new Map<string, string>([["format", FORMAT]]);
  for (const name of ["network", "chain_id", "receipt", "signature", "id"]) members.set(name, required(found, name));
  members.set("documents", rawObject(only(readMembers(required(found, "documents")), DOCUMENTS)));
  const salts = readMembers(required(found, "salts"));
  members.set(
    "salts",
    rawObject([
      ["request", required(salts, "request")],
      ["response", required(salts, "response")],
    ]),
  );
  members.set("request", JSON.stringify({ path, body: request }));
  const text = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(content);
  members.set("response", JSON.stringify({ body: text }));
  for (const name of ["ticket", "evidence", "insecure", "payment_authorization"]) {
    const value = found.get(name);
    if (has(value)) members.set(name, value);
  }
  return members;
}

/** Reads `GET /v1/hallmark/receipts/{id}`. Throws `bad_answer`. */
export function readNews(text: string): News {
  const found = readMembers(text);
  return {
    stage: textAt(found, "stage"),
    reason: textAt(found, "reason"),
    dossier: only(found, MEMBERS),
    status: found.get("status") ?? "[]",
  };
}

/** My dossier with the network's additions; nothing that I had is replaced but a proof by a newer one. Throws `other_receipt`. */
export function grown(mine: RawMembers, theirs: RawMembers): RawMembers {
  if (mine.get("id") !== theirs.get("id") || !alike(mine.get("receipt"), theirs.get("receipt"))) {
    throw new HallmarkError("other_receipt", "The network answered with another receipt.");
  }
  const more = new Map(mine);
  for (const name of GROWING) {
    const value = theirs.get(name);
    if (has(value)) more.set(name, value);
  }
  for (const name of ["evidence", "ticket", "payment_authorization"]) {
    const value = theirs.get(name);
    if (!has(mine.get(name)) && has(value)) more.set(name, value);
  }
  const documents = new Map<string, string>();
  for (const source of [theirs, mine]) {
    const raw = source.get("documents");
    for (const [name, value] of raw === undefined ? [] : readMembers(raw)) if (has(value)) documents.set(name, value);
  }
  return more.set("documents", rawObject(documents));
}

/** One receipt's two dossiers as one: what either holds, its owner's part (salts, request, answer) included. Throws `other_receipt`. */
export function joined(kept: RawMembers, fresh: RawMembers): RawMembers {
  const more = new Map(grown(kept, fresh));
  for (const name of OWNED) {
    const value = fresh.get(name);
    if (!has(more.get(name)) && has(value)) more.set(name, value);
  }
  return more;
}

/** The file's text: one member per line at the top, for people. */
export function dossierText(members: RawMembers): string {
  return `{\n${[...members].map(([name, value]) => ` ${JSON.stringify(name)}: ${value}`).join(",\n")}\n}\n`;
}

/** The dossier of a file's text, its members as they stand there. Throws `bad_answer`. */
export function readDossier(text: string): RawMembers {
  return readMembers(text);
}

/** The dossier without what belongs to its owner alone: salts, request, answer, parameters and input records. */
export function withoutContent(members: RawMembers): RawMembers {
  const left = new Map([...members].filter(([name]) => !["salts", "request", "response"].includes(name)));
  const documents = readMembers(left.get("documents") ?? "{}");
  documents.delete("parameters");
  documents.delete("inputs");
  return left.set("documents", rawObject(documents));
}

/** A document that the dossier holds as exact text, read; an empty object when it is absent or unreadable. */
export function documentOf(members: RawMembers, name: string): Readonly<Record<string, unknown>> {
  const text = valueAt(members, "documents", name);
  if (typeof text !== "string" || text === "") return {};
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === "object" && value !== null && !Array.isArray(value)
      ? (value as Record<string, unknown>)
      : {};
  } catch {
    return {};
  }
}

function readMembers(text: string): Map<string, string> {
  try {
    return rawMembers(text);
  } catch (error) {
    if (error instanceof HallmarkError) throw unreadable();
    throw error;
  }
}

function only(members: RawMembers, names: readonly string[]): Map<string, string> {
  return new Map([...members].filter(([name]) => names.includes(name)));
}

function required(members: RawMembers, name: string): string {
  const value = members.get(name);
  if (!has(value)) throw unreadable();
  return value;
}

function has(value: string | undefined): value is string {
  return value !== undefined && value !== "null" && value !== '""' && value !== "[]";
}

/** Whether two receipts have the same members with the same text of values, in any order. */
function alike(one: string | undefined, other: string | undefined): boolean {
  if (one === undefined || other === undefined) return false;
  const [left, right] = [readMembers(one), readMembers(other)];
  return left.size === right.size && [...left].every(([name, value]) => right.get(name) === value);
}

function unreadable(): HallmarkError {
  return new HallmarkError("bad_answer", "The answer's receipt cannot be read.");
}
