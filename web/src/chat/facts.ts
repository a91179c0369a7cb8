// What an answer's receipt names: who answered, which way, and who saw the question. Words follow the marks, not these.
import { documentOf } from "./dossier.ts";
import { numberAt, textAt, type RawMembers } from "./rawjson.ts";
import type { AnswerFacts } from "./tree.ts";

const ZERO32 = `0x${"0".repeat(64)}`;
const MODES = ["vanilla", "tee", "replay", "zkml"];

/** The facts by which two answers are compared. */
export function factsOf(dossier: RawMembers, label: string): AnswerFacts {
  const artifact = textAt(dossier, "receipt", "artifact");
  return {
    label,
    artifact: artifact === ZERO32 ? "" : artifact,
    provider: providerOf(dossier),
    node: textAt(dossier, "receipt", "node"),
    path: text(documentOf(dossier, "route")["path"]),
    mode: MODES[numberAt(dossier, "receipt", "mode")] ?? "",
  };
}

/** The host of the provider that answered, by the receipt's upstream record; "" when the receipt names none. */
export function providerOf(dossier: RawMembers): string {
  return textAt(dossier, "receipt", "upstream") === ZERO32 ? "" : text(documentOf(dossier, "upstream")["provider"]);
}

/** Who saw the question in clear, by the route record, and who could have: one plain line each. */
export function sawPrompt(dossier: RawMembers, assurance: string): string[] {
  const could = assurance === "simulated" ? ["whoever runs the node's host could have read it: its hardware is simulated"] : [];
  return [...recorded(dossier), ...could];
}

function recorded(dossier: RawMembers): string[] {
  const seen = documentOf(dossier, "route")["saw_prompt"];
  const provider = providerOf(dossier);
  const named = Array.isArray(seen) ? seen.filter((role) => typeof role === "string") : [];
  const lines = named.filter((role) => !role.startsWith("upstream")).map((role) => WHO[role] ?? role);
  const upstream = provider === "" ? "an upstream provider" : `the provider ${provider}`;
  return provider === "" && lines.length === named.length ? lines : [...lines, `${upstream}, inside its own boundary`];
}

/** Whether the receipt answers the request that carried `nonce` (64 hexadecimal digits). */
export function answersNonce(dossier: RawMembers, nonce: string): boolean {
  return textAt(dossier, "receipt", "clientNonce") === `0x${nonce}`;
}

/** Whether the receipt has the mode that was asked for; any will do where none was (""). */
export function keepsMode(dossier: RawMembers, mode: string): boolean {
  return mode === "" || MODES[numberAt(dossier, "receipt", "mode")] === mode;
}

const WHO: Readonly<Record<string, string>> = {
  gateway: "the gateway: it passes the plain request on",
  enclave: "the enclave of the node: it has to read the question to answer it",
  node: "the node, without an enclave: its host can read along",
  relay: "the relay",
};

function text(value: unknown): string {
  return typeof value === "string" ? value : "";
}
