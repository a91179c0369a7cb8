"""A receipt run again: the artifact, the request and the answer, and nothing else.

What `replay` shows, in this order: the documents are those that the receipt commits to; the artifact is the
manifest's; request and answer are the receipt's; parameters and seed follow from the request; the run on the
artifact gives the same tokens, the same text and the same states. That the node signed, and that the log
holds it, is `hallmark verify`'s to say.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec

from hallmark.core.answer import sampling_seed
from hallmark.core.document import digest_of, unhex
from hallmark.core.documents import Manifest, Parameters
from hallmark.core.errors import InvalidInput, VerificationFailed
from hallmark.core.receipt import Receipt, request_digest, response_digest
from hallmark.engines import load
from hallmark.engines.generation import room_for
from hallmark.engines.integer.language import ExactLanguageEngine, describe
from hallmark.engines.integer.replay import Difference, Rerun, Told, compare, rerun
from hallmark.engines.integer.tensor import ExactTensorEngine
from hallmark.engines.integer.trace import Tracer
from hallmark.engines.openai_request import (
    Chat,
    Completion,
    chat_request,
    completion_request,
    decode,
    sampling,
)
from hallmark.engines.openai_response import Usage
from hallmark.engines.protocol import Trace
from hallmark.engines.tensor_request import Inference
from hallmark.services.sdk.replay_answers import read_text, same_tensors
from hallmark.verification.dossier import Dossier

CHAT_PATH: Final = "/v1/chat/completions"
TEXT_PATHS: Final = (CHAT_PATH, "/v1/completions")


class Replayed(msgspec.Struct, frozen=True):
    """How running again ended: where the runs part (None: the same bits), the run's own leaves, and how many
    tokens were compared. `cut` says that the answer was cut off, so that it was compared as far as it goes.
    """

    difference: Difference | None
    leaves: tuple[bytes, ...]
    tokens: int
    cut: bool = False


class Papers(msgspec.Struct, frozen=True):
    """What a receipt commits to, opened and compared with its digests."""

    receipt: Receipt
    parameters: Parameters
    manifest: Manifest
    path: str
    request: bytes
    answer: bytes


def open_papers(dossier: Dossier) -> Papers:
    """The documents, request and answer of a dossier.

    Raises InvalidInput `replay_incomplete` for what is not there, `not_replayable` for a receipt whose run
    cannot be made again; VerificationFailed `replay_other_papers` for what is not the receipt's.
    """
    receipt, documents, salts = dossier.opened(), dossier.documents, dossier.salts
    if documents.parameters is None or documents.manifest is None:
        raise _incomplete("its parameters or its manifest")
    if dossier.request is None or salts.request is None:
        raise _incomplete("its request")
    if dossier.response is None or salts.response is None:
        raise _incomplete("its answer")
    body, came = dossier.request.body.encode(), dossier.response.body.encode()
    found = {
        "parameters": digest_of(Parameters, documents.parameters.encode()) == receipt.parameters,
        "manifest": digest_of(Manifest, documents.manifest.encode()) == receipt.manifest,
        "request": request_digest(unhex(salts.request), dossier.request.path, body) == receipt.request,
        "answer": response_digest(unhex(salts.response), came) == receipt.response,
    }
    for name, holds in found.items():
        if not holds:
            raise VerificationFailed("replay_other_papers", f"The {name} in this file is not the receipt's.")
    parameters = Parameters.decode(documents.parameters.encode())
    if parameters.trace_root is msgspec.UNSET or parameters.trace_leaves is msgspec.UNSET:
        raise InvalidInput(
            "not_replayable",
            "This receipt commits to no trace: its engine's answers cannot be made again to the bit.",
            "Ask a model of the format integer-exact.",
        )
    manifest = Manifest.decode(documents.manifest.encode())
    return Papers(receipt, parameters, manifest, dossier.request.path, body, came)


def replay(papers: Papers, artifact: bytes, leaves: list[bytes] | None = None) -> Replayed:
    """Run it again on the artifact. `leaves` are those of the node's own trace, where it gave them out.

    Raises VerificationFailed `artifact_digest_mismatch` for another artifact, InvalidInput `not_replayable`
    where this machine's engine is of another version, and what loading an artifact raises.
    """
    if papers.parameters.engine != describe().text():
        raise InvalidInput(
            "not_replayable",
            f"The answer was made by {papers.parameters.engine[:200]}, this is {describe().text()}.",
            "Use the version of Python and of Hallmark that has that engine.",
        )
    engine = load(artifact, unhex(papers.manifest.sha256))
    trace = Trace((unhex(str(papers.parameters.trace_root)),), int(papers.parameters.trace_leaves))  # type: ignore[arg-type]  # both are there
    if isinstance(engine, ExactLanguageEngine) and papers.path in TEXT_PATHS:
        return _language(papers, engine, trace, leaves)
    if isinstance(engine, ExactTensorEngine) and papers.path not in TEXT_PATHS:
        return _tensors(papers, engine, trace, leaves)
    raise InvalidInput("not_replayable", "The artifact's engine does not answer requests of this kind.")


def _language(
    papers: Papers, engine: ExactLanguageEngine, trace: Trace, leaves: list[bytes] | None
) -> Replayed:
    asked: Chat | Completion
    if papers.path == CHAT_PATH:
        asked = decode(papers.request, Chat)
        request: Any = chat_request(asked)
    else:
        asked = decode(papers.request, Completion)
        request = completion_request(asked)
    chosen, receipt, applied = sampling(asked), papers.receipt, papers.parameters
    prompt = engine.encode(request)
    for name in ("temperature", "top_p", "top_k", "stop"):
        if getattr(chosen, name) != getattr(applied, name):
            told = f"The request asked for another {name} than the receipt says was applied."
            return Replayed(Difference(name, told), (), 0)
    if room_for(engine.context, len(prompt), chosen.max_tokens) != applied.max_tokens:
        return Replayed(
            Difference("max_tokens", "The answer was given another length than was asked."), (), 0
        )
    if applied.seed != sampling_seed(receipt.client_nonce, unhex(applied.node_nonce)):
        return Replayed(Difference("seed", "The seed does not follow from the two nonces."), (), 0)
    said = read_text(papers.answer, chat=papers.path == CHAT_PATH, streams=asked.streams)
    if said is None or said.model != asked.model:
        told = "The answer is of another form than an enclave's, or holds more than one choice with its text."
        return Replayed(Difference("answer", told), (), 0)
    if said.usage not in (None, Usage(receipt.tokens_in, receipt.tokens_out)):
        return Replayed(Difference("counts", "The answer and its receipt count other tokens."), (), 0)
    given = Told(said.text, said.finish, receipt.tokens_in, receipt.tokens_out, trace)
    again = rerun(engine, prompt, chosen, applied.seed, given)
    return Replayed(compare(again, given, leaves), again.leaves, len(again.deltas), not said.finish)


def _tensors(papers: Papers, engine: ExactTensorEngine, trace: Trace, leaves: list[bytes] | None) -> Replayed:
    asked = decode(papers.request, Inference)
    try:
        inputs = asked.tensors()
    except InvalidInput as error:
        raise InvalidInput("not_replayable", "The request's tensors cannot be read.") from error
    tracer = Tracer(len(engine.stages), keep=True)
    outputs = engine.run(engine.prepare(inputs), tracer)
    stored = asked.safetensors is not None
    again = Rerun((), outputs.trace, tuple(tracer.leaves or ()))
    stored = asked.safetensors is not None
    if not same_tensors(papers.answer, asked.model, outputs, engine.labels, stored=stored):
        told = "The answer is not that of the run: its outputs, its labels or its form are others."
        return Replayed(Difference("answer", told), again.leaves, 0)
    return Replayed(compare(again, Told("", "", 0, 0, trace), leaves), again.leaves, 0)


def _incomplete(what: str) -> InvalidInput:
    return InvalidInput(
        "replay_incomplete",
        f"The file lacks {what}, so the answer cannot be made again from it.",
        "Use what `--save` wrote, or a saved answer with its request in --request.",
    )
