/**
 * Whether a node may be sealed to. Obligations, in this order, the first that does not hold is the reason:
 *
 * 1. the ticket is of this network, signed by a gateway of the trust file, valid now, and commits to these candidates,
 *    which are for the model that was asked for
 * 2. the node's bundle is the one that the candidates name, of this node and network
 * 3. the registration of exactly this bundle and evidence is in the log, and a quorum of the trust file saw it
 * 4. every entry behind it up to that quorum's checkpoint is shown, and no more full nodes object in them than may be wrong
 * 5. neither node nor measurement is listed as compromised or revoked, and nothing insecure is switched on
 * 6. the evidence binds the bundle, by the same judge as receipts' evidence
 * 7. the keys are those that the bundle's schedule fixes for now
 *
 * Full nodes object to a second bundle of a key, and to one of its host for the same epoch: so everybody seals to the same keys.
 */
import { objectionsBehind } from "../verify/after.ts";
import { hex0x, same, sha256, unbase64, unhex, utf8, EMPTY, ZERO32 } from "../verify/bytes.ts";
import {
  Candidates, digestOf, documentDigest, EnclaveConfiguration, KeyBundle, Measurement, readDocument, reportData,
} from "../verify/documents.ts";
import { decodeEntry, SIGNATURE_SIZE, splitLeaf } from "../verify/entries.ts";
import { attempted, HallmarkError, translated } from "../verify/errors.ts";
import { decodeEvidence, judge, matches, type Judged } from "../verify/evidence.ts";
import { parseJSON } from "../verify/json.ts";
import { recoverStatement } from "../verify/keys.ts";
import { pathOf, ProofVerifier, type ProvenPlace } from "../verify/proof.ts";
import { sentenceOf } from "../verify/reasons.ts";
import { Hex20, Hex32, list, nullable, struct, text, uint63, type Of } from "../verify/schema.ts";
import { networkId, type Trust } from "../verify/trust.ts";
import { structHash, Ticket, unpack, type Statement } from "../verify/typed.ts";
import { verifyWindow } from "./key-configurations.ts";

const SKEW = 60_000n;
/** A node's role in a registration. */
const NODE = 1n;
const string = text();

const RouteType = struct({
  ticket: string, candidates: string, nodes: list(struct({ node: Hex20, endpoint: string, bundle: string }, true)),
}, true);
const NodeType = struct({
  node: Hex20, bundle: string, configuration: string, evidence: nullable(string),
  registration: struct({ leaf: string, index: uint63, proof: string, after: list(string) }, true),
  sealing: nullable(struct({ window: uint63, configurations: string, path: list(Hex32) }, true)),
}, true);

/** What a gateway says of a node (GET /v1/hallmark/nodes/{node}). */
export type ToldNode = Of<typeof NodeType>;

/** A ticket that holds: its exact bytes, what it commits to, and the candidates' addresses with their bundles' digests. */
export interface Offer {
  readonly ticket: Uint8Array;
  readonly digest: string;
  readonly candidates: string;
  readonly nodes: readonly { readonly node: string; readonly bundle: string }[];
}

/** A node about which everything holds; without `keys` one that takes nothing sealed. */
export interface CheckedNode {
  readonly node: string;
  readonly epoch: bigint;
  readonly bundle: string;
  readonly assurance: string;
  readonly measurement: string;
  readonly window: bigint;
  readonly keys: Uint8Array | undefined;
}

/** A node that may be sealed to. */
export interface SealableNode extends CheckedNode {
  readonly keys: Uint8Array;
}

function bad(reason: string, message: string, hint = "Nothing was sent. Ask again; another gateway or node may do better."): HallmarkError {
  return new HallmarkError(reason, message, hint);
}

/** Reads an answer of the gateway's. Throws `gateway_unreadable`. */
export function readRoute(body: Uint8Array): Of<typeof RouteType> {
  return translated(() => RouteType.read(parseJSON(body)), () => bad("gateway_unreadable", "The gateway's answer is no route."));
}

/** As `readRoute`, for a node. */
export function readNode(body: Uint8Array): ToldNode {
  return translated(() => NodeType.read(parseJSON(body)), () => bad("gateway_unreadable", "The gateway's answer is no node."));
}

/** Obligation 1. Throws `ticket_mismatch`, `wrong_network`, `ticket_unsigned`, `gateway_not_registered`, `ticket_expired`, `candidates_mismatch`. */
export function checkOffer(route: Of<typeof RouteType>, trust: Trust, model: string, now: bigint): Offer {
  const bytes = attempted(() => unhex(route.ticket)) ?? EMPTY;
  const cut = Math.max(bytes.length - SIGNATURE_SIZE, 0);
  const ticket = attempted(() => unpack(Ticket, bytes.subarray(0, cut)));
  if (!ticket) throw bad("ticket_mismatch", "The gateway's route ticket cannot be read.");
  if (!same(ticket.bytes("network"), networkId(trust.origin))) throw bad("wrong_network", "The route ticket is of another network.");
  const gateway = ticket.bytes("gateway");
  const signer = attempted(() => recoverStatement(ticket, trust.chain_id, bytes.subarray(cut)));
  if (!signer || !same(signer, gateway)) throw bad("ticket_unsigned", "The route ticket is not signed by the gateway that it names.");
  if (!trust.gateways.includes(hex0x(gateway))) throw bad("gateway_not_registered", "The route ticket is of a gateway that the trust file does not name.");
  if (now > ticket.number("expires") + SKEW || ticket.number("issued") > now + SKEW) {
    throw bad("ticket_expired", "By this device's clock the route ticket is not valid now.", "Set the clock, or ask again.");
  }
  const data = utf8(route.candidates);
  const offered = same(digestOf(Candidates, data), ticket.bytes("candidates")) ? attempted(() => readDocument(Candidates, data)) : undefined;
  if (!offered || offered.model !== model || offered.candidates.length === 0) {
    throw bad("candidates_mismatch", "The candidates are not those that the route ticket commits to, or not for this model.");
  }
  return { ticket: bytes, digest: hex0x(structHash(ticket)), candidates: route.candidates, nodes: offered.candidates };
}

/** A number below `count`, each as likely as the others; `random` gives 32 bits. */
export function drawn(count: number, random: () => number): number {
  const limit = 2 ** 32 - (2 ** 32 % count);
  for (;;) {
    const value = random();
    if (value < limit) return value % count;
  }
}

/** Obligations 2 to 7. Throws their reasons. */
export function checkNode(told: ToldNode, offered: { readonly node: string; readonly bundle: string }, trust: Trust, now: bigint): CheckedNode {
  const data = utf8(told.bundle);
  const digest = digestOf(KeyBundle, data);
  const bundle = hex0x(digest) === offered.bundle ? attempted(() => readDocument(KeyBundle, data)) : undefined;
  if (!bundle || told.node !== offered.node || bundle.signing_key !== offered.node) {
    throw bad("bundle_mismatch", "The gateway shows another key bundle than the one that its ticket commits to.");
  }
  if (bundle.network !== hex0x(networkId(trust.origin))) throw bad("wrong_network", "The node's key bundle is of another network.");
  const { evidence, admitted, beacon } = registered(told, digest, trust);
  notRevoked(told.node, trust);
  insecureNothing(told.configuration, bundle.configuration);
  const judged = attested(evidence, data, { trust, admitted, beacon, now });
  if (trust.measurement.some((each) => matches(each, judged) && isRevoked(each, trust))) {
    throw bad("measurement_revoked", "The node's image is revoked by the trust file.");
  }
  const { assurance, measurement } = judged;
  const checked = { node: told.node, epoch: bundle.epoch, bundle: offered.bundle, assurance, measurement };
  const { sealing } = bundle;
  const shown = told.sealing;
  if (!sealing) return { ...checked, window: 0n, keys: undefined };
  if (!shown) {
    // A gateway that hid the keys of all nodes but one would choose who answers.
    if (now < sealing.since + sealing.count * sealing.every) throw bad("key_configuration_missing", "The node has keys now, and they are not shown.");
    return { ...checked, window: 0n, keys: undefined };
  }
  const keys = translated(() => unbase64(shown.configurations), () => bad("key_configuration_unproven", "The node's keys cannot be read."));
  verifyWindow(sealing, shown.window, keys, shown.path, now);
  return { ...checked, window: shown.window, keys };
}

interface Registered {
  readonly evidence: Uint8Array;
  readonly admitted: bigint;
  readonly beacon: readonly Uint8Array[];
}

function registered({ registration, bundle, evidence, node }: ToldNode, digest: Uint8Array, trust: Trust): Registered {
  const mismatch = (): HallmarkError => bad("registration_mismatch", "The log entry that the gateway shows does not register this node with this key bundle.");
  const leaf = translated(() => unbase64(registration.leaf), mismatch);
  const [admitted, data] = translated(() => splitLeaf(leaf), mismatch);
  const { kind, statement, signatures, attachments } = translated(() => decodeEntry(data), mismatch);
  const [attached, beside] = attachments;
  const raw = evidence === null ? EMPTY : translated(() => unbase64(evidence), mismatch);
  const expected = raw.length ? sha256(raw) : ZERO32;
  const holds =
    kind === "registration" && same(statement.bytes("network"), networkId(trust.origin)) && statement.number("role") === NODE &&
    signed(statement, signatures, trust.chain_id) && attachments.length === 2 && attached !== undefined && beside !== undefined &&
    same(statement.bytes("key"), unhex(node)) && same(statement.bytes("document"), digest) &&
    same(attached, utf8(bundle)) && same(beside, raw) && same(statement.bytes("evidence"), expected);
  if (!holds) throw mismatch();
  const proven = translated(
    () => new ProofVerifier(trust.tlog_policy).verify(leaf, registration.proof),
    (error) => bad("registration_proof", `No quorum of the trust file is shown to have seen the node's registration: ${error.message}`),
  );
  const extra = registration.proof.split("\n")[1]?.startsWith("extra ") ?? false;
  if (proven.index !== registration.index || extra || proven.unknown > 0) throw mismatch();
  unobjected(registration, proven, leaf, trust);
  return { evidence: raw, admitted, beacon: ["beaconSize", "beaconRoot"].map((field) => statement.bytes(field)) };
}

/** Full nodes cosign a checkpoint when it holds their objections to everything below, so all leaves up to its end hold all of them. */
function unobjected({ proof, after }: ToldNode["registration"], place: ProvenPlace, leaf: Uint8Array, trust: Trust): void {
  const found = translated(
    () => objectionsBehind(place, pathOf(proof), leaf, after.map(unbase64), trust),
    () => bad("objections_not_shown", "Whether full nodes object to the node's registration is not shown."),
  );
  if (found.state !== "failed") return;
  throw bad("registration_objected", `Full nodes object to the registration of the node's key bundle: ${found.reason}. ${sentenceOf(found.reason)}`);
}

/** By the node's key, and by its owner. */
function signed(statement: Statement, signatures: readonly Uint8Array[], chainId: bigint): boolean {
  const wanted = ["key", "owner"].map((field) => statement.bytes(field));
  const found = signatures.map((each) => attempted(() => recoverStatement(statement, chainId, each)));
  return found.length === wanted.length && wanted.every((each, at) => same(each, found[at] ?? EMPTY));
}

function notRevoked(node: string, trust: Trust): void {
  if (trust.compromised.some(({ key }) => key === node)) throw bad("key_compromised", "The node's key is listed as compromised.");
}

function isRevoked(measurement: Measurement, trust: Trust): boolean {
  const digest = hex0x(documentDigest(Measurement, measurement));
  return trust.revoked.some(({ document }) => document === digest);
}

function insecureNothing(exact: string, digest: string): void {
  const data = utf8(exact);
  const found = hex0x(digestOf(EnclaveConfiguration, data)) === digest ? attempted(() => readDocument(EnclaveConfiguration, data)) : undefined;
  if (!found) throw bad("configuration_mismatch", "The node's configuration is not the one that its key bundle commits to.");
  if (found.insecure.length > 0) {
    throw bad("node_insecure", `The node has switched on what is named insecure: ${found.insecure.join(", ")}.`);
  }
}

function attested(raw: Uint8Array, bundle: Uint8Array, at: Pick<Registered, "admitted" | "beacon"> & { trust: Trust; now: bigint }): Judged {
  const { attestation, measurement } = at.trust;
  const nonce = sha256(utf8("hallmark/nonce/v1\0"), ...at.beacon);
  try {
    const judged = judge(decodeEvidence(raw), attestation, at.admitted, measurement, { reportData: reportData(KeyBundle, bundle), nonce });
    if (judged.madeAt + attestation.max_age >= at.now) return judged;
  } catch (error) {
    if (error instanceof HallmarkError) throw bad("evidence_rejected", `The node's evidence does not hold here: ${error.message} (${error.reason})`);
    throw error;
  }
  throw bad("evidence_stale", "The node's evidence is older than the trust file allows.");
}
