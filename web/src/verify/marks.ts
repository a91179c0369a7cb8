/**
 * Marks: seven questions, each with a state, and nothing overall (core/marks.py). `deriveMarks` is pure: the same
 * findings always give the same marks, in Python and here, byte for byte.
 */
import { canonical, type Plain } from "./json.ts";
import { EMPTY, hex0x, unhex } from "./bytes.ts";

/** The seven questions, in the order in which they always stand. */
export const QUESTIONS = ["ran", "model", "route", "inputs", "paid", "proved", "reviewed"] as const;
export type Question = (typeof QUESTIONS)[number];

/** The ladder of states, lowest first. */
export const LADDER = ["absent", "claimed", "checked", "witnessed", "anchored"] as const;
// When findings about one question disagree, the worst one stands.
const SEVERITY = ["failed", "revoked", "disputed", "stale"] as const;
export type State = (typeof LADDER)[number] | (typeof SEVERITY)[number] | "not_required";

/** What a party established about one question: the state it supports, who, when (unix ms), on which evidence. */
export interface Finding {
  readonly question: Question;
  readonly state: State;
  readonly by: string;
  readonly at: bigint;
  readonly evidence?: Uint8Array;
  readonly reason?: string;
  readonly detail?: Readonly<Record<string, string>>;
}

/** One struck mark: state, since when (unix ms, 0 when absent), who says so, evidence, and two plain sentences. */
export interface Mark {
  readonly question: Question;
  readonly state: State;
  readonly since: bigint;
  readonly by: string;
  readonly evidence: Uint8Array;
  readonly shows: string;
  readonly does_not_show: string;
  readonly reason: string;
  readonly assurance: string;
  readonly detail: Readonly<Record<string, string>>;
}

/** The seven marks by question. */
export type Marks = Readonly<Record<Question, Mark>>;

/** A mark as JSON carries it (`Mark.to_json` in Python); `since` is a number, exact up to 2^53. */
export interface MarkJSON {
  readonly question: Question;
  readonly state: State;
  readonly since: number;
  readonly by: string;
  readonly evidence: string;
  readonly shows: string;
  readonly does_not_show: string;
  readonly reason: string;
  readonly assurance: string;
  readonly detail: Readonly<Record<string, string>>;
}

const COUNTER: Readonly<Record<Question, string>> = {
  ran: "Does not say that the answer is good.",
  model: "Does not say that the label describes what the artifact can do.",
  route: "Does not say that the path was private.",
  inputs: "Does not say that anything that was kept was validated again.",
  paid: "Does not say that the answer is good or that anything was proved.",
  proved: "Does not say that the answer is right.",
  reviewed: "Does not come from any machine check above.",
};

const ABSENT: Readonly<Record<Question, string>> = {
  ran: "Nothing known here says which code ran this.",
  model: "Nothing known here says which artifact answered.",
  route: "No record of the path is known here.",
  inputs: "No attachment, tool result, outside data or memory row is known here.",
  paid: "No payment for this request is known here.",
  proved: "No full node's check of this receipt is known here.",
  reviewed: "No judgement of this answer is known here.",
};

const WORDS: Readonly<Record<string, string>> = {
  claimed: "The node alone says: {what}.",
  checked: "Checked here: {what}.",
  witnessed: "{by} checked: {what}.",
  anchored: "{by} checked, and the chain holds the checkpoint: {what}.",
  not_required: "Not required, according to {by}: {what}.",
  stale: "No longer fresh ({reason}): {what}.",
  disputed: "Disputed by {by} ({reason}): {what}.",
  revoked: "Revoked ({reason}): {what}.",
  failed: "Does not hold ({reason}): {what}.",
};

/** Place on the ladder, 0 to 4; -1 off it. */
export function rank(state: string): number {
  return (LADDER as readonly string[]).indexOf(state);
}

/** True for the states that speak against an answer. */
export function isNegative(state: string): boolean {
  return (SEVERITY as readonly string[]).includes(state);
}

/** True when `state` is on the ladder at or above `minimum`. */
export function reaches(state: string, minimum: string): boolean {
  return rank(state) >= 0 && rank(state) >= rank(minimum) && rank(minimum) >= 0;
}

/**
 * The seven marks that follow from findings. Any negative finding outranks every positive one, the worst first; among
 * positive ones the highest state stands, the earliest of equals; what nobody spoke about is absent. That nobody has to pay is
 * the one thing that a finding can say to be not required: the offer that it names does.
 */
export function deriveMarks(findings: readonly Finding[]): Marks {
  const marks = QUESTIONS.map((question) => {
    // Only a policy can waive another question; a finding cannot.
    const counts = ({ state }: Finding): boolean => state !== "not_required" || question === "paid";
    const found = findings.filter((each) => each.question === question && counts(each));
    return [question, mark(question, found)] as const;
  });
  return Object.fromEntries(marks) as Record<Question, Mark>;
}

function mark(question: Question, found: readonly Finding[]): Mark {
  const chosen = chosenOf(found);
  const base = { question, does_not_show: COUNTER[question] };
  if (!chosen) {
    return { ...base, state: "absent", since: 0n, by: "", evidence: EMPTY, shows: ABSENT[question], reason: "", assurance: "", detail: {} };
  }
  const detail: Record<string, string> = Object.assign({}, ...found.map((each) => each.detail), chosen.detail);
  const reason = chosen.reason ?? "";
  const told: Record<string, string> = { what: detail["what"] ?? question, by: chosen.by, reason };
  const sentence = WORDS[chosen.state]?.replace(/\{(\w+)\}/g, (_, name: string) => told[name] ?? "");
  return {
    ...base,
    state: chosen.state,
    since: chosen.at,
    by: chosen.by,
    evidence: chosen.evidence ?? EMPTY,
    shows: sentence ?? (detail["what"] === undefined ? ABSENT[question] : `${detail["what"]}.`),
    reason,
    assurance: detail["assurance"] ?? "",
    detail,
  };
}

function chosenOf(found: readonly Finding[]): Finding | undefined {
  const negative = found.filter((each) => isNegative(each.state));
  const severity = (each: Finding): number => (SEVERITY as readonly string[]).indexOf(each.state);
  if (negative.length) {
    return negative.reduce((worst, each) => {
      const apart = severity(each) - severity(worst);
      return apart < 0 || (apart === 0 && each.at < worst.at) ? each : worst;
    });
  }
  if (!found.length) return undefined;
  return found.reduce((best, each) => {
    const apart = rank(each.state) - rank(best.state);
    return apart > 0 || (apart === 0 && each.at < best.at) ? each : best;
  });
}

/** The JSON form of a mark. */
export function markJSON(mark: Mark): MarkJSON {
  return { ...mark, since: Number(mark.since), evidence: hex0x(mark.evidence) };
}

/** The seven marks in their JSON form, for drawing. */
export function marksJSON(marks: Marks): Readonly<Record<Question, MarkJSON>> {
  return Object.fromEntries(QUESTIONS.map((question) => [question, markJSON(marks[question])])) as Record<Question, MarkJSON>;
}

/** The exact canonical JSON of the seven marks, in their order: what the two verifiers are compared by. */
export function canonicalMarks(marks: Marks): string {
  return canonical(QUESTIONS.map((question) => plainMark(marks[question])));
}

/** A mark as a plain value, `since` exact. */
export function plainMark(mark: Mark): { readonly [name: string]: Plain } {
  return { ...mark, evidence: hex0x(mark.evidence) };
}

/** The seven marks of their JSON forms. */
export function marksOf(listed: readonly MarkJSON[]): Marks {
  const marks = listed.map((each): [Question, Mark] => [
    each.question, { ...each, since: BigInt(each.since), evidence: unhex(each.evidence) },
  ]);
  return Object.fromEntries(marks) as Record<Question, Mark>;
}
