// What each party sees of a question, by the path that it takes: sentences and a small table. Pure.
import type { Path } from "./tree.ts";

/** What the words depend on: the relay's host, the provider that a model is asserted by ("" for none), and the hardware that the trust file accepts. */
export interface Circumstances {
  readonly relay: string;
  readonly provider: string;
  readonly hardware: "simulated" | "mixed" | "real";
}

/** The sentence that stands over the conversation. */
export function pathSentence(path: Path, at: Circumstances): string {
  const provider = at.provider === "" ? "" : ` and the provider ${at.provider}`;
  if (path === "plain") {
    return `Plain path: the gateway reads what you write and what is answered. So ${provider === "" ? "does" : "do"} the enclave of the node that answers${provider}.`;
  }
  const also = provider === "" ? "" : ` The provider ${at.provider} reads it in clear.`;
  return `Sealed path: what you write is sealed to keys of a node's enclave and passed on by the relay ${at.relay}; the gateway does not get it.${also}${simulated(at)}`;
}

/** The words beside the button that sends. */
export function pathNote(path: Path, at: Circumstances): string {
  if (path === "plain") return "plain: the gateway reads it";
  return `sealed${at.hardware === "simulated" ? ", simulated hardware" : ""}, through ${at.relay}`;
}

/** Party and what it sees, a row each. */
export function whoSees(path: Path, at: Circumstances): readonly (readonly [party: string, sees: string])[] {
  const provider = at.provider === "" ? [] : [[`provider ${at.provider}`, "question and answer, from the enclave; not your address"] as const];
  const host = at.hardware === "real" ? "" : `; ${at.hardware === "simulated" ? "its hardware is simulated, so" : "where its hardware is simulated,"} whoever runs it could read all`;
  if (path === "plain") {
    return [
      ["relay", "nothing: it takes no part"],
      ["gateway", "question, answer, model, your address, when"],
      ["node's host", `that the gateway sent a request, its size, when${host}`],
      ["node's enclave", "question and answer; not your address"],
      ...provider,
    ];
  }
  return [
    [`relay ${at.relay}`, "your address, when, which node, a size class; neither question nor answer nor model"],
    ["gateway", "that the relay asked for a route to a model, and later for a receipt's proof. This page itself came from it, to your address"],
    ["node's host", `that a relay sent something, its size class, when${host}`],
    ["node's enclave", "question and answer; not your address"],
    ...provider,
    ["relay and gateway together", "that your address asked for a model, and when; not the question"],
    ["relay and enclave together", "your address and the question"],
  ];
}

function simulated({ hardware }: Circumstances): string {
  if (hardware === "real") return "";
  if (hardware === "simulated") return " This network's hardware is simulated: whoever runs the node's host could read it.";
  return " Some nodes' hardware is simulated, and whoever runs such a node's host could read it; the mark ran says which.";
}

/** Which hardware a trust file's attestation policy lets pass. */
export function hardwareOf(trust: string): Circumstances["hardware"] {
  let kinds: unknown;
  try {
    kinds = (JSON.parse(trust) as { attestation?: { kinds?: unknown } }).attestation?.kinds;
  } catch {
    // Nothing is known: then nothing is said to be real.
  }
  const known = Array.isArray(kinds) ? kinds.map(String) : [];
  const made = known.filter((kind) => kind.endsWith("-dev"));
  return made.length === known.length ? "simulated" : made.length > 0 ? "mixed" : "real";
}
