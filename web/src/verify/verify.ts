/**
 * Verifying a saved receipt in a browser, as a stranger: a dossier, a trust file, a time, and nothing else
 * (verification/offline.py). The marks are those that `hallmark verify` derives, byte for byte; docs/browser.md says what
 * a browser does not check.
 */
import { isNegative, deriveMarks, type Finding, type Marks } from "./marks.ts";
import { parseDossier, type Dossier } from "./dossier.ts";
import { Examination } from "./examination.ts";
import { examined } from "./findings.ts";
import { ProofVerifier } from "./proof.ts";
import { parseTrust, type Trust } from "./trust.ts";
import type { Statement } from "./typed.ts";

/** What verifying gave: the seven marks, the findings behind them, the receipt, the time (unix ms). */
export interface Verified {
  readonly marks: Marks;
  readonly findings: readonly Finding[];
  readonly receipt: Statement;
  readonly receiptId: string;
  readonly at: bigint;
}

const verifiers = new WeakMap<Trust, ProofVerifier>();

/**
 * Examines a saved receipt and derives its marks at `now` (unix ms).
 *
 * 1. The dossier (its bytes, or what `parseDossier` gave) and the trust file (its JSON text, or what `parseTrust` gave)
 *    are read strictly.
 * 2. Everything that the dossier says is re-computed under the trust file; see findings.ts.
 * 3. `status` is what somebody else knows of today: only what speaks against the answer is taken from it, because a
 *    stranger's good word proves nothing.
 * 4. The marks follow from the findings alone.
 *
 * Raises `bad_dossier`, `bad_trust_file`, `bad_policy`; nothing about the dossier's content: what does not hold is a failed
 * mark with a reason code.
 */
export function verifyDossier(
  dossier: Uint8Array | Dossier, trust: Uint8Array | string | Trust, now: number | bigint, status: readonly Finding[] = [],
): Verified {
  const saved = dossier instanceof Uint8Array ? parseDossier(dossier) : dossier;
  const trusted = typeof trust === "string" || trust instanceof Uint8Array ? parseTrust(trust) : trust;
  const at = BigInt(now);
  let proofs = verifiers.get(trusted);
  if (!proofs) {
    proofs = new ProofVerifier(trusted.tlog_policy);
    verifiers.set(trusted, proofs);
  }
  const exam = new Examination(saved, trusted, at, proofs);
  const findings = [...examined(exam), ...status.filter((finding) => isNegative(finding.state))];
  return { marks: deriveMarks(findings), findings, receipt: exam.receipt, receiptId: saved.id, at };
}
