// What changed between two answers that follow each other: the line that is drawn across a conversation.
import type { AnswerFacts } from "./tree.ts";

/** A break: the sentence, and whether it is of the kind that changes who or what answered. */
export interface Break {
  readonly text: string;
  readonly heavy: boolean;
}

/** An identifier shortened in the middle: 0x1234..cdef. */
export function short(id: string): string {
  return id.length <= 20 ? id : `${id.slice(0, 8)}\u2026${id.slice(-6)}`;
}

/** The break between two answers, or nothing when provider, artifact, node, path and mode stayed as they were. */
export function breakBetween(before: AnswerFacts, after: AnswerFacts): Break | undefined {
  const told: string[] = [];
  const who = whoChanged(before, after);
  if (who !== "") told.push(who);
  if (before.path !== after.path)
    told.push(`path ${after.path || "not named"} instead of ${before.path || "not named"}`);
  if (before.mode !== after.mode)
    told.push(
      `mode ${after.mode || "not named"} instead of ${before.mode || "not named"} (real or simulated hardware: the mark ran says it)`,
    );
  const heavy = told.length > 0;
  if (before.node !== after.node) told.push(`node ${short(after.node)} instead of ${short(before.node)}`);
  if (told.length === 0) return undefined;
  return { text: `From here on: ${told.join("; ")}, ${labelsOf(before, after)}.`, heavy };
}

/** The labels; one that a provider merely asserts never stands without saying so. */
function labelsOf(before: AnswerFacts, after: AnswerFacts): string {
  const asserted = ({ provider }: AnswerFacts): string => (provider === "" ? "" : ` (asserted by ${provider})`);
  if (before.label !== after.label)
    return `label ${after.label}${asserted(after)} instead of ${before.label}${asserted(before)}`;
  const was = before.provider === "" || after.provider !== "" ? "" : ` (before: asserted by ${before.provider})`;
  return `same label ${after.label}${asserted(after)}${was}`;
}

function whoChanged(before: AnswerFacts, after: AnswerFacts): string {
  if (before.provider === after.provider && before.artifact === after.artifact) return "";
  return `${whoOf(after)}${after.provider === "" ? "" : ","} instead of ${whoOf(before)}`;
}

function whoOf(facts: AnswerFacts): string {
  if (facts.provider !== "") return `provider ${facts.provider}, which only asserts its model`;
  return facts.artifact === "" ? "no named artifact" : `artifact ${short(facts.artifact)}`;
}
