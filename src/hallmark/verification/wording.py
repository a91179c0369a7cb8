"""The plain words of findings. One place, because no surface may say more than the state behind it (UI.md).

Every function returns the clause that stands after "The node alone says:", "Checked here:" or "... checked:".
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from hallmark.core.document import hex0x
from hallmark.core.documents import InputRecord, Manifest, UpstreamRecord
from hallmark.core.evidence import Assurance
from hallmark.core.marks import Question
from hallmark.core.receipt import Mode

SIMULATED = "the hardware is simulated and does not protect from its own host"
UNMEASURED: Final = "what ran the model was not measured"
"""What is said beside every enclave that passed a provider's answer on."""
CONTENT = {
    (True, True): "request and response are the ones it signed for",
    (True, False): "the request is the one it signed for; the response was not compared",
    (False, True): "the response is the one it signed for; the request was not compared",
    (False, False): "request and response were not compared: they are its owner's to show",
}
NOT_SHOWN: Final = {
    "bundle": "its key bundle is not shown here; the log holds it beside the node's registration",
    "evidence": "its evidence is not shown here; the log holds it beside the node's registration",
    "configuration": (
        "its configuration is not shown here, so a check may have been switched off; its node can show it"
    ),
    "parameters": "its parameters are not shown here: they are its owner's to show",
    "manifest": "its manifest is not shown here; the log holds it beside the label's version",
    "route": "its route record is not shown here; the log holds it beside the receipt",
    "ticket": "its route ticket is not shown here; the log holds it beside the receipt",
    "candidates": "the candidates of its ticket are not shown here; the log holds them beside the receipt",
    "inputs": "outside inputs entered; their records are not shown here: they are its owner's to show",
    "registration": "the node's registration is not proven here; the log holds it",
    "version": "the label's version is not proven here; the log holds it",
    "payment": "its payment record is not shown here; the log holds it beside the receipt",
    "offer": "the offer that it names is not shown here; the log holds it",
    "authorization": "the payer's authorization is not shown here; the log holds it beside the receipt",
    "issuer_keys": "the issuer's keys are not shown here; the log holds them",
    "issuer's place": "that the log holds the issuer's keys is not shown here",
    "offer's signature": "that the node's owner signed this offer is not shown here; the log holds it",
}
"""What to say of a document that a file leaves out, and who can show it. Left out is not contrary: it keeps a
mark low, and does not make it fail."""
PROVIDER: Final = "provider"
SOME_PROVIDER: Final = "an upstream provider"
"""How a provider is named while its record is the owner's to show."""
UNCOUNTED: Final = (
    "Reviews came with the receipt and were not counted: its place in the log, or who took part in making "
    "the answer, is not shown here; the log holds both"
)

UNCOMPARED: Final = (
    "its configuration cannot be compared without its key bundle, so a check may have been switched off"
)
UNPROVEN_AFTER: Final = (
    "Entries said to follow the receipt came without the proof that they would be compared by, so nothing is "
    "proven here; the log holds it"
)
NO_PATH: Final = (
    "the chain holds the checkpoint that the anchor names; that it covers this receipt is not shown here"
)


def unread(reason: str) -> str:
    """What to say of an anchor when the chain was asked and did not say."""
    return f"the chain was asked about the anchor and did not say ({reason})"


def short(value: bytes | str) -> str:
    """An identifier shortened in the middle, e.g. 0x1234...cdef."""
    text = hex0x(value) if isinstance(value, bytes) else value
    return text if len(text) <= 14 else f"{text[:8]}...{text[-4:]}"


def ran(
    node: bytes,
    mode: int,
    *,
    image: str,
    assurance: Assurance,
    upstream: bool = False,
    said: int | None = None,
    notes: Sequence[str] = (),
) -> str:
    """Which code ran the request, in which mode, on which hardware; for a provider's answer (`upstream`),
    which code passed it on, because what ran the model is out of sight. `mode` is what confines the node;
    `said` the receipt's, which is named by `beside` where it is another.
    """
    if mode == Mode.VANILLA:
        did = "passed this on" if upstream else "ran this"
        parts = [f"node {short(node)} {did} without an enclave, and nothing measured its code"]
        parts += [UNMEASURED] * upstream
    else:
        parts = [_enclosed(node, mode, image=image, upstream=upstream, said=said)]
        parts += [UNMEASURED] * upstream
        if assurance is Assurance.SIMULATED:
            parts.append(SIMULATED)
        elif assurance is Assurance.HARDWARE:
            parts.append("hardware evidence names the image")
        else:
            parts.append("no hardware vouches for it")
    return "; ".join([*parts, *notes])


def _enclosed(node: bytes, mode: int, *, image: str, upstream: bool, said: int | None) -> str:
    name = Mode(mode).name.lower() if mode in tuple(Mode) else "unknown"
    did = "passed this on from" if upstream else "ran this in"
    told = f"image {image or 'unknown'} {did} an enclave of node {short(node)}"
    return f"{told}, mode {name}" if said in (None, mode) else told


BESIDE: Final[Mapping[int, str]] = {
    Mode.REPLAY: (
        "mode replay: by its receipt whoever has artifact and prompt can compute the same bits again; nobody "
        "did so here"
    ),
}
"""What a mode that says nothing of the node says of the answer, and what it does not show."""


def beside(mode: int, *, shown: bool) -> list[str]:
    """What the mode adds to what is known of the node, in words of its own; nothing for VANILLA and TEE."""
    if mode not in BESIDE:
        return []
    return [BESIDE[mode]] if shown else [BESIDE[mode], MODE_NOT_COMPARED]


MODE_NOT_COMPARED: Final = (
    "whether its artifact allows this mode was not compared in full: manifest or parameters are not shown "
    "here"
)


def unconfined(node: bytes) -> str:
    """What is said of a node while the bundle that says what confines it is not shown."""
    unknown = "so whether it ran in an enclave is not known here"
    return f"node {short(node)} ran this; {NOT_SHOWN['bundle']}, {unknown}"


def by_its_word(upstream: bool) -> Mapping[Question, str]:
    """What a receipt by itself says, before anything about it was looked at."""
    passed = f"it passed this on, as its receipt says; {UNMEASURED}"
    model = "an upstream provider answered" if upstream else "the model that its receipt commits to answered"
    return {
        Question.RAN: passed if upstream else "it ran this, as its receipt says",
        Question.MODEL: model,
        Question.ROUTE: "this is the path that the request took",
    }


WEAKER: Mapping[str, str] = {
    "root-is-directory": "the enclave's files are a folder that its user can change (no root or loop device)",
    "limits-by-rlimit": "its memory and processes are limited by rlimits (no root, or no control groups)",
    "no-landlock": "the kernel has no Landlock",
    "vanilla": "there is no enclave at all",
}


def weaker(facts: Sequence[str]) -> str:
    """What a network whose enclaves are confined less than fully cannot reach, and why."""
    told = "; ".join(WEAKER.get(fact, fact) for fact in facts)
    return (
        f"Enclaves are confined less than fully here: {told}. So `ran` stays claimed, and a policy that asks "
        "for more of it (witnessed, anchored, payment) cannot be met here, however long one waits. "
        "Nodes that root starts on a machine with loop devices and control groups have no such limit."
    )


def unvouched(node: bytes, mode: int, *, upstream: bool, why: str, said: int | None = None) -> str:
    """What a node says ran, where nothing here vouches for it, and why nothing does; `said` as in `ran`."""
    parts = [_enclosed(node, mode, image="", upstream=upstream, said=said)]
    parts += [UNMEASURED] * upstream
    return "; ".join([*parts, why, "nothing here vouches for it"])


def insecure(switches: Sequence[str]) -> str:
    """Which checks were switched off inside the enclave."""
    return "switched off by its configuration: " + ", ".join(switches)


def listed_insecure(switches: Sequence[str]) -> str:
    """Which checks a file lists as switched off, while the configuration that would say so is not shown."""
    return "listed as switched off, not compared: " + ", ".join(switches)


PINNED: Final = "the request pinned its model to this artifact"


def model(manifest: Manifest, *, pinned: bool = False) -> str:
    """Which artifact answered, under which label, and whether the request asked for this very one."""
    told = (
        f"artifact {short(manifest.artifact)} answered, as label {manifest.label} version {manifest.version}"
    )
    return f"{told}; {PINNED}" if pinned else told


def artifact(value: str) -> str:
    """Which artifact answered, while its manifest is not shown."""
    return f"artifact {short(value)} answered"


def asserted(record: UpstreamRecord | None) -> str:
    """What a remote provider says about its model; nothing of it was measured. None: its record is not
    shown.
    """
    if record is None:
        return (
            "an upstream provider answered; its model is asserted by that provider alone, and which one it "
            "was is the owner's to show"
        )
    provider = record.provider
    return f"an upstream provider answered; the model {record.asserted_model} is asserted by {provider} alone"


def inputs(records: Sequence[InputRecord], at: int) -> str:
    """What entered the run from outside, each with its source and age."""
    listed = [
        f"{r.kind} from {r.source}, {f'{max(at - r.as_of, 0) // 1000} s old' if r.as_of else 'age unknown'}"
        for r in records
    ]
    return f"{len(listed)} outside inputs, not re-validated: " + "; ".join(listed)


def papers(mode: int, *, quorum: bool) -> str:
    """What a check of a receipt is not, by its mode; `quorum`: full nodes checked, not one viewer alone."""
    checked = "full nodes checked its papers and did not run the model again"
    alone = "its papers were checked and the model was not run again"
    anybody = "; anybody who has artifact and prompt can, by hallmark replay" if mode == Mode.REPLAY else ""
    return f"{checked if quorum else alone}{anybody}"


def proved(index: int, size: int, mode: int) -> str:
    """Where the receipt stands, and what a proof of that leaves open."""
    return (
        f"every log entry below {size}, of which this receipt is number {index}; "
        f"{papers(mode, quorum=True)}; "
        "an objection of theirs would stand in the log beside it, which this proof alone does not rule out"
    )


def silent(index: int, size: int, mode: int) -> str:
    """Where the receipt stands, when every entry up to the checkpoint's end was read and none objects."""
    return (
        f"every log entry below {size}, of which this receipt is number {index}; "
        f"{papers(mode, quorum=True)}; "
        f"none of the {size - index - 1} entries logged behind it up to there objects to it"
    )


def clean(index: int, size: int, mode: int, *, quorum: bool) -> str:
    """Where the receipt stands, said by somebody who read the log up to there and found no objection."""
    return (
        f"every log entry below {size}, of which this receipt is number {index}; "
        f"{papers(mode, quorum=quorum)}; no objection stands against it"
    )


def judged(reasons: Sequence[str]) -> str:
    """Who called the answer fit, with their reason codes; others may have reviewed it as well."""
    number = f"{len(reasons)} reviewer{'s' if len(reasons) > 1 else ''}"
    return f"{number} judged the answer fit ({', '.join(reasons)}), having seen the marks as they stood then"


def quorum(signers: int, of: int) -> str:
    """Who witnessed, e.g. `3 of 4 full nodes`."""
    return f"{signers} of {of} full nodes" if of else f"{signers} full nodes"
