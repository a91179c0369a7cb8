// Judges a batch that Python wrote, in one process: node batch.ts FILE. Writes a JSON list of texts, one a case.
import { readFileSync, writeSync } from "node:fs";
import { base64, hex, hex0x, readBase64, sha256, unhex, utf8 } from "../src/verify/bytes.ts";
import { canonicalMarks, marksOf, plainMark, QUESTIONS, type Finding, type MarkJSON } from "../src/verify/marks.ts";
import { evaluate, plainDecision, waive } from "../src/verify/clearing.ts";
import { AttestationPolicy, ClearingPolicy, Measurement } from "../src/verify/documents.ts";
import { encodeDossier, parseDossier } from "../src/verify/dossier.ts";
import { HallmarkError } from "../src/verify/errors.ts";
import { decodeEvidence, judge } from "../src/verify/evidence.ts";
import { canonical, parseJSON } from "../src/verify/json.ts";
import { REASONS } from "../src/verify/reasons.ts";
import { draftDossier, mergeDossier } from "../src/verify/draft.ts";
import { splitHallmark, splitHallmarkStream } from "../src/verify/answer.ts";
import { parseTrust, type Trust } from "../src/verify/trust.ts";
import { verifyDossier } from "../src/verify/verify.ts";

type Told = Readonly<Record<string, string>>;
interface Against {
  readonly question: Finding["question"];
  readonly state: Finding["state"];
  readonly by: string;
  readonly at: number;
  readonly reason: string;
  readonly detail: Told;
}
interface Asked {
  readonly data: string;
  readonly trust: number;
  readonly now: number;
  readonly status: readonly Against[];
}
interface Batch {
  readonly trusts: readonly string[];
  readonly dossiers: readonly Asked[];
  readonly unchecked: readonly Asked[];
  readonly decisions: readonly { readonly policy: string; readonly marks: readonly MarkJSON[]; readonly now: number }[];
  readonly evidence: readonly { readonly data: string; readonly policy: string; readonly measurements: readonly string[]; readonly at: number; readonly bound: string; readonly nonce: string | null }[];
  readonly answers: readonly { readonly body: string; readonly stream: boolean }[];
  readonly drafts: readonly { readonly body: string; readonly stream: boolean; readonly path: string; readonly request: string; readonly theirs: string | null }[];
}

function told(work: () => string): string {
  try {
    return work();
  } catch (error) {
    if (error instanceof HallmarkError) return `refused ${error.reason}`;
    throw error;
  }
}

const bytes = (text: string): Uint8Array => readBase64(text) ?? new Uint8Array();
const batch = JSON.parse(readFileSync(process.argv[2] ?? "", "utf8")) as Batch;
const trusts = batch.trusts.map((text): Trust => parseTrust(text));

const marksOfDossier = ({ data, trust, now, status }: Asked): string =>
  told(() => {
    const against = status.map((each): Finding => ({ ...each, at: BigInt(each.at) }));
    return canonicalMarks(verifyDossier(bytes(data), trusts[trust] as Trust, now, against).marks);
  });
const marks = batch.dossiers.map(marksOfDossier);
const unchecked = batch.unchecked.map(marksOfDossier);
const decisions = batch.decisions.map(({ policy, marks, now }) =>
  told(() => {
    const read = ClearingPolicy.type.read(parseJSON(policy));
    const known = marksOf(marks);
    const shown = waive(read, known);
    const decision = plainDecision(evaluate(read, known, BigInt(now)));
    return canonical([decision, QUESTIONS.map((question) => plainMark(shown[question]))]);
  }),
);
const evidence = batch.evidence.map(({ data, policy, measurements, at, bound, nonce }) =>
  told(() => {
    const read = AttestationPolicy.type.read(parseJSON(policy));
    const accepted = measurements.map((text) => Measurement.type.read(parseJSON(text)));
    const expect = { reportData: unhex(bound), nonce: nonce === null ? undefined : unhex(nonce) };
    const found = judge(decodeEvidence(bytes(data)), read, BigInt(at), accepted, expect);
    const registers = Object.fromEntries(found.registers);
    return canonical({ ...found, digest: hex0x(found.digest), registers });
  }),
);
const answers = batch.answers.map(({ body, stream }) =>
  told(() => (stream ? splitHallmarkStream : splitHallmark)(bytes(body)).map((part) => hex(sha256(part))).join(" ")),
);
const drafts = batch.drafts.map(({ body, stream, path, request, theirs }) =>
  told(() => {
    const [content, hallmark] = (stream ? splitHallmarkStream : splitHallmark)(bytes(body));
    const mine = draftDossier(hallmark, path, bytes(request), content);
    return base64(encodeDossier(theirs === null ? mine : mergeDossier(mine, parseDossier(bytes(theirs)))));
  }),
);
const reasons = [...REASONS].map(([code, [question, sentence]]) => [code, question, sentence]);
// Synchronously and whole: a pipe takes less at a time than there is to say.
let text = utf8(JSON.stringify({ marks, unchecked, decisions, evidence, answers, drafts, reasons }));
while (text.length) text = text.subarray(writeSync(1, text));
