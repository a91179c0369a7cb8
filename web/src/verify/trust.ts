/**
 * The trust file in its JSON form (verification/trust.py): all that a stranger needs to verify a receipt. Everything in it
 * is a decision of whoever hands it out; nothing in it is secret.
 */
import { sha256, utf8 } from "./bytes.ts";
import { AttestationPolicy, ClearingPolicy, Measurement } from "./documents.ts";
import { HallmarkError, translated } from "./errors.ts";
import { parseJSON } from "./json.ts";
import { Hex20, Hex32, list, nullable, struct, text, uint63, withDefault } from "./schema.ts";
import type { Of } from "./schema.ts";

const FORMAT = "hallmark-trust/1";
const string = text();
const TrustType = struct({
  format: string, network: string, origin: string, chain_id: uint63, tlog_policy: string, authority: list(Hex20),
  threshold: uint63, full_nodes: list(Hex20), f: uint63, gateways: list(Hex20), attestation: AttestationPolicy.type,
  measurement: list(Measurement.type), policy: list(ClearingPolicy.type),
  root_certificates: withDefault(list(struct({ kind: string, pem: string })), []),
  reviewers: withDefault(list(Hex20), []),
  anchor: nullable(struct({ contract: Hex20, chain_id: uint63 })),
  compromised: withDefault(list(struct({ key: Hex20, since: uint63, reason: string })), []),
  revoked: withDefault(list(struct({ document: Hex32, since: uint63, reason: string })), []),
});

/** A parsed trust file. Times are ms; addresses and digests are 0x-hex. */
export type Trust = Of<typeof TrustType>;

/** Reads a trust file's JSON form. Raises `bad_trust_file`. */
export function parseTrust(data: Uint8Array | string): Trust {
  const bad = (hint: string) => new HallmarkError("bad_trust_file", "This is not a trust file.", hint);
  const trust = translated(() => TrustType.read(parseJSON(data)), (error) => bad(error.message));
  if (trust.format !== FORMAT) throw bad(`The format is not ${FORMAT}.`);
  if (trust.threshold <= 0n || trust.threshold > BigInt(new Set(trust.authority).size)) {
    throw bad("The threshold cannot be met by the authority's keys.");
  }
  return trust;
}

/** The network's 32-byte id from its log's origin line. */
export function networkId(origin: string): Uint8Array {
  return sha256(utf8(`hallmark/network/v1\0${origin}`));
}

/** The clearing policy of this name. Raises `policy_unknown`. */
export function clearingPolicy(trust: Trust, name: string): ClearingPolicy {
  const found = trust.policy.find((policy) => policy.name === name);
  if (found) return found;
  const known = trust.policy.map((policy) => policy.name).join(", ") || "none";
  throw new HallmarkError("policy_unknown", `The trust file has no policy ${name}.`, `It has: ${known}.`);
}
