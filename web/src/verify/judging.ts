/**
 * Reviews (verification/judging.py): what people and named evaluations said of an answer, and what follows.
 *
 * 1. A review counts when a reviewer of the trust file signed it about this receipt at its place in the log.
 * 2. Nobody reviews what they executed: not the node's key, not its owner, not the ticket's gateway.
 * 3. The newest review of each reviewer counts; `undecided` withdraws what the same reviewer said before.
 * 4. Reviewers who disagree make the mark disputed, unanimous ones decide it.
 */
import { hex, hex0x, same, unhex } from "./bytes.ts";
import { required, witnessedAt, type Examination, type Placed } from "./examination.ts";
import { recoverStatement } from "./keys.ts";
import { rank, reaches, type Finding, type State } from "./marks.ts";
import { sentenceOf, withoutDots } from "./reasons.ts";
import { textOf } from "./typed.ts";
import * as words from "./words.ts";

const [FIT, UNFIT, UNDECIDED] = [1n, 2n, 3n];

interface Counted {
  readonly reviewer: Uint8Array;
  readonly judgement: bigint;
  readonly reason: string;
  readonly state: State;
  readonly at: bigint;
}

/** The reviews that a dossier brings, concluded. */
export function reviewed(exam: Examination): Finding[] {
  const counted = exam.reviews().map((placed) => countedOf(exam, placed));
  if (counted.length && (!exam.dossier.entry || !exam.partiesKnown)) {
    return [{ question: "reviewed", state: "absent", by: "", at: 0n, detail: { what: words.UNCOUNTED } }];
  }
  const newest = new Map<string, Counted>();
  for (const each of counted) newest.set(hex(each.reviewer), each);
  const standing = [...newest.values()];
  const [fit, unfit] = [FIT, UNFIT].map((judgement) => standing.filter((each) => each.judgement === judgement));
  if (!fit || !unfit?.length) {
    const states = [...new Set(fit?.map((each) => each.state))].sort((one, two) => rank(one) - rank(two));
    return states.map((state) => positive(fit ?? [], state, exam.id));
  }
  const [state, reason] = fit.length ? (["disputed", "reviewers_disagree"] as const) : (["failed", "judged_unfit"] as const);
  const detail = { what: withoutDots(sentenceOf(reason)), reviewers: names([...fit, ...unfit]) };
  const at = unfit.reduce((first, each) => (each.at < first ? each.at : first), (unfit[0] as Counted).at);
  return [{ question: "reviewed", state, by: who(unfit), at, evidence: exam.id, reason, detail }];
}

function positive(fit: readonly Counted[], state: State, evidence: Uint8Array): Finding {
  const counted = fit.filter((each) => reaches(each.state, state));
  const detail = { what: words.judged(counted.map((each) => each.reason)), reviewers: names(counted) };
  const at = counted.reduce((last, each) => (each.at > last ? each.at : last), 0n);
  return { question: "reviewed", state, by: who(counted), at, evidence, detail };
}

/** A review that holds against all that the file shows; whether all is shown is for the caller to say. */
function countedOf(exam: Examination, placed: Placed): Counted {
  const { entry, part, place } = placed;
  const { statement: review, signatures, attachments } = entry;
  const { receipt, trust, dossier } = exam;
  const [signature, ...others] = signatures;
  required(entry.kind === "review" && signature !== undefined && !others.length, "review_subject");
  required(!attachments.length && part.after === null, "attachments_malformed");
  required(same(review.bytes("network"), receipt.bytes("network")), "wrong_network");
  const subject = dossier.entry?.index;
  required(subject === undefined || review.number("subject") === subject, "review_subject");
  required(review.number("subject") < part.index, "review_subject");
  required(same(review.bytes("item"), exam.id), "review_subject");
  const reviewer = review.bytes("reviewer");
  required(same(recoverStatement(review, trust.chain_id, signature), reviewer), "bad_signature");
  required(trust.reviewers.includes(hex0x(reviewer)), "reviewer_not_registered");
  const owner = exam.showsBundle ? unhex(exam.bundle().owner) : undefined;
  const parties = [receipt.bytes("node"), owner, exam.gateway()];
  required(!parties.some((party) => party && same(party, reviewer)), "reviewer_is_executor");
  const judgement = review.number("judgement");
  required(judgement === FIT || judgement === UNFIT || judgement === UNDECIDED, "judgement_unknown");
  const reason = textOf(review.bytes("reason"));
  if (!place) return { reviewer, judgement, reason, state: "checked", at: review.number("at") };
  return { reviewer, judgement, reason, state: "witnessed", at: witnessedAt(placed) };
}

function names(counted: readonly Counted[]): string {
  return counted.map((each) => hex0x(each.reviewer)).join(" ");
}

function who(counted: readonly Counted[]): string {
  const [only, ...others] = counted;
  return only && !others.length ? `reviewer ${words.short(only.reviewer)}` : `${counted.length} reviewers`;
}
