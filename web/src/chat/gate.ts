// What the page says about a decision of the evaluator (web/src/verify/clearing.ts): one sentence that names policy and time.
import { QUESTIONS, STATES, type Question, type State } from "../marks/spec.ts";
import { wordOf } from "../marks/draw.ts";

/** A mark that does not meet the policy: what is required, what is there, and why that is not enough. */
export interface Shortfall {
  readonly question: Question;
  readonly required: string;
  readonly state: State;
  readonly reason: string;
}

/** A decision as it crosses from the verifier to the page. */
export interface Decided {
  readonly clear: boolean;
  readonly policy: string;
  readonly missing: readonly Shortfall[];
  readonly failed: readonly Shortfall[];
  /** The questions that the policy requires. */
  readonly asked: readonly Question[];
}

/**
 * The sentence about the whole: "meets witnessed, checked here 12:03:22 (asks for ran, proved)", or HOLD and what is missing of
 * it, by name: a count would take a waived mark for a met one. `assurance` is that of the mark `ran`, which is never named without it where the hardware is simulated.
 */
export function sentenceOf(decision: Decided, clock: string, assurance: string): string {
  const short = [...decision.failed, ...decision.missing];
  const terms = `checked here ${clock} (asks for ${decision.asked.join(", ") || "nothing"})`;
  if (decision.clear) return `meets ${decision.policy}, ${terms}`;
  return `HOLD: does not meet ${decision.policy}, ${terms}: ${short.map((one) => told(one, assurance)).join("; ")}.`;
}

/** One shortfall in words: "proved is absent, witnessed is required". */
export function told(one: Shortfall, assurance: string): string {
  const simulated = one.question === "ran" && assurance === "simulated" ? " (simulated)" : "";
  const state = `${one.question} is ${wordOf(one.question, one.state)}${simulated}`;
  if (one.reason === "state_too_low") return `${state}, ${required(one)} is required`;
  return one.reason === "" ? state : `${state} (${one.reason})`;
}

/** Reads `missing` or `failed` of the gateway's 412; what cannot be read is left out. */
export function readShortfalls(value: unknown): Shortfall[] {
  if (!Array.isArray(value)) return [];
  return value.flatMap((item: unknown): Shortfall[] => {
    if (typeof item !== "object" || item === null) return [];
    const { question, required: wanted, state, reason } = item as Record<string, unknown>;
    const [known, stands] = [QUESTIONS.find((name) => name === question), STATES.find((name) => name === state)];
    if (known === undefined || stands === undefined) return [];
    return [{ question: known, state: stands, required: String(wanted ?? ""), reason: String(reason ?? "") }];
  });
}

function required(one: Shortfall): string {
  const known = STATES.find((name) => name === one.required);
  return known === undefined ? one.required : wordOf(one.question, known);
}
