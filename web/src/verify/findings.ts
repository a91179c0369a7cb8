/**
 * What a dossier establishes, question by question (verification/findings.py): one function per mark, each with the same
 * skeleton. Collect what the receipt commits to, hold it against what the dossier brings, and say at most this much:
 *
 * - `claimed`: the node's word alone;
 * - `checked`: every digest, signature and evidence step was re-computed here;
 * - `witnessed`: and a quorum-cosigned checkpoint covers the receipt and what the mark rests on.
 *
 * Never `anchored`: no chain is read here. A part that does not hold makes its mark `failed` with the reason code.
 */
import { hex0x, same, utf8, ZERO32 } from "./bytes.ts";
import { attested, type Attested } from "./attested.ts";
import {
  documentDigest, InputRecord, Manifest, Measurement, readDocument,
} from "./documents.ts";
import { attempted, HallmarkError, translated } from "./errors.ts";
import { matches } from "./evidence.ts";
import { committed, failure, required, type Examination } from "./examination.ts";
import { reviewed } from "./judging.ts";
import { claimed, ladder, registered, VERIFIER } from "./ladder.ts";
import { EMPTY_ROOT, rootOf } from "./tree.ts";
import { passage } from "./passage.ts";
import { paid } from "./payment.ts";
import { anchored, consistent, proved } from "./proved.ts";
import { sentenceOf, withoutDots } from "./reasons.ts";
import type { Finding, Question } from "./marks.ts";
import * as sealed from "./sealed.ts";
import * as words from "./words.ts";

const DIRECT = hex0x(ZERO32);
const RESTS_ON_RECEIPT: readonly Question[] = ["ran", "model", "route", "proved"];

/**
 * Everything that the dossier of an examination establishes. Raises nothing about content.
 *
 * 1. The receipt is this network's and signed by its node; otherwise every mark that rests on it has failed.
 * 2. Each question is examined on its own; `ran` first, because without it the rest is the node's word.
 * 3. What the trust file says was compromised or revoked speaks against the answer in any case.
 */
export function examined(exam: Examination): Finding[] {
  const refused = caught(() => exam.checkReceipt());
  if (refused) return RESTS_ON_RECEIPT.map((question) => failed(exam, question, refused));
  const found: Finding[] = [];
  for (const [question, examine] of EXAMINATIONS) {
    const error = caught(() => found.push(...examine(exam)));
    if (error) found.push(failed(exam, question, error));
  }
  return [...found, ...revocations(exam)];
}

/** Why `work` does not hold. What it raises otherwise is a bug: then the mark has failed, because nothing was found. */
export function caught(work: () => void): HallmarkError | undefined {
  try {
    work();
  } catch (error) {
    return error instanceof HallmarkError ? error : failure("judging_failed");
  }
  return undefined;
}

/** Which measured code ran it: bundle, configuration, content, evidence, registration. */
function ran(exam: Examination): Finding[] {
  const { receipt } = exam;
  const bundle = exam.showsBundle ? exam.bundle() : undefined;
  const { node, mode } = exam.ranBy;
  const allowed = exam.checkMode();
  const configuration = bundle && exam.configuration(bundle);
  const here = [words.content(...exam.checkContent())];
  if (!exam.parameters()) here.push(words.NOT_SHOWN.parameters);
  const evidence = attested(exam);
  const listed = configuration?.insecure ?? exam.dossier.insecure;
  if (!configuration) {
    const lone = !bundle && exam.dossier.documents.configuration !== null;
    here.push(lone ? words.UNCOMPARED : words.NOT_SHOWN.configuration);
    if (listed.length) here.push(words.listedInsecure(listed));
  } else if (listed.length) here.push(words.insecure(listed));
  const [image, assurance] = evidence.judged ? [evidence.judged.measurement, evidence.judged.assurance] : ["", "none"];
  const told = [toldOf(exam, evidence), ...words.beside(mode, allowed)].join("; ");
  const detail = {
    what: [told, ...here].join("; "),
    assurance,
    mode: words.MODES[Number(mode)] ?? "",
    node: hex0x(node),
    image,
    insecure: configuration?.insecure.join(", ") ?? "",
  };
  exam.assurance = assurance;
  exam.measured = evidence.judged !== undefined && configuration !== undefined && !configuration.insecure.length;
  const digest = evidence.judged?.digest ?? receipt.bytes("bundle");
  const witnessed = `${told}; this verifier alone: ${here.join(", ")}`;
  const found = ladder(exam, "ran", { digest, detail, witnessed, restsOn: registered(exam) });
  return evidence.unchecked ? found.map((each) => ({ ...each, reason: evidence.reason })) : found;
}

function toldOf(exam: Examination, { judged, unchecked }: Attested): string {
  const mode = exam.confinement();
  if (mode === undefined) return words.unconfined(exam.ranBy.node);
  const ran = { ...exam.ranBy, mode };
  if (judged) return words.ran(ran, judged.measurement, judged.assurance);
  if (unchecked) return words.unvouched(ran, `its ${unchecked} evidence cannot be checked in a browser`);
  if (ran.mode === 1n) return words.unvouched(ran, exam.showsBundle ? words.NOT_SHOWN.evidence : words.NOT_SHOWN.bundle);
  const told = words.ran(ran, "", "none");
  return exam.showsBundle ? told : `${told}; ${words.NOT_SHOWN.bundle}`;
}

/** Which artifact answered, or what a provider merely asserts. */
function model(exam: Examination): Finding[] {
  const { receipt } = exam;
  const { documents, version } = exam.dossier;
  const [artifact, upstream] = [receipt.bytes("artifact"), receipt.bytes("upstream")];
  const pin = exam.pinned();
  required(!pin || pin === hex0x(artifact), "model_pin_mismatch");
  if (same(artifact, ZERO32)) {
    required(same(receipt.bytes("manifest"), ZERO32) && !same(upstream, ZERO32), "artifact_missing");
    required(documents.manifest === null && version === null, "manifest_mismatch");
    const record = exam.upstream();
    const by = record?.provider ?? words.SOME_PROVIDER;
    return [claimed(exam, "model", upstream, { what: words.asserted(record), asserted_by: by })];
  }
  required(same(upstream, ZERO32) && documents.upstream === null, "artifact_and_upstream");
  required(!exam.showsBundle || exam.bundle().artifacts.includes(hex0x(artifact)), "artifact_not_in_bundle");
  const restsOn = { ...registered(exam), version: () => exam.version() };
  for (const part of Object.values(restsOn)) part();
  if (documents.manifest === null) {
    const what = `${words.artifact(hex0x(artifact))}; ${words.NOT_SHOWN.manifest}`;
    return [claimed(exam, "model", receipt.bytes("manifest"), { what, artifact: hex0x(artifact) })];
  }
  const manifest = committed(Manifest, documents.manifest, receipt.bytes("manifest"), "manifest_mismatch");
  required(manifest.artifact === hex0x(artifact), "artifact_mismatch");
  const { label, sha256, derived_from } = manifest;
  const detail = {
    what: words.model(manifest, pin !== ""), artifact: manifest.artifact, label, version: manifest.version, sha256, derived_from,
  };
  return ladder(exam, "model", { digest: receipt.bytes("manifest"), detail, restsOn });
}

/** Who saw the request, and that a gateway of the trust file offered this node. */
function route(exam: Examination): Finding[] {
  const { receipt } = exam;
  const { documents, ticket } = exam.dossier;
  const digest = receipt.bytes("route");
  if (!documents.route) {
    if (ticket !== null) passage(exam);
    return [claimed(exam, "route", digest, { what: words.NOT_SHOWN.route })];
  }
  const record = exam.route();
  const reason = sealed.against(record, receipt, record.path === "sealed" && exam.showsBundle ? exam.bundle() : undefined);
  if (reason) throw failure(reason);
  required(record.chosen === hex0x(receipt.bytes("node")), "route_other_node");
  const direct = record.ticket === DIRECT;
  if (direct) {
    const beside = attempted(() => exam.entry())?.entry.attachments.slice(1) ?? [];
    const none = ticket === null && documents.candidates === null && beside.every((each) => !each.length);
    required(none, "ticket_mismatch");
  }
  const { gateway, offered } = direct || ticket === null ? { gateway: undefined, offered: 0 } : passage(exam, record);
  const hidden = direct ? undefined : ticket === null ? "ticket" : documents.candidates === null ? "candidates" : undefined;
  const upstream = same(receipt.bytes("upstream"), ZERO32) ? "" : (exam.upstream()?.provider ?? words.PROVIDER);
  const lacks: string[] = exam.showsBundle || record.path !== "sealed" ? [] : [words.NOT_SHOWN.bundle];
  if (hidden) lacks.push(words.NOT_SHOWN[hidden]);
  const told = sealed.route(record, { gateway, offered, upstream, assurance: exam.assurance });
  const detail = { what: [told, ...lacks].join("; "), ...sealed.detail(record, gateway) };
  if (lacks.length) return [claimed(exam, "route", digest, detail)];
  return ladder(exam, "route", { digest, detail, restsOn: registered(exam) });
}

/** What entered from outside; nothing when the receipt commits to nothing. */
function inputs(exam: Examination): Finding[] {
  const texts = exam.dossier.documents.inputs;
  const digest = exam.receipt.bytes("inputs");
  if (!texts.length) {
    if (same(digest, EMPTY_ROOT)) return [];
    return [claimed(exam, "inputs", digest, { what: words.NOT_SHOWN.inputs })];
  }
  const encoded = texts.map(utf8);
  required(same(rootOf(encoded), digest), "inputs_mismatch");
  const records = translated(() => encoded.map((data) => readDocument(InputRecord, data)), () => failure("inputs_mismatch"));
  const detail = { what: words.inputs(records, exam.receipt.number("started")) };
  return ladder(exam, "inputs", { digest, detail, restsOn: registered(exam) });
}

const EXAMINATIONS: readonly (readonly [Question, (exam: Examination) => readonly Finding[]])[] = [
  ["ran", ran], ["model", model], ["route", route], ["inputs", inputs], ["paid", paid], ["proved", proved],
  ["proved", consistent], ["proved", anchored], ["reviewed", reviewed],
];

/** What the trust file lists against this key or its image, from the listed position on. */
function revocations(exam: Examination): Finding[] {
  const { trust, receipt } = exam;
  // Whoever holds a compromised key can write any position into a file: only a proven one counts.
  const index = attempted(() => exam.entry())?.place?.index;
  const node = hex0x(receipt.bytes("node"));
  const since = (position: bigint): boolean => index === undefined || index >= position;
  const found = trust.compromised
    .filter((key) => key.key === node && since(key.since))
    .flatMap(() => RESTS_ON_RECEIPT.map((question) => revoked(exam, question, "key_compromised")));
  const listed = new Map(trust.revoked.map((each) => [each.document, each]));
  for (const measurement of trust.measurement) {
    const entry = listed.get(hex0x(documentDigest(Measurement, measurement)));
    if (entry && since(entry.since) && ranIn(exam, measurement)) found.push(revoked(exam, "ran", "measurement_revoked"));
  }
  return found;
}

function ranIn(exam: Examination, measurement: Measurement): boolean {
  const judged = attempted((): Attested => attested(exam))?.judged;
  return judged !== undefined && matches(measurement, judged);
}

function failed(exam: Examination, question: Question, { reason, message, hint }: HallmarkError): Finding {
  const state = reason === "evidence_stale" ? "stale" : "failed";
  const detail = { what: withoutDots(message), hint };
  return { question, state, by: VERIFIER, at: exam.now, evidence: exam.id, reason, detail };
}

function revoked(exam: Examination, question: Question, reason: string): Finding {
  const detail = { what: withoutDots(sentenceOf(reason)) };
  return { question, state: "revoked", by: "the trust file", at: exam.now, evidence: exam.id, reason, detail };
}
