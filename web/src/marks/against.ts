// What the network holds against a receipt (`status` of the receipts API), as findings. Only negative ones are taken.
import { unhex } from "../verify/bytes.ts";
import { attempted } from "../verify/errors.ts";
import { isNegative, type Finding } from "../verify/marks.ts";
import { QUESTIONS, STATES } from "./spec.ts";

/** Reads the exact JSON text of `status`. What cannot be read speaks neither for nor against and is left out. */
export function readAgainst(text: string): Finding[] {
  const value: unknown = JSON.parse(text);
  return Array.isArray(value) ? value.flatMap((item: unknown) => readFinding(item)) : [];
}

function readFinding(item: unknown): Finding[] {
  if (typeof item !== "object" || item === null) return [];
  const { question, state, by, at, evidence, reason, detail } = item as Record<string, unknown>;
  const known = QUESTIONS.find((name) => name === question);
  const stands = STATES.find((name) => name === state);
  if (known === undefined || stands === undefined || !isNegative(stands) || typeof at !== "number") return [];
  const bytes = typeof evidence === "string" ? attempted(() => unhex(evidence)) : undefined;
  const told =
    typeof detail === "object" && detail !== null
      ? Object.entries(detail).map(([name, text]): [string, string] => [name, String(text)])
      : [];
  return [
    {
      question: known,
      state: stands,
      by: String(by ?? ""),
      at: BigInt(Math.trunc(at)),
      reason: String(reason ?? ""),
      detail: Object.fromEntries(told),
      ...(bytes === undefined ? {} : { evidence: bytes }),
    },
  ];
}
