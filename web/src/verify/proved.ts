/**
 * The mark `proved` (verification/proving.py): the receipt's place in the log, objections to it, the anchor's word. What
 * contradicts is never passed over as if it were absent, and what is absent contradicts nothing.
 */
import { objectionsTo, type Objections } from "./after.ts";
import { hex0x, same, unbase64, unhex } from "./bytes.ts";
import { leafOf } from "./entries.ts";
import { attempted } from "./errors.ts";
import { failure, required, witnessedAt, type Examination, type Placed } from "./examination.ts";
import type { Finding, Question, State } from "./marks.ts";
import type { ProvenPlace } from "./proof.ts";
import { questionOf, sentenceOf, withoutDots } from "./reasons.ts";
import { leads } from "./tree.ts";
import * as words from "./words.ts";

/** Which full nodes checked the log up to and beyond this receipt. */
export function proved(exam: Examination): Finding[] {
  const placed = exam.entry();
  if (!placed) return [];
  const { place, part } = placed;
  if (!place) {
    if (part.after === null) return [];
    return [{ question: "proved", state: "absent", by: "", at: 0n, detail: { what: words.UNPROVEN_AFTER } }];
  }
  const { index, size, root, signers } = place;
  const objected = objectionsTo(placed, exam.trust);
  if (objected?.state) return objections(exam, objected, objected.state);
  const what = (objected ? words.silent : words.proved)(index, size, exam.receipt.number("mode"));
  const detail = { what, index: String(index), size: String(size), root: hex0x(root), signers: signers.join(", ") };
  const by = words.quorum(signers.length, place.of);
  return [{ question: "proved", state: "witnessed", by, at: witnessedAt(placed), evidence: root, detail }];
}

/** Nothing, unless two checkpoints behind the proofs in this file have one size and two roots. */
export function consistent(exam: Examination): Finding[] {
  const roots = new Map<bigint, Uint8Array>();
  for (const { size, root } of placesOf(exam)) {
    if (!same(roots.get(size) ?? root, root)) throw failure("checkpoint_conflict");
    roots.set(size, root);
  }
  return [];
}

/** The anchoring service's word must agree with what is known here; a chain is read by nobody in a browser. */
export function anchored(exam: Examination): Finding[] {
  const [word, known] = [exam.dossier.anchor, exam.trust.anchor];
  if (!word) return [];
  if (known) required(word.contract === known.contract && word.chain_id === known.chain_id, "anchor_mismatch");
  const root = unhex(word.root);
  for (const place of placesOf(exam)) required(place.size !== word.size || same(place.root, root), "anchor_mismatch");
  const { part, place } = attempted(() => exam.entry()) ?? {};
  if (!part || !place || !word.path.length) return [];
  const leaf = leafOf(part.admitted, unbase64(part.bytes));
  required(leads(leaf, place.index, word.size, word.path.map(unhex), root), "anchor_mismatch");
  return [];
}

/** Where the proofs of this file put its entries; what does not hold is left out. */
function placesOf(exam: Examination): ProvenPlace[] {
  const read = [(): Placed | undefined => exam.entry(), () => exam.registration(), () => exam.version()];
  const placed = [...read.map((part) => attempted(part)), ...(attempted(() => exam.reviews()) ?? [])];
  return placed.map((each) => each?.place).filter((place) => place !== undefined);
}

/** Objections in the log speak against `proved` and against the mark of their reason. */
function objections(exam: Examination, objected: Objections, state: State): Finding[] {
  const by = `${objected.by} full node${objected.by > 1 ? "s" : ""}`;
  const { reason } = objected;
  const detail = { what: withoutDots(sentenceOf(reason)) };
  const questions = new Set<Question>(["proved", questionOf(reason)]);
  return [...questions].map((question) => ({ question, state, by, at: exam.now, evidence: exam.id, reason, detail }));
}
