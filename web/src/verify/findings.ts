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
  documentDigest, InputRecord, Manifest, Measurement, readDocument, RouteRecord, UpstreamRecord,
} from "./documents.ts";
import { attempted, HallmarkError, translated } from "./errors.ts";
import { matches } from "./evidence.ts";
import { committed, failure, required, witnessedAt, type Examination, type Placed } from "./examination.ts";
import { reviewed } from "./judging.ts";
import { EMPTY_ROOT, rootOf } from "./tree.ts";
import { passage } from "./passage.ts";
import { proved } from "./proved.ts";
import { sentenceOf, withoutDots } from "./reasons.ts";
import type { Finding, Question } from "./marks.ts";
import * as words from "./words.ts";

type Detail = Readonly<Record<string, string>>;
const VERIFIER = "this verifier";
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

function caught(work: () => void): HallmarkError | undefined {
  try {
    work();
  } catch (error) {
    if (error instanceof HallmarkError) return error;
    throw error;
  }
  return undefined;
}

/** Which measured code ran it: bundle, configuration, content, evidence, registration. */
function ran(exam: Examination): Finding[] {
  const { receipt } = exam;
  const bundle = exam.bundle();
  const configuration = exam.configuration(bundle);
  const here = [words.content(...exam.checkContent())];
  if (!exam.showsParameters()) here.push("its parameters are not shown");
  const evidence = attested(exam);
  if (!configuration) here.push("its configuration is not shown, so a check may have been switched off");
  else if (configuration.insecure.length) here.push(words.insecure(configuration.insecure));
  const [node, mode] = [receipt.bytes("node"), receipt.number("mode")];
  const [image, assurance] = evidence.judged ? [evidence.judged.measurement, evidence.judged.assurance] : ["", "none"];
  const told = evidence.unchecked ? words.unchecked(node, mode, evidence.unchecked) : words.ran(node, mode, image, assurance);
  const detail = {
    what: [told, ...here].join("; "),
    assurance,
    mode: words.MODES[Number(mode)] ?? "",
    node: hex0x(node),
    image,
    insecure: configuration?.insecure.join(", ") ?? "",
  };
  exam.measured = evidence.judged !== undefined && configuration !== undefined && !configuration.insecure.length;
  const digest = evidence.judged?.digest ?? receipt.bytes("bundle");
  const witnessed = `${told}; this verifier alone: ${here.join(", ")}`;
  const found = ladder(exam, "ran", { digest, detail, witnessed, restsOn: [() => exam.registration()] });
  return evidence.unchecked ? found.map((each) => ({ ...each, reason: evidence.reason })) : found;
}

/** Which artifact answered, or what a provider merely asserts. */
function model(exam: Examination): Finding[] {
  const { receipt } = exam;
  const { documents, version } = exam.dossier;
  const [artifact, upstream] = [receipt.bytes("artifact"), receipt.bytes("upstream")];
  if (same(artifact, ZERO32)) {
    required(same(receipt.bytes("manifest"), ZERO32) && !same(upstream, ZERO32), "artifact_missing");
    required(documents.manifest === null && version === null, "manifest_mismatch");
    const record = committed(UpstreamRecord, documents.upstream, upstream, "upstream_mismatch");
    return [claimed(exam, "model", upstream, { what: words.asserted(record), asserted_by: record.provider })];
  }
  required(same(upstream, ZERO32) && documents.upstream === null, "artifact_and_upstream");
  required(exam.bundle().artifacts.includes(hex0x(artifact)), "artifact_not_in_bundle");
  const manifest = committed(Manifest, documents.manifest, receipt.bytes("manifest"), "manifest_mismatch");
  required(manifest.artifact === hex0x(artifact), "artifact_mismatch");
  const { label, sha256, derived_from } = manifest;
  const detail = {
    what: words.model(manifest), artifact: manifest.artifact, label, version: manifest.version, sha256, derived_from,
  };
  const restsOn = [() => exam.registration(), () => exam.version()];
  return ladder(exam, "model", { digest: receipt.bytes("manifest"), detail, restsOn });
}

/** Who saw the request, and that a gateway of the trust file offered this node. */
function route(exam: Examination): Finding[] {
  const { receipt } = exam;
  const { documents, ticket } = exam.dossier;
  const record = committed(RouteRecord, documents.route, receipt.bytes("route"), "route_mismatch");
  required(["plain", "sealed", "direct"].includes(record.path), "route_unreadable");
  required(record.chosen === hex0x(receipt.bytes("node")), "route_other_node");
  const direct = record.ticket === DIRECT;
  if (direct) required(ticket === null && documents.candidates === null, "ticket_mismatch");
  const { gateway, offered } = direct ? { gateway: undefined, offered: 0 } : passage(exam, record);
  const committedTo = receipt.bytes("upstream");
  const upstream =
    documents.upstream !== null && !same(committedTo, ZERO32)
      ? committed(UpstreamRecord, documents.upstream, committedTo, "upstream_mismatch").provider
      : "";
  const detail = {
    what: words.route(record, gateway, offered, upstream),
    path: record.path,
    gateway: gateway ? hex0x(gateway) : "",
    saw_prompt: record.saw_prompt.join(", "),
  };
  return ladder(exam, "route", { digest: receipt.bytes("route"), detail, restsOn: [() => exam.registration()] });
}

/** What entered from outside; nothing when the receipt commits to nothing. */
function inputs(exam: Examination): Finding[] {
  const texts = exam.dossier.documents.inputs;
  const digest = exam.receipt.bytes("inputs");
  if (!texts.length) {
    if (same(digest, EMPTY_ROOT)) return [];
    return [claimed(exam, "inputs", digest, { what: "outside inputs entered; their records are not shown" })];
  }
  const encoded = texts.map(utf8);
  required(same(rootOf(encoded), digest), "inputs_mismatch");
  const records = translated(() => encoded.map((data) => readDocument(InputRecord, data)), () => failure("inputs_mismatch"));
  const detail = { what: words.inputs(records, exam.receipt.number("started")) };
  return ladder(exam, "inputs", { digest, detail, restsOn: [() => exam.registration()] });
}

/** Nothing without a payment record; a named one is the node's word, because none can be checked yet. */
function paid(exam: Examination): Finding[] {
  const [payment, charged] = [exam.receipt.bytes("payment"), exam.receipt.number("charged")];
  if (same(payment, ZERO32) && !charged) return [];
  const what = `a payment of ${charged} atomic units is named and was not compared`;
  return [claimed(exam, "paid", payment, { what })];
}

const EXAMINATIONS: readonly (readonly [Question, (exam: Examination) => readonly Finding[]])[] = [
  ["ran", ran], ["model", model], ["route", route], ["inputs", inputs], ["paid", paid], ["proved", proved],
  ["reviewed", reviewed],
];

/** What the trust file lists against this key or its image, from the listed position on. */
function revocations(exam: Examination): Finding[] {
  const { trust, receipt } = exam;
  const index = exam.dossier.entry?.index;
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

interface Rungs {
  readonly digest: Uint8Array;
  readonly detail: Detail;
  readonly restsOn: readonly (() => Placed | undefined)[];
  /** What to say when witnessed, where full nodes saw less than this verifier did. */
  readonly witnessed?: string;
}

/** Claimed, then checked if the code was measured, then witnessed if every entry it rests on is proven. */
function ladder(exam: Examination, question: Question, { digest, detail, restsOn, witnessed }: Rungs): Finding[] {
  const parts = restsOn.map((part) => part());
  const found = [claimed(exam, question, digest, detail)];
  if (!exam.measured) return found;
  found.push({ question, state: "checked", by: VERIFIER, at: exam.now, evidence: digest, detail });
  const placed = [attempted(() => exam.entry()), ...parts].filter((part) => part !== undefined);
  const places = placed.map((part) => part.place).filter((place) => place !== undefined);
  if (places.length <= parts.length) return found;
  const least = places.reduce((few, place) => (place.signers.length < few.signers.length ? place : few));
  const at = placed.map(witnessedAt).reduce((last, time) => (time > last ? time : last));
  const by = words.quorum(least.signers.length, least.of);
  const told = { ...detail, what: witnessed ?? detail["what"] ?? "" };
  found.push({ question, state: "witnessed", by, at, evidence: digest, detail: told });
  return found;
}

function claimed(exam: Examination, question: Question, evidence: Uint8Array, detail: Detail): Finding {
  return { question, state: "claimed", by: "the node", at: exam.receipt.number("finished"), evidence, detail };
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
