"""Reason codes of the checks: which mark each one speaks against, and the plain sentence for people.

Codes are stable: verdicts carry them in the log for ever. A code is added, never given a new meaning.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple

from hallmark.core.marks import Question


class Reason(NamedTuple):
    """The mark that a reason speaks against, and its sentence."""

    question: Question
    sentence: str


_RAN: Final = {
    "receipt_version": "The receipt has a version that is not known here.",
    "wrong_network": "The statement belongs to another network.",
    "signature_count": "The entry has too many or too few signatures.",
    "bad_signature": "The signature is not by the key that the statement names.",
    "node_not_registered": "The key is not registered as a node.",
    "key_retired": "The key was retired before this.",
    "key_compromised": "The key is not to be believed from this position on.",
    "key_at_fault": "The key was caught contradicting itself.",
    "key_unknown": "The key that the statement ends is not registered.",
    "key_mismatch": "The bundle names another signing key than the receipt.",
    "foreign_bundle": "The key never registered this bundle.",
    "bundle_mismatch": "The bundle is not the one that the receipt commits to.",
    "bundle_names_other": "The bundle names another network, key or owner than its registration.",
    "bundle_changed": "The key registered another bundle before, and a key keeps its bundle for ever.",
    "epoch_taken": "The owner registered another bundle for this epoch, or a later one, at this address.",
    "configuration_mismatch": "The configuration is not the one that the bundle commits to.",
    "insecure_mismatch": "The list of insecure switches is not the configuration's.",
    "no_attestation_policy": "No attestation policy is in force.",
    "evidence_kind": "The policy in force no longer accepts this kind of evidence.",
    "evidence_unexpected": "There is evidence where none belongs.",
    "evidence_mismatch": "The evidence is not the one that was registered.",
    "evidence_unreadable": "The evidence cannot be read.",
    "evidence_rejected": "The evidence does not hold under the policy in force.",
    "evidence_stale": "The evidence was too old when the answer was made.",
    "measurement_revoked": "The image's measurement was revoked.",
    "measurement_unknown": "The measurement was never approved.",
    "measurement_empty": "The measurement names no register.",
    "mode_not_supported": "No proof of this mode is understood here.",
    "mode_mismatch": "The receipt's mode is not the bundle's.",
    "mode_not_of_artifact": "The artifact's manifest does not allow the receipt's mode.",
    "trace_missing": "The parameters name no trace, and the receipt's mode needs one.",
    "request_mismatch": "The request is not the one that the receipt commits to.",
    "response_mismatch": "The response is not the one that the receipt commits to.",
    "parameters_mismatch": "The parameters are not those that the receipt commits to.",
    "registration_mismatch": "The registration is not of this key, bundle and evidence.",
    "registration_proof": "The proof does not show that the registration stands in the log.",
    "role_unknown": "There is no such role.",
    "role_changed": "A key keeps its role for ever.",
    "owner_changed": "A key keeps its owner for ever.",
    "times_reversed": "The answer finished before it started.",
    "finished_in_future": "The answer finished after it was logged.",
    "since_in_future": "The position lies ahead of the log.",
    "statement_in_future": "The statement was made after it was logged.",
}
_MODEL: Final = {
    "artifact_missing": "Neither an artifact nor an upstream record is named.",
    "artifact_and_upstream": "An artifact and an upstream record are named at once.",
    "artifact_not_in_bundle": "The bundle does not list the artifact.",
    "artifact_mismatch": "The artifact is not the one that the manifest binds.",
    "model_pin_mismatch": "The request pinned its model to another artifact.",
    "artifact_content": "The artifact's content has another blob ID, SHA-256 or size.",
    "manifest_unknown": "No such manifest was logged.",
    "manifest_rejected": "Full nodes reject the manifest that the receipt names.",
    "manifest_mismatch": "The manifest is not the one that the receipt commits to.",
    "label_unknown": "No such label was published.",
    "label_moved": "The label did not point to this manifest at that time.",
    "label_taken": "The label belongs to somebody else.",
    "card_names_other": "The card names another owner.",
    "card_mismatch": "The manifest names another card than the label's.",
    "lineage_broken": "The manifest does not name the version that it replaces.",
    "derivation_manifest": "What was made, or what it was made from, is no version in this log.",
    "derivation_not_owner": "The author does not own the label of what was made.",
    "derivation_circular": "What it was made from was made from it.",
    "derivation_too_long": "More was made from one another than is looked through.",
    "derivation_unsound": "How it was made is not told as it has to be.",
    "derivation_repeated": "What this version was made from was said before.",
    "upstream_mismatch": "The upstream record is not the one that the receipt commits to.",
    "version_mismatch": "The version entry is not of this manifest.",
    "version_proof": "The proof does not show that the version entry stands in the log.",
}
_ROUTE: Final = {
    "route_mismatch": "The route record is not the one that the receipt commits to.",
    "route_unreadable": "The route record cannot be read.",
    "route_other_node": "The route ends at another node.",
    "ticket_mismatch": "The ticket is not the one in the route record.",
    "ticket_unsigned": "The ticket is not signed by the gateway that it names.",
    "ticket_expired": "The ticket was not valid when the answer was started.",
    "gateway_not_registered": "The ticket's gateway is not registered.",
    "candidates_mismatch": "The candidates are not those that the ticket commits to.",
    "node_not_candidate": "The node is not among the ticket's candidates.",
    "candidate_bundle": "The ticket names another bundle of this node.",
    "sealed_unsaid": "The route record says that the request came sealed, and not to what.",
    "sealed_unexpected": "The route record says how a request was sealed that did not come sealed.",
    "sealed_suite_unknown": "The request was sealed with a suite that is not known here.",
    "sealed_malformed": "The route record names no size class, or no relay that there can be.",
    "sealed_seen_by_other": "It came sealed, and others than the enclave and its upstream saw it in clear.",
    "sealed_without_keys": "The request came sealed, and the key bundle names no keys for that.",
    "sealed_other_window": "The request was sealed to keys of another time than the answer's.",
}
_INPUTS: Final = {"inputs_mismatch": "The input records are not those that the receipt commits to."}
_PAID: Final = {
    "payment_record_absent": "Something is charged, and no payment record says for what.",
    "payment_record_other": "The payment record is not the one that the receipt commits to.",
    "payment_unreadable": "The payment record cannot be read.",
    "payment_other_receipt": "The payment record speaks of another receipt's request, tokens or amount.",
    "offer_mismatch": "The offer is not the one that the payment names.",
    "offer_unknown": "The offer that the payment names was not logged.",
    "offer_rejected": "Full nodes reject the offer that the payment names.",
    "offer_of_another": "The offer is not by the node's owner.",
    "offer_not_in_force": "The offer did not hold when the answer was started.",
    "offer_names_other": "The offer names another network or owner than its statement.",
    "offer_unsound": "The offer cannot be meant: its time, prices or asset do not fit together.",
    "payee_other": "The payee is not the one that offer, key bundle and payer name.",
    "payer_other": "The payer is not the one who signed.",
    "asset_other": "The payment is in another asset than the offer.",
    "price_other": "The price is not in the offer.",
    "price_of_another_model": "The price is another model's.",
    "not_free": "The offer does not serve a use of this size for nothing.",
    "free_but_charged": "The payment says that nobody pays, and names a payer or an amount.",
    "charged_wrongly": "What was charged does not follow from price and use.",
    "charged_over_reserved": "More was charged than was reserved.",
    "reserved_over_signed": "More was reserved than the payer signed for.",
    "rail_not_offered": "It was paid in a way that the offer does not name.",
    "authorization_other": "The payer's authorization is not the one that the payment names.",
    "authorization_unsigned": "The payer's authorization is not signed by the payer.",
    "enclave_other": "The payer's authorization is for another enclave's settlement key.",
    "authorization_expired": "The payer's authorization had expired when the answer was started.",
    "authorization_reused": "An earlier receipt used the payer's authorization.",
    "token_payer_named": "Tokens paid, and the payment names a payer or an account.",
    "token_keys_unknown": "The key set of the tokens is not in the log, or ended too long before.",
    "token_keys_rejected": "Full nodes reject the key set of the tokens.",
    "token_keys_other": "The tokens are of another key set or network.",
    "token_keys_not_in_force": "The tokens were not good when the answer was started.",
    "token_keys_mismatch": "The issuer's keys are not those that the tokens name.",
    "token_sum_other": "The tokens are not worth what was reserved.",
    "token_invalid": "A token is not signed by its issuer.",
    "token_reused": "One of the tokens paid for an earlier receipt.",
    "issuer_not_registered": "The issuer of the tokens is not registered, or its key is not to be believed.",
    "issuer_keys_name_other": "The keys name another network, issuer or epoch than their statement.",
    "issuer_keys_unsound": "The issuer's keys cannot be meant: their number, time, unit or asset.",
    "issuer_epoch_repeated": "The issuer has keys for this epoch, or for a later one.",
    "issuer_epochs_overlap": "The issuer would have more than two key sets in force, or begin one too early.",
    "settlement_key_absent": "The key bundle names no key that draws on accounts.",
    "journal_position_reused": "An earlier receipt ended at this place of the enclave's journal of accounts.",
}
_REVIEWED: Final = {
    "reviewer_not_registered": "The reviewer is not registered as one.",
    "review_subject": "The review is not of this receipt at its place in the log.",
    "reviewer_is_executor": "The reviewer took part in making the answer.",
    "judgement_unknown": "There is no such judgement.",
    "judged_unfit": "A reviewer judged the answer unfit.",
    "reviewers_disagree": "Reviewers disagree about the answer.",
    "outcome_subject": "What is said is not of this receipt at its place in the log.",
    "outcome_unknown": "There is no such thing to say of an answer.",
    "speaker_is_executor": "The speaker took part in making the answer.",
    "basis_unsound": "What it rests on is not named as it has to be, or is not in the log.",
    "words_used_up": "The speaker changed his mind on this receipt too often.",
    "review_proof": "The proof does not show that the review stands in the log.",
}
_PROVED: Final = {
    "attachments_malformed": "The entry has too many or too few attachments.",
    "equivocation": "The node signed two different receipts for one position.",
    "chain_broken": "The receipt does not follow this key's previous one.",
    "receipt_replayed": "The same receipt was logged before.",
    "beacon_in_future": "The beacon names a checkpoint that did not exist yet.",
    "beacon_unknown": "The beacon is no checkpoint of this log.",
    "judging_failed": "Judging it stops in an error of the verifier's own program.",
    "authority_threshold": "Too few authority keys signed.",
    "document_mismatch": "The document is not the one that the statement commits to.",
    "document_unreadable": "The document cannot be read.",
    "policy_kind_unknown": "There is no such kind of policy.",
    "policy_version": "A policy of this or a newer version is in force.",
    "author_not_full_node": "The author is not a full node in good standing.",
    "subject_in_future": "The subject does not stand in the log yet.",
    "subject_mismatch": "The subjects are those of another history.",
    "objected_malformed": "The list of entries objected to is not well-formed.",
    "fault_unfounded": "Looking at the named entries again does not show the fault.",
    "fault_kind_unknown": "There is no such kind of fault.",
    "id_mismatch": "The id is not the receipt's.",
    "chain_mismatch": "The chain id is not the network's.",
    "entry_mismatch": "The log entry is not of this receipt.",
    "proof_invalid": "The proof does not show that the entry stands in a quorum-cosigned checkpoint.",
    "after_mismatch": "The entries said to follow the receipt are not those of the checkpoint in the proof.",
    "unknown_cosigner": "The proof carries a signature by a party that the trust file does not know.",
    "anchor_mismatch": "The anchor is not of this network's contract, or not of the checkpoint in the proof.",
    "anchor_contradicted": "The chain that was read says otherwise than the anchor.",
    "checkpoint_conflict": "Two checkpoints have one size and two roots: the log or its full nodes lie.",
}
REASONS: Final[Mapping[str, Reason]] = {
    code: Reason(question, sentence)
    for question, table in (
        (Question.RAN, _RAN),
        (Question.MODEL, _MODEL),
        (Question.ROUTE, _ROUTE),
        (Question.INPUTS, _INPUTS),
        (Question.PAID, _PAID),
        (Question.PROVED, _PROVED),
        (Question.REVIEWED, _REVIEWED),
    )
    for code, sentence in table.items()
}


def question_of(code: str) -> Question:
    """The mark that a reason speaks against; `proved` for codes that are not known here."""
    found = REASONS.get(code)
    return found.question if found else Question.PROVED


def sentence_of(code: str) -> str:
    """The sentence of a reason code; the code itself where it is not known here."""
    found = REASONS.get(code)
    return found.sentence if found else f"Reason {code}."
