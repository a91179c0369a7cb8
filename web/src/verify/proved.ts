/** The mark `proved` (verification/findings.py): the receipt's place in the log, objections to it, the anchor's word. */
import { objectionsTo, type Objections } from "./after.ts";
import { hex0x, same, unbase64, unhex } from "./bytes.ts";
import { leafOf } from "./entries.ts";
import { required, witnessedAt, type Examination, type Placed } from "./examination.ts";
import type { Finding, Question, State } from "./marks.ts";
import { questionOf, sentenceOf, withoutDots } from "./reasons.ts";
import { leads } from "./tree.ts";
import * as words from "./words.ts";

/** Which full nodes checked the log up to and beyond this receipt. */
export function proved(exam: Examination): Finding[] {
  const placed = exam.entry();
  const place = placed?.place;
  if (!placed || !place) return [];
  const { index, size, root, signers } = place;
  const objected = objectionsTo(placed, exam.trust);
  if (objected?.state) return objections(exam, objected, objected.state);
  const what = (objected ? words.silent : words.proved)(index, size);
  const detail = { what, index: String(index), size: String(size), root: hex0x(root), signers: signers.join(", ") };
  checkAnchorWord(exam, placed);
  const by = words.quorum(signers.length, place.of);
  return [{ question: "proved", state: "witnessed", by, at: witnessedAt(placed), evidence: root, detail }];
}

/** The anchoring service's word must agree with what is known here; a chain is read by nobody in a browser. */
function checkAnchorWord(exam: Examination, { part, place }: Placed): void {
  const [word, known] = [exam.dossier.anchor, exam.trust.anchor];
  if (!word || !place) return;
  if (known) required(word.contract === known.contract && word.chain_id === known.chain_id, "anchor_mismatch");
  const root = unhex(word.root);
  if (word.size === place.size) required(same(root, place.root), "anchor_mismatch");
  if (!word.path.length) return;
  const leaf = leafOf(part.admitted, unbase64(part.bytes));
  required(leads(leaf, place.index, word.size, word.path.map(unhex), root), "anchor_mismatch");
}

/** Objections in the log speak against `proved` and against the mark of their reason. */
function objections(exam: Examination, objected: Objections, state: State): Finding[] {
  const by = `${objected.by} full node${objected.by > 1 ? "s" : ""}`;
  const { reason } = objected;
  const detail = { what: withoutDots(sentenceOf(reason)) };
  const questions = new Set<Question>(["proved", questionOf(reason)]);
  return [...questions].map((question) => ({ question, state, by, at: exam.now, evidence: exam.id, reason, detail }));
}
