/** The evidence of a dossier, judged: accepted, absent (a node without an enclave), or of a kind not checked here. */
import { sha256, utf8 } from "./bytes.ts";
import { KeyBundle, reportData } from "./documents.ts";
import { HallmarkError, translated } from "./errors.ts";
import { decodeEvidence, judge, NOT_CHECKED_HERE, type Judged } from "./evidence.ts";
import { failure, required, type Examination } from "./examination.ts";

const VANILLA = 0n;

/**
 * `unchecked` names the kind of evidence that a browser cannot judge; then `reason` says so. `withheld`: there should be
 * evidence, and the file leaves it out.
 */
export interface Attested {
  readonly withheld?: boolean;
  readonly judged?: Judged;
  readonly unchecked?: string;
  readonly reason: string;
}

/** What the evidence shows. Raises when it does not hold, with the judge's own reason as the hint. */
export function attested(exam: Examination): Attested {
  const registration = exam.registration();
  const raw = exam.evidenceBytes();
  if (exam.confinement() === VANILLA) {
    required(!raw.length, "evidence_unexpected");
    return { reason: "" };
  }
  if (!raw.length) return { withheld: true, reason: "" };
  const evidence = translated(() => decodeEvidence(raw), () => failure("evidence_unreadable"));
  if (!exam.showsBundle) return { withheld: true, reason: "" };
  const { attestation, measurement } = exam.trust;
  const statement = registration?.entry.statement;
  const beacon = statement && ["beaconSize", "beaconRoot"].map((field) => statement.bytes(field));
  const nonce = beacon && sha256(utf8("hallmark/nonce/v1\0"), ...beacon);
  const at = registration?.part.admitted ?? exam.receipt.number("finished");
  const bound = reportData(KeyBundle, utf8(exam.dossier.documents.bundle));
  try {
    const judged = judge(evidence, attestation, at, measurement, { reportData: bound, nonce });
    required(judged.madeAt + attestation.max_age >= exam.moment(), "evidence_stale");
    return { judged, reason: "" };
  } catch (error) {
    if (!(error instanceof HallmarkError) || error.reason === "evidence_stale") throw error;
    if (error.reason === NOT_CHECKED_HERE) return { unchecked: evidence.kind, reason: error.reason };
    throw failure("evidence_rejected", error.reason);
  }
}
