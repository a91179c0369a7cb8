/** The evaluator of the gate: does a set of marks meet a policy (core/policy.py)? Pure, and the only thing that says CLEAR. */
import type { ClearingPolicy, Requirement } from "./documents.ts";
import { HallmarkError } from "./errors.ts";
import { isNegative, LADDER, plainMark, QUESTIONS, reaches, type Mark, type Marks, type Question, type State } from "./marks.ts";
import type { Plain } from "./json.ts";

/** A mark that does not meet the policy: what is required, what is there, and why that is not enough. */
export interface Shortfall {
  readonly question: Question;
  readonly required: string;
  readonly state: State;
  readonly reason: string;
}

/** CLEAR only when nothing is missing and nothing failed. Carries the marks exactly as they were judged. */
export interface Decision {
  readonly outcome: "HOLD" | "CLEAR";
  readonly policy: string;
  readonly at: bigint;
  readonly missing: readonly Shortfall[];
  readonly failed: readonly Shortfall[];
  readonly marks: Marks;
  /** The questions that the policy requires; what it waives was not asked for, and is never counted as met. */
  readonly asked: readonly Question[];
}

const STATES: readonly State[] = [...LADDER, "not_required", "stale", "disputed", "revoked", "failed"];
// What Python's str.split() splits at.
const BLANKS = /[\u0009-\u000d\u001c-\u0020\u0085\u00a0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]+/;

/**
 * Decides whether an item may be cleared at `now` (unix ms).
 *
 * 1. No mark, required or not, is negative.
 * 2. Every required mark is there, has reached its state, comes from an allowed verifier, has enough reviewers behind it,
 *    rests on an allowed assurance, and is fresh; one that is required twice meets both.
 * 3. Every other question is waived by name.
 *
 * Raises `bad_policy` for a question or state that there is not.
 */
export function evaluate(policy: ClearingPolicy, marks: Marks, now: bigint): Decision {
  const missing: Shortfall[] = [];
  const failed: Shortfall[] = [];
  for (const { question, state } of policy.requires) {
    checkKnown(question, QUESTIONS);
    checkKnown(state, STATES);
  }
  for (const question of QUESTIONS) {
    const mark = marks[question];
    const needs = policy.requires.filter((need) => need.question === question);
    const short = needs.map((need) => ({ need, reason: shortfall(need, mark, now) })).find(({ reason }) => reason);
    if (isNegative(mark.state)) {
      failed.push({ question, required: needs[0]?.state ?? "", state: mark.state, reason: mark.reason });
    } else if (short) {
      missing.push({ question, required: short.need.state, state: mark.state, reason: short.reason });
    } else if (!needs.length && !policy.not_required.includes(question)) {
      missing.push({ question, required: "named", state: mark.state, reason: "question_not_in_policy" });
    }
  }
  const outcome = missing.length || failed.length ? "HOLD" : "CLEAR";
  const asked = QUESTIONS.filter((question) => policy.requires.some((need) => need.question === question));
  return { outcome, policy: policy.name, at: now, missing, failed, marks, asked };
}

function checkKnown(name: string, names: readonly string[]): void {
  if (!names.includes(name)) throw new HallmarkError("bad_policy", `The policy names ${name}, which there is not.`);
}

function shortfall(need: Requirement, mark: Mark, now: bigint): string {
  if (!reaches(mark.state, need.state as State) || mark.state === "absent") return "state_too_low";
  if (need.verifiers.length && !need.verifiers.includes(mark.by)) return "verifier_not_allowed";
  const reviewers = new Set((mark.detail["reviewers"] ?? "").split(BLANKS).filter(Boolean));
  if (need.count && BigInt(reviewers.size) < need.count) return "too_few_reviewers";
  if (mark.question === "ran" && !need.assurance.includes(mark.assurance)) return "assurance_not_allowed";
  return need.max_age && mark.since + need.max_age < now ? "mark_too_old" : "";
}

/** The marks as a policy presents them: an absent mark that it does not require reads `not_required`, by the policy. */
export function waive(policy: ClearingPolicy, marks: Marks): Marks {
  const shown = QUESTIONS.map((question): [Question, Mark] => {
    const mark = marks[question];
    const waived = mark.state === "absent" && policy.not_required.includes(question);
    return [question, waived ? { ...mark, state: "not_required", by: `policy ${policy.name}` } : mark];
  });
  return Object.fromEntries(shown) as Record<Question, Mark>;
}

/** One sentence that names the policy, what it asks for, and which of it is missing; no count. */
export function decisionSentence(decision: Decision): string {
  const verb = decision.outcome === "CLEAR" ? "meets" : "does not meet";
  return `${verb} ${decision.policy} (${termsOf(decision)})`;
}

/** What the policy asks for, and which of it is missing or speaks against the answer, by name. */
function termsOf({ asked, missing, failed }: Decision): string {
  const named = (found: readonly Shortfall[]): string[] => [...new Set(found.map((each) => each.question))];
  const [lacks, against] = [named(missing), named(failed)];
  const parts = [`asks for ${asked.join(", ") || "nothing"}`];
  if (lacks.length) parts.push(`still needs ${lacks.join(", ")}`);
  if (against.length) parts.push(`${against.join(", ")} ${against.length === 1 ? "speaks" : "speak"} against it`);
  return parts.join("; ");
}

/** A decision as a plain value, its marks in their order. */
export function plainDecision(decision: Decision): { readonly [name: string]: Plain } {
  const list = (each: readonly Shortfall[]): Plain => each.map((one) => ({ ...one }));
  return {
    outcome: decision.outcome,
    policy: decision.policy,
    at: decision.at,
    missing: list(decision.missing),
    failed: list(decision.failed),
    sentence: decisionSentence(decision),
    marks: QUESTIONS.map((question) => plainMark(decision.marks[question])),
  };
}
