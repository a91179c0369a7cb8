/**
 * A dossier opened for examination: its parts typed, its documents held against what commits to them
 * (verification/examination.py). Everything here raises a HallmarkError with a code of reasons.ts when something does not
 * hold; findings.ts turns that into the mark that it speaks against. Parts are read on demand, and once.
 */
import { concat, EMPTY, hex0x, same, sha256, uint, unbase64, unhex, utf8, ZERO32 } from "./bytes.ts";
import {
  digestOf, EnclaveConfiguration, KeyBundle, Manifest, Parameters, readDocument, RouteRecord, UpstreamRecord, type DocumentType,
} from "./documents.ts";
import { openReceipt, type Dossier, type LoggedPart } from "./dossier.ts";
import { decodeEntry, leafOf, SIGNATURE_SIZE, type Entry } from "./entries.ts";
import { attempted, HallmarkError, translated } from "./errors.ts";
import { Members, parseJSON } from "./json.ts";
import { recoverStatement } from "./keys.ts";
import { artifactRefusal, isConfined, isUnderstood, refusal, REPLAY } from "./modes.ts";
import { pinOf } from "./model-names.ts";
import { ProofVerifier, type ProvenPlace } from "./proof.ts";
import { sentenceOf } from "./reasons.ts";
import { networkId, type Trust } from "./trust.ts";
import { structHash, Ticket, unpack, type Statement } from "./typed.ts";
import type { Ran } from "./words.ts";

/** An entry of the dossier with its place: proven, or undefined when no proof came with it. */
export interface Placed {
  readonly part: LoggedPart;
  readonly entry: Entry;
  readonly place: ProvenPlace | undefined;
}

/**
 * Since when a quorum covers an entry, unix ms; 0 when no proof came with it. Cosignatures carry whole seconds, rounded
 * down, so theirs may be dated before what they cover was admitted; a checkpoint is never older than that.
 */
export function witnessedAt({ part, place }: Placed): bigint {
  if (!place) return 0n;
  return place.cosignedAt > part.admitted ? place.cosignedAt : part.admitted;
}

/** The error of a reason code. */
export function failure(reason: string, hint = ""): HallmarkError {
  return new HallmarkError(reason, sentenceOf(reason), hint);
}

/** Raises with this reason code unless `holds`. */
export function required(holds: boolean, reason: string): asserts holds {
  if (!holds) throw failure(reason);
}

/** The document behind `text`, whose tagged digest must be `digest`; raises with `reason`. */
export function committed<T>(type: DocumentType<T>, text: string | null, digest: Uint8Array, reason: string): T {
  const data = utf8(text ?? "");
  required(same(digestOf(type, data), digest), reason);
  return translated(() => readDocument(type, data), () => failure(reason));
}

/** Computes at the first call, and gives the same value or error at every other. */
function once<T>(work: () => T): () => T {
  let done: (() => T) | undefined;
  return () => {
    if (!done) {
      try {
        const value = work();
        done = () => value;
      } catch (error) {
        done = () => {
          throw error;
        };
      }
    }
    return done();
  };
}

/** One dossier under one trust file. */
export class Examination {
  readonly dossier: Dossier;
  readonly trust: Trust;
  readonly now: bigint;
  readonly receipt: Statement;
  readonly id: Uint8Array;
  /** Set when `ran` was checked: only then is what the enclave says more than a claim. */
  measured = false;
  /** What hardware was found to vouch for the enclave as `ran` was examined. */
  assurance = "none";
  private readonly proofs: ProofVerifier;

  constructor(dossier: Dossier, trust: Trust, now: bigint, proofs: ProofVerifier) {
    this.dossier = dossier;
    this.trust = trust;
    this.now = now;
    this.proofs = proofs;
    this.receipt = openReceipt(dossier);
    this.id = structHash(this.receipt);
  }

  /** The receipt is of this network and version, is named by its id, and its node signed it. */
  checkReceipt(): void {
    const { receipt, dossier, trust } = this;
    const network = networkId(trust.origin);
    required(receipt.number("version") === 1n, "receipt_version");
    const here = same(receipt.bytes("network"), network) && same(unhex(dossier.network), network);
    required(here, "wrong_network");
    required(dossier.chain_id === trust.chain_id, "chain_mismatch");
    required(hex0x(this.id) === dossier.id, "id_mismatch");
    const signer = attempted(() => recoverStatement(receipt, trust.chain_id, unhex(dossier.signature)));
    required(signer !== undefined && same(signer, receipt.bytes("node")), "bad_signature");
  }

  /** The owner's copies are what the receipt commits to; [request compared, response compared]. */
  checkContent(): [boolean, boolean] {
    const { request, response, salts } = this.dossier;
    required(!request || !salts.request || this.requestHolds(), "request_mismatch");
    if (response && salts.response) {
      const found = responseDigest(unhex(salts.response), utf8(response.body));
      required(same(found, this.receipt.bytes("response")), "response_mismatch");
    }
    return [request !== null, response !== null];
  }

  /** Whether the request is shown with its salt, and is the one that the receipt commits to. */
  private readonly requestHolds = once((): boolean => {
    const { request, salts } = this.dossier;
    if (!request || !salts.request) return false;
    const found = requestDigest(unhex(salts.request), utf8(request.path), utf8(request.body));
    return found !== undefined && same(found, this.receipt.bytes("request"));
  });

  /**
   * The artifact (0x-hex) to which the request pinned its model; empty when it did not, or when the request is not shown as
   * the one that the receipt commits to.
   */
  pinned(): string {
    const { request } = this.dossier;
    if (!request || !this.requestHolds()) return "";
    const value = attempted(() => parseJSON(utf8(request.body), true));
    const model = value instanceof Members ? value.table().get("model") : undefined;
    return typeof model === "string" ? pinOf(model) : "";
  }

  /** The key bundle: the one that the receipt commits to, of this key, network and mode. */
  readonly bundle = once((): KeyBundle => {
    const { receipt, dossier } = this;
    const bundle = committed(KeyBundle, dossier.documents.bundle, receipt.bytes("bundle"), "bundle_mismatch");
    required(bundle.signing_key === hex0x(receipt.bytes("node")), "key_mismatch");
    required(bundle.network === dossier.network, "wrong_network");
    const refused = refusal(receipt.number("mode"), bundle.mode);
    required(!refused, refused);
    return bundle;
  });

  /** What confines the node, as a mode; undefined while the bundle that would say so is not shown. */
  confinement(): bigint | undefined {
    const mode = this.receipt.number("mode");
    if (isConfined(mode)) return mode;
    return this.showsBundle ? this.bundle().mode : undefined;
  }

  /** The manifest allows the receipt's mode, and the parameters name its trace; false while those are not shown. */
  checkMode(): boolean {
    const { receipt } = this;
    const mode = receipt.number("mode");
    const text = this.dossier.documents.manifest;
    required(isUnderstood(mode), "mode_not_supported");
    if (isConfined(mode)) return true;
    if (text === null && !same(receipt.bytes("artifact"), ZERO32)) return false;
    const manifest = text ? committed(Manifest, text, receipt.bytes("manifest"), "manifest_mismatch") : undefined;
    const refused = artifactRefusal(mode, manifest);
    required(!refused, refused);
    const parameters = this.parameters();
    required(!parameters || mode !== REPLAY || parameters.trace_root !== undefined, "trace_missing");
    return parameters !== undefined;
  }

  /** The enclave's configuration, whose insecure switches are the listed ones; undefined if not shown. */
  configuration(bundle: KeyBundle): EnclaveConfiguration | undefined {
    const { insecure, documents } = this.dossier;
    if (documents.configuration === null) return undefined;
    const digest = unhex(bundle.configuration);
    const found = committed(EnclaveConfiguration, documents.configuration, digest, "configuration_mismatch");
    const listed = found.insecure.length === insecure.length && found.insecure.every((each, at) => each === insecure[at]);
    required(!insecure.length || listed, "insecure_mismatch");
    return found;
  }

  /** The parameters that were applied, which are those that the receipt commits to; undefined if not shown. */
  parameters(): Parameters | undefined {
    const text = this.dossier.documents.parameters;
    if (text === null) return undefined;
    return committed(Parameters, text, this.receipt.bytes("parameters"), "parameters_mismatch");
  }

  /** An entry of the dossier and its proven place; undefined when the dossier has no such entry. */
  private placed(part: LoggedPart | null, mismatch: string, unproven: string): Placed | undefined {
    if (!part) return undefined;
    const data = unbase64(part.bytes);
    const entry = translated(() => decodeEntry(data), () => failure(mismatch));
    const { proof } = part;
    if (proof === null) return { part, entry, place: undefined };
    const place = translated(
      () => this.proofs.verify(leafOf(part.admitted, data), proof),
      (error) => failure(unproven, `${error.reason}: ${error.message}`),
    );
    required(place.index === part.index, unproven);
    const lines = proof.split("\n");
    required(!lines[1]?.startsWith("extra "), unproven);
    required(place.unknown === 0, "unknown_cosigner");
    return { part, entry, place };
  }

  /** The receipt's own entry: this receipt, this signature, these attachments. */
  readonly entry = once((): Placed | undefined => {
    const placed = this.placed(this.dossier.entry, "entry_mismatch", "proof_invalid");
    if (!placed) return undefined;
    const { entry } = placed;
    const { documents, signature } = this.dossier;
    required(entry.kind === "receipt" && same(entry.statement.packed, this.receipt.packed), "entry_mismatch");
    required(sameAll(entry.signatures, [unhex(signature)]), "entry_mismatch");
    const { route, candidates } = documents;
    const shown = [route ? utf8(route) : null, candidates === null ? null : utf8(candidates)];
    const { payment } = documents;
    const money = [payment === null ? null : utf8(payment), this.authorizationBytes() ?? null];
    const charged = !same(this.receipt.bytes("payment"), ZERO32);
    const beside = [...shown, this.dossier.ticket ? this.ticketBytes() : null, ...(charged ? money : [])];
    required(entry.attachments.length === beside.length, "entry_mismatch");
    required(entry.attachments.every((each, at) => !beside[at] || same(each, beside[at])), "entry_mismatch");
    const committedRoute = digestOf(RouteRecord, entry.attachments[0] ?? EMPTY);
    required(same(committedRoute, this.receipt.bytes("route")), "entry_mismatch");
    return placed;
  });

  /** The node's registration: this key, this bundle, this evidence. */
  readonly registration = once((): Placed | undefined => {
    const reason = "registration_mismatch";
    const placed = this.placed(this.dossier.registration, reason, "registration_proof");
    if (!placed) return undefined;
    const { kind, statement, attachments } = placed.entry;
    const evidence = this.evidenceBytes();
    required(kind === "registration", reason);
    const { receipt } = this;
    const found = ["key", "document"].map((field) => statement.bytes(field));
    required(sameAll(found, [receipt.bytes("node"), receipt.bytes("bundle")]), reason);
    const [bundle, beside, ...others] = attachments;
    required(bundle !== undefined && beside !== undefined && !others.length, reason);
    required(!this.showsBundle || same(bundle, utf8(this.dossier.documents.bundle)), reason);
    required(same(digestOf(KeyBundle, bundle), receipt.bytes("bundle")), reason);
    required(same(beside.length ? sha256(beside) : ZERO32, statement.bytes("evidence")), reason);
    if (evidence.length || this.confinement() === 0n) {
      const digest = evidence.length ? sha256(evidence) : ZERO32;
      required(sameAll([statement.bytes("evidence"), beside], [digest, evidence]), reason);
    }
    this.checkEarlier(placed, reason);
    return placed;
  });

  /** The entry that pointed the label at this manifest. */
  readonly version = once((): Placed | undefined => {
    const reason = "version_mismatch";
    const placed = this.placed(this.dossier.version, reason, "version_proof");
    if (!placed) return undefined;
    const { kind, statement, attachments } = placed.entry;
    required(kind === "version", reason);
    const found = [statement.bytes("document"), statement.bytes("artifact")];
    required(sameAll(found, [this.receipt.bytes("manifest"), this.receipt.bytes("artifact")]), reason);
    const beside = attachments.map((data) => digestOf(Manifest, data));
    required(sameAll(beside, [this.receipt.bytes("manifest")]), reason);
    this.checkEarlier(placed, reason);
    return placed;
  });

  /** The reviews that came with the receipt, in log order. */
  reviews(): Placed[] {
    const found = this.dossier.reviews.map((part) => this.placed(part, "review_subject", "review_proof") as Placed);
    const apart = (one: Placed, two: Placed): bigint => one.part.index - two.part.index;
    return found.sort((one, two) => (apart(one, two) < 0n ? -1 : apart(one, two) > 0n ? 1 : 0));
  }

  /** False while the file leaves out what says who took part: bundle, route record or ticket. */
  get partiesKnown(): boolean {
    const { documents, ticket } = this.dossier;
    const direct = documents.route !== "" && attempted(() => this.route().ticket) === hex0x(ZERO32);
    return this.showsBundle && (direct || ticket !== null);
  }

  /** The route record that the receipt commits to. */
  route(): RouteRecord {
    return committed(RouteRecord, this.dossier.documents.route, this.receipt.bytes("route"), "route_mismatch");
  }

  /** The provider's record; undefined when it is not shown. */
  upstream(): UpstreamRecord | undefined {
    const text = this.dossier.documents.upstream;
    if (text === null) return undefined;
    return committed(UpstreamRecord, text, this.receipt.bytes("upstream"), "upstream_mismatch");
  }

  /** Who ran the request; a provider answered when the receipt names its record and no artifact. */
  get ranBy(): Ran {
    const { receipt } = this;
    const upstream = same(receipt.bytes("artifact"), ZERO32) && !same(receipt.bytes("upstream"), ZERO32);
    const said = receipt.number("mode");
    return { node: receipt.bytes("node"), mode: said, upstream, said };
  }

  /** False when the file leaves the key bundle out. */
  get showsBundle(): boolean {
    return this.dossier.documents.bundle !== "";
  }

  /** The gateway that the ticket names; undefined without a readable ticket. */
  gateway(): Uint8Array | undefined {
    const packed = this.ticketBytes().slice(0, -SIGNATURE_SIZE);
    return attempted(() => unpack(Ticket, packed))?.bytes("gateway");
  }

  /** When the answer counts as given: its admission by the log, or before that the node's own time; unix ms. */
  moment(): bigint {
    return this.dossier.entry?.admitted ?? this.receipt.number("finished");
  }

  /** The encoded evidence; empty when there is none. */
  evidenceBytes(): Uint8Array {
    return this.dossier.evidence ? unbase64(this.dossier.evidence) : EMPTY;
  }

  /** The route ticket, packed || signature; empty when there is none. */
  ticketBytes(): Uint8Array {
    return this.dossier.ticket ? unhex(this.dossier.ticket) : EMPTY;
  }

  /** What the payer signed; undefined when it is not shown. */
  authorizationBytes(): Uint8Array | undefined {
    const text = this.dossier.payment_authorization;
    return text ? unbase64(text) : undefined;
  }

  private checkEarlier(placed: Placed, reason: string): void {
    const { entry } = this.dossier;
    required(placed.part.after === null, reason);
    if (!entry) return;
    required(placed.part.index < entry.index, reason);
    required(placed.part.admitted <= entry.admitted, reason);
  }
}

/** What a receipt commits to of a request (core/receipt.py); undefined when its path is too long for one. */
export function requestDigest(salt: Uint8Array, path: Uint8Array, body: Uint8Array): Uint8Array | undefined {
  const size = uint(BigInt(path.length), 2);
  return size && sha256(utf8("hallmark/request/v1\0"), salt, size, path, body);
}

/** What a receipt commits to of an answer's covered bytes (core/receipt.py). */
export function responseDigest(salt: Uint8Array, body: Uint8Array): Uint8Array {
  return sha256(utf8("hallmark/response/v1\0"), salt, body);
}

/** Whether two lists hold the same byte strings. */
export function sameAll(left: readonly Uint8Array[], right: readonly Uint8Array[]): boolean {
  return left.length === right.length && left.every((each, at) => same(each, right[at] ?? concat()));
}
