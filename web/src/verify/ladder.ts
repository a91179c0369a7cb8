/** How high a mark may stand, from `claimed` to `witnessed`, on what an examination established (verification/mark_ladder.py). */
import { attempted } from "./errors.ts";
import { witnessedAt, type Examination, type Placed } from "./examination.ts";
import type { Finding, Question } from "./marks.ts";
import * as words from "./words.ts";

export const VERIFIER = "this verifier";
type Detail = Readonly<Record<string, string>>;

/** What a mark rests on, and what to say of it. */
export interface Rungs {
  readonly digest: Uint8Array;
  readonly detail: Detail;
  readonly restsOn: Readonly<Partial<Record<"registration" | "version", () => Placed | undefined>>>;
  /** What to say when witnessed, where full nodes saw less than this verifier did. */
  readonly witnessed?: string;
}

/** Claimed, then checked if the code was measured, then witnessed if every entry it rests on is proven. */
export function ladder(exam: Examination, question: Question, { digest, detail, restsOn, witnessed }: Rungs): Finding[] {
  const parts = Object.values(restsOn).map((part) => part());
  const found = [claimed(exam, question, digest, detail)];
  if (!exam.measured) return found;
  const entry = attempted(() => exam.entry());
  const names = Object.keys(restsOn) as (keyof Rungs["restsOn"])[];
  const lacks = names.filter((_, at) => entry?.place && !parts[at]?.place).map((name) => words.NOT_SHOWN[name]);
  const checked = { ...detail, what: [detail["what"] ?? "", ...lacks].join("; ") };
  found.push({ question, state: "checked", by: VERIFIER, at: exam.now, evidence: digest, detail: checked });
  const placed = [entry, ...parts].filter((part) => part !== undefined);
  const places = placed.map((part) => part.place).filter((place) => place !== undefined);
  if (places.length <= parts.length) return found;
  const least = places.reduce((few, place) => (place.signers.length < few.signers.length ? place : few));
  const at = placed.map(witnessedAt).reduce((last, time) => (time > last ? time : last));
  const by = words.quorum(least.signers.length, least.of);
  const told = { ...detail, what: witnessed ?? detail["what"] ?? "" };
  found.push({ question, state: "witnessed", by, at, evidence: digest, detail: told });
  return found;
}

/** The node's word alone. */
export function claimed(exam: Examination, question: Question, evidence: Uint8Array, detail: Detail): Finding {
  return { question, state: "claimed", by: "the node", at: exam.receipt.number("finished"), evidence, detail };
}

/** What nearly every mark rests on: the node's registration, if it is shown. */
export function registered(exam: Examination): Rungs["restsOn"] {
  return { registration: () => exam.registration() };
}
