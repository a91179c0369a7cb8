"""The canonical documents that statements commit to. All are `Document`s: exact bytes, integers only.

Times are unix milliseconds. Digests are 0x-hex SHA-256 unless said otherwise. Numbers in documents that the
folded log keeps have 63 bits at most: of more, it could not be written down.
"""

from __future__ import annotations

import msgspec

from hallmark.core.document import Document, Hex20, Hex32, Hex48, HexBytes, Uint63


class HPKEKey(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One HPKE key (RFC 9180 code points): upstreams' API keys are sealed to it."""

    id: Uint63
    kem: Uint63
    kdf: Uint63
    aead: Uint63
    public_key: HexBytes


class Sealing(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """All keys that requests are sealed to (RFC 9458), for all windows of a bundle's life.

    `root` is that of an RFC 6962 tree with one leaf a window: u64be(window) || the window's key
    configurations (`application/ohttp-keys`). Window w, of `count`, begins at `since` + w * `every` (unix
    ms) and lasts `every` ms.
    """

    root: Hex32
    since: Uint63
    every: Uint63
    count: Uint63


class KeyBundle(Document, frozen=True):
    """Everything about a node that its evidence binds. What is not in here is not attested.

    `report_data(KeyBundle, bytes)` (64 bytes) goes into Nitro `user_data`, TDX and SNP `report_data`.
    `configuration` is the digest of the enclave's `EnclaveConfiguration` document; `artifacts` are
    Walrus blob IDs that it may load.
    `image` is SHA-384 of the measured image. `engine` names engine, version, flags, processor class.
    `settlement` is the address of the key that signs leases and settlements of the vault; not there where a
    node draws on no accounts. `sealing` is there where a node takes sealed requests.
    """

    TAG = "hallmark/key-bundle/v1"
    remembered = True

    network: Hex32
    owner: Hex20
    endpoint: str
    payment: Hex20
    epoch: Uint63
    signing_key: Hex20
    hpke: tuple[HPKEKey, ...]
    tls_spki: Hex32
    image: Hex48
    configuration: Hex32
    artifacts: tuple[Hex32, ...]
    mode: Uint63
    capacity: Uint63
    engine: str
    upstreams: tuple[str, ...] = ()
    settlement: Hex20 | msgspec.UnsetType = msgspec.UNSET
    sealing: Sealing | msgspec.UnsetType = msgspec.UNSET


class Profile(Document, frozen=True):
    """A registered party without an enclave: a gateway or a full node.

    `witness_key` is the C2SP vkey text of a full node, empty for a gateway.
    """

    TAG = "hallmark/profile/v1"

    name: str
    url: str
    witness_key: str = ""


class Measurement(Document, frozen=True):
    """An image that the network's authority accepts.

    `evidence` is the evidence kind ("nitro", "nitro-dev", "tdx", "sgx", "snp"); `registers` maps
    register name ("PCR0", "MRTD", ...) to 0x-hex value; `not_after` 0 means without end.
    """

    TAG = "hallmark/measurement/v1"

    name: str
    version: str
    evidence: str
    registers: dict[str, HexBytes]
    source: str
    not_after: Uint63 = 0


class ModelCard(Document, frozen=True):
    """A label and who may point it at artifacts."""

    TAG = "hallmark/model-card/v1"

    label: str
    owner: Hex20
    task: str
    description: str


class Manifest(Document, frozen=True):
    """One version of a model: the label bound to an artifact.

    `artifact` is the Walrus blob ID (its 32 bytes), `sha256` and `size` (bytes) are of the same content;
    `derived_from` is the digest of the manifest that this version replaces, empty for the first.
    """

    TAG = "hallmark/manifest/v1"

    label: str
    version: str
    artifact: Hex32
    sha256: Hex32
    size: Uint63
    format: str
    task: str
    card: Hex32
    derived_from: str = ""


class Parameters(Document, frozen=True):
    """The parameters that were effectively applied. Temperatures and penalties are in millionths.

    `seed` = SHA-256("hallmark/seed/v1" || client nonce || node nonce) read as uint64, used only when
    `temperature` > 0.
    `trace_root` is the root of an RFC 6962 tree over the run's states, `trace_leaves` how many leaves it has:
    there where the engine's answers can be made again to the bit.
    """

    TAG = "hallmark/parameters/v1"

    task: str
    max_tokens: int = 0
    temperature: int = 0
    top_p: int = 1_000_000
    top_k: int = 0
    stop: tuple[str, ...] = ()
    node_nonce: Hex32 = "0x" + "00" * 32
    seed: int = 0
    engine: str = ""
    trace_root: Hex32 | msgspec.UnsetType = msgspec.UNSET
    trace_leaves: Uint63 | msgspec.UnsetType = msgspec.UNSET


class UpstreamRecord(Document, frozen=True):
    """What a remote provider asserted. Nothing in it was measured by us."""

    TAG = "hallmark/upstream/v1"
    remembered = True

    provider: str
    url: str
    label: str
    asserted_model: str
    response_id: str
    tls_spki: str = ""


class Attempt(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One node that was tried, and how that ended ("answered" or a reason code)."""

    node: Hex20
    outcome: str


class SealedPath(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How a sealed request came.

    `configuration` is SHA-256 of the key configurations of the `window` that it was sealed to, `suite` names
    KEM, KDF and AEAD, `size` is the sealed request's size class in bytes. `relay` is who passed it on, as
    the client said: empty where it did not say, and nobody else vouches for it.
    """

    configuration: Hex32
    window: Uint63
    suite: str
    size: Uint63
    relay: str = ""


class RouteRecord(Document, frozen=True):
    """What really happened on the way. `path` is "plain" or "sealed" or "direct".

    `ticket` is the struct hash of the route ticket (zero when direct); `saw_prompt` names the roles
    that handled clear text.
    `chosen` is the node; `attempts` are what the gateway tried before it, as it told the enclave. `sealed` is
    there where `path` is "sealed".
    """

    TAG = "hallmark/route/v1"
    remembered = True

    ticket: Hex32
    path: str
    saw_prompt: tuple[str, ...]
    chosen: Hex20
    attempts: tuple[Attempt, ...] = ()
    sealed: SealedPath | msgspec.UnsetType = msgspec.UNSET


class InputRecord(Document, frozen=True):
    """One outside thing that entered the run: a tool result, an attachment, a data item, a memory row.

    `content` is a digest, salted like the request; `source` says who vouches ("client"); `as_of` 0
    means that its age is unknown.
    """

    TAG = "hallmark/input/v1"

    kind: str
    content: Hex32
    source: str
    as_of: int = 0


class Candidate(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A node that may serve, with the digest of its key bundle."""

    node: Hex20
    bundle: Hex32


class Exclusion(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A node that was left out, and why (reason code)."""

    node: Hex20
    reason: str


class Candidates(Document, frozen=True):
    """What a route ticket commits to: who may serve, in order of preference, and who was left out."""

    TAG = "hallmark/candidates/v1"
    remembered = True

    model: str
    mode: int
    candidates: tuple[Candidate, ...]
    excluded: tuple[Exclusion, ...]


class EnclaveConfiguration(Document, frozen=True):
    """What the host tells an enclave at start. It is measured: its digest is in the key bundle.

    `models` maps label to manifest digest; `limits` are integers (see services/enclave); `insecure`
    lists every check that is off.
    """

    TAG = "hallmark/configuration/v1"

    network: Hex32
    chain_id: int
    owner: Hex20
    endpoint: str
    payment: Hex20
    mode: int
    capacity: int
    models: dict[str, Hex32]
    upstreams: dict[str, str]
    limits: dict[str, int]
    insecure: tuple[str, ...] = ()


class Requirement(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One required mark: the question, its minimum state, who may have verified it, its maximum age in
    ms (0: any), and how many distinct reviewers must stand behind it (`reviewed` only; 0: any).
    """

    question: str
    state: str
    verifiers: tuple[str, ...] = ()
    max_age: Uint63 = 0
    assurance: tuple[str, ...] = ("hardware",)
    count: Uint63 = 0


class ClearingPolicy(Document, frozen=True):
    """When an item may be cleared. A question in neither list holds the item.

    It applies to items of the `classes` named (none: every class) whose value at risk, in atomic units, is
    at least `min_value`. `enforcement` is "enforce", or "warn": then it is evaluated and shown, and gates
    nothing. `sla` is within how many ms of its birth an item should be decided (0: no such promise),
    `dispute_window` how many ms after CLEAR it becomes FINAL, `resample` how many of a million CLEARs are
    looked at again by a person.
    """

    TAG = "hallmark/clearing-policy/v1"

    name: str
    version: Uint63
    requires: tuple[Requirement, ...]
    not_required: tuple[str, ...] = ()
    enforcement: str = "enforce"
    classes: tuple[str, ...] = ()
    min_value: Uint63 = 0
    sla: Uint63 = 0
    dispute_window: Uint63 = 0
    resample: Uint63 = 50_000


class AttestationPolicy(Document, frozen=True):
    """Which evidence the network accepts. Kinds that are not listed are refused.

    `roots` maps evidence kind to accepted SHA-256 root certificate digests; `max_age` and `skew` are
    ms; `debug` true accepts debug enclaves and is never set outside tests. Accepted measurements come from
    the log, not from here.
    """

    TAG = "hallmark/attestation-policy/v1"

    name: str
    version: Uint63
    kinds: tuple[str, ...]
    roots: dict[str, tuple[Hex32, ...]]
    max_age: Uint63
    skew: Uint63
    tcb_statuses: tuple[str, ...] = ("UpToDate",)
    denied_advisories: tuple[str, ...] = ()
    snp_products: tuple[str, ...] = ("Genoa", "Turin")
    debug: bool = False


class AnchorRecord(Document, frozen=True):
    """Where a checkpoint was anchored, as the anchoring service saw it."""

    TAG = "hallmark/anchor/v1"

    chain_id: int
    contract: Hex20
    transaction: Hex32
    block: int
    size: int
    root: Hex32
    confirmations: int
