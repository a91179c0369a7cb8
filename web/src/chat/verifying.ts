// From a dossier's and a trust file's exact text to marks: the one place where the chat meets the verifier.
import { readAgainst } from "../marks/against.ts";
import { utf8 } from "../verify/bytes.ts";
import { evaluate, type Decision } from "../verify/clearing.ts";
import { HallmarkError } from "../verify/errors.ts";
import { marksJSON } from "../verify/marks.ts";
import { clearingPolicy, parseTrust, type Trust } from "../verify/trust.ts";
import { verifyDossier } from "../verify/verify.ts";
import type { Decided } from "./gate.ts";
import type { Judged } from "./judge.ts";

/** What is judged: exact texts, what the network holds against the receipt, the policy asked about ("" for none), unix ms. */
export interface Material {
  readonly dossier: string;
  readonly trust: string;
  readonly status: string;
  readonly policy: string;
  readonly now: number;
}

let read: { readonly text: string; readonly trust: Trust } | undefined;

/** Verifies in this thread. Throws HallmarkError when dossier or trust file cannot be read. */
export function judgeHere(material: Material): Judged {
  if (read?.text !== material.trust) read = { text: material.trust, trust: parseTrust(material.trust) };
  const { trust } = read;
  const verified = verifyDossier(utf8(material.dossier), trust, material.now, readAgainst(material.status));
  const marks = marksJSON(verified.marks);
  if (material.policy === "") return { marks, decision: null, problem: "" };
  try {
    const decision = evaluate(clearingPolicy(trust, material.policy), verified.marks, BigInt(material.now));
    return { marks, decision: decided(decision), problem: "" };
  } catch (error) {
    if (error instanceof HallmarkError) return { marks, decision: null, problem: error.message };
    throw error;
  }
}

function decided({ outcome, policy, missing, failed, asked }: Decision): Decided {
  return { clear: outcome === "CLEAR", policy, missing, failed, asked };
}
