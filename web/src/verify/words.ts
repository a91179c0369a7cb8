/** The plain words of findings (verification/words.py): no sentence says more than the state behind it. */
import { hex0x } from "./bytes.ts";
import type { InputRecord, Manifest, UpstreamRecord } from "./documents.ts";
import { REPLAY } from "./modes.ts";

export const SIMULATED = "the hardware is simulated and does not protect from its own host";
export const MODES = ["vanilla", "tee", "replay", "zkml"] as const;

/** What was compared of the owner's copies. */
export function content(request: boolean, response: boolean): string {
  if (request && response) return "request and response are the ones it signed for";
  if (request) return "the request is the one it signed for; the response was not compared";
  if (response) return "the response is the one it signed for; the request was not compared";
  return "request and response were not compared: they are its owner's to show";
}

/** What to say of a document that a file leaves out, and who can show it: left out is not contrary. */
export const NOT_SHOWN = {
  bundle: "its key bundle is not shown here; the log holds it beside the node's registration",
  evidence: "its evidence is not shown here; the log holds it beside the node's registration",
  configuration: "its configuration is not shown here, so a check may have been switched off; its node can show it",
  parameters: "its parameters are not shown here: they are its owner's to show",
  manifest: "its manifest is not shown here; the log holds it beside the label's version",
  route: "its route record is not shown here; the log holds it beside the receipt",
  ticket: "its route ticket is not shown here; the log holds it beside the receipt",
  candidates: "the candidates of its ticket are not shown here; the log holds them beside the receipt",
  inputs: "outside inputs entered; their records are not shown here: they are its owner's to show",
  registration: "the node's registration is not proven here; the log holds it",
  version: "the label's version is not proven here; the log holds it",
  payment: "its payment record is not shown here; the log holds it beside the receipt",
  offer: "the offer that it names is not shown here; the log holds it",
  authorization: "the payer's authorization is not shown here; the log holds it beside the receipt",
  issuer_keys: "the issuer's keys are not shown here; the log holds them",
  "issuer's place": "that the log holds the issuer's keys is not shown here",
  "offer's signature": "that the node's owner signed this offer is not shown here; the log holds it",
} as const;
/** How a provider is named while its record is the owner's to show. */
export const PROVIDER = "provider";
export const SOME_PROVIDER = "an upstream provider";
export const UNCOUNTED =
  "Reviews came with the receipt and were not counted: its place in the log, or who took part in making the answer, " +
  "is not shown here; the log holds both";
export const UNCOMPARED =
  "its configuration cannot be compared without its key bundle, so a check may have been switched off";
export const UNPROVEN_AFTER =
  "Entries said to follow the receipt came without the proof that they would be compared by, so nothing is proven here; " +
  "the log holds it";
const UNMEASURED = "what ran the model was not measured";

/** An identifier shortened in the middle, e.g. 0x123456...cdef. */
export function short(value: Uint8Array | string): string {
  const told = typeof value === "string" ? value : hex0x(value);
  return told.length <= 14 ? told : `${told.slice(0, 8)}...${told.slice(-4)}`;
}

/** Who ran the request, with what, how: for a provider's answer (`upstream`), who passed it on. */
export interface Ran {
  readonly node: Uint8Array;
  readonly mode: bigint;
  readonly upstream: boolean;
  /** The receipt's mode: where it is not what confines the node (`mode`), it is named by `beside`. */
  readonly said: bigint;
}

/** Which code ran the request, in which mode, on which hardware. */
export function ran({ node, mode, upstream, said }: Ran, image: string, assurance: string): string {
  const did = upstream ? "passed this on" : "ran this";
  if (mode === 0n) {
    const bare = `node ${short(node)} ${did} without an enclave, and nothing measured its code`;
    return upstream ? `${bare}; ${UNMEASURED}` : bare;
  }
  const told = enclave({ node, mode, upstream, said }, image || "unknown");
  if (assurance === "simulated") return `${told}; ${SIMULATED}`;
  return `${told}; ${assurance === "hardware" ? "hardware evidence names the image" : "no hardware vouches for it"}`;
}

/** What a mode that says nothing of the node says of the answer, and what it does not show. */
const BESIDE: Readonly<Record<number, string>> = {
  2:
    "mode replay: by its receipt whoever has artifact and prompt can compute the same bits again; nobody did so here",
};

/** What the mode adds to what is known of the node, in words of its own; nothing for vanilla and tee. */
export function beside(mode: bigint, shown: boolean): string[] {
  const told = BESIDE[Number(mode)];
  if (told === undefined) return [];
  return shown ? [told] : [told, MODE_NOT_COMPARED];
}

const MODE_NOT_COMPARED =
  "whether its artifact allows this mode was not compared in full: manifest or parameters are not shown here";

/** What is said of a node while the bundle that says what confines it is not shown. */
export function unconfined(node: Uint8Array): string {
  return `node ${short(node)} ran this; ${NOT_SHOWN.bundle}, so whether it ran in an enclave is not known here`;
}

/** What a node says ran, where nothing here vouches for it, and why nothing does. */
export function unvouched(ran: Ran, why: string): string {
  return `${enclave(ran, "unknown")}; ${why}; nothing here vouches for it`;
}

function enclave({ node, mode, upstream, said }: Ran, image: string): string {
  const did = upstream ? "passed this on from" : "ran this in";
  const named = said === mode ? `, mode ${MODES[Number(mode)] ?? "unknown"}` : "";
  const told = `image ${image} ${did} an enclave of node ${short(node)}${named}`;
  return upstream ? `${told}; ${UNMEASURED}` : told;
}

/** Which checks were switched off inside the enclave. */
export function insecure(switches: readonly string[]): string {
  return `switched off by its configuration: ${switches.join(", ")}`;
}

/** Which checks a file lists as switched off, while the configuration that would say so is not shown. */
export function listedInsecure(switches: readonly string[]): string {
  return `listed as switched off, not compared: ${switches.join(", ")}`;
}

/** Which artifact answered, while its manifest is not shown. */
export function artifact(value: string): string {
  return `artifact ${short(value)} answered`;
}

/** Which artifact answered, under which label. */
export function model(manifest: Manifest, pinned: boolean): string {
  const told = `artifact ${short(manifest.artifact)} answered, as label ${manifest.label} version ${manifest.version}`;
  return pinned ? `${told}; ${PINNED}` : told;
}

const PINNED = "the request pinned its model to this artifact";

/** What a remote provider says about its model; nothing of it was measured. */
export function asserted(record: UpstreamRecord | undefined): string {
  if (!record) {
    return "an upstream provider answered; its model is asserted by that provider alone, and which one it was is the owner's to show";
  }
  const { provider, asserted_model } = record;
  return `an upstream provider answered; the model ${asserted_model} is asserted by ${provider} alone`;
}

/** What entered the run from outside, each with its source and age. */
export function inputs(records: readonly InputRecord[], at: bigint): string {
  const listed = records.map((record) => {
    const old = at > record.as_of ? at - record.as_of : 0n;
    return `${record.kind} from ${record.source}, ${record.as_of ? `${old / 1000n} s old` : "age unknown"}`;
  });
  return `${listed.length} outside inputs, not re-validated: ${listed.join("; ")}`;
}

/** What the check of a receipt by full nodes is not, by its mode. */
function papers(mode: bigint): string {
  const checked = "full nodes checked its papers and did not run the model again";
  return mode === REPLAY ? `${checked}; anybody who has artifact and prompt can, by hallmark replay` : checked;
}

/** Where the receipt stands, and what a proof of that leaves open. */
export function proved(index: bigint, size: bigint, mode: bigint): string {
  return (
    `every log entry below ${size}, of which this receipt is number ${index}; ${papers(mode)}; ` +
    "an objection of theirs would stand in the log beside it, which this proof alone does not rule out"
  );
}

/** Where the receipt stands, when every entry up to the checkpoint's end was read and none objects. */
export function silent(index: bigint, size: bigint, mode: bigint): string {
  return (
    `every log entry below ${size}, of which this receipt is number ${index}; ${papers(mode)}; ` +
    `none of the ${size - index - 1n} entries logged behind it up to there objects to it`
  );
}

/** Who called the answer fit, with their reason codes. */
export function judged(reasons: readonly string[]): string {
  const number = `${reasons.length} reviewer${reasons.length > 1 ? "s" : ""}`;
  return `${number} judged the answer fit (${reasons.join(", ")}), having seen the marks as they stood then`;
}

/** Who witnessed, e.g. `3 of 4 full nodes`. */
export function quorum(signers: number, of: number): string {
  return of ? `${signers} of ${of} full nodes` : `${signers} full nodes`;
}
