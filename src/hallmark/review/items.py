"""Items: what holds a receipt back or lets it go, as the fold of what happened to it.

The rules that this keeps:

1. HOLD at birth. Only a sealed `Evaluated` with outcome CLEAR, about this very version of the item, moves to
   CLEAR, and never while a matter (an appeal, a sample that was disagreed with) is open or stands upheld.
2. CLEAR returns to HOLD when the evaluator says HOLD, when a party appeals, when a sample is disagreed with,
   and when a declaration raises what is at stake.
3. CLEAR becomes FINAL after the dispute window, by a sealed `Finalised`. From FINAL only an evaluation that
   found a fault leads back to HOLD.
4. HOLD becomes REJECTED by a reviewer who is no party. Only an upheld appeal leads back to HOLD.
5. Break-glass changes no state: the item stays HOLD and carries who let it go, why and until when.
6. Value never falls, classes and requesters are never forgotten, nor is the first promise that passed while
   the item was in HOLD.

The machine is total: every event in every state applies or raises Conflict with a reason code.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

import msgspec

from hallmark.core.errors import Conflict, InvalidInput
from hallmark.core.policy import Outcome
from hallmark.review import events as ev
from hallmark.review.states import NOT_JUDGED, Item, ItemState, Matter, Release

__all__ = ["DAY", "REFUSED", "Item", "ItemState", "Matter", "Release", "apply", "born", "fold"]

DAY: Final = 86_400_000
MAX_TEXT: Final = 10_000
MAX_INDEX: Final = 1 << 63


def _already_born() -> Conflict:
    return Conflict("item_already_born", "The item was born before.")


def _is_rejected() -> Conflict:
    return Conflict("item_is_rejected", "The item was rejected; only an upheld appeal brings it back.")


def _is_final() -> Conflict:
    return Conflict("item_is_final", "The item is final; only a fault brings it back.")


def _not_held() -> Conflict:
    return Conflict("item_not_held", "The item is not in HOLD.")


def _not_clear() -> Conflict:
    return Conflict("item_not_clear", "The item is not CLEAR.")


Refusals = Mapping[ItemState, Callable[[], Conflict]]
_H, _C, _F, _R = ItemState
_REJECTED: Final[Refusals] = {_R: _is_rejected}
_ENDED: Final[Refusals] = {_F: _is_final, **_REJECTED}
_NOT_HELD: Final[Refusals] = {_C: _not_held, _F: _not_held, **_REJECTED}
_NOT_CLEAR: Final[Refusals] = {_H: _not_clear, **_ENDED}

# Event to the states that refuse it, each with its reason; every other state takes it.
REFUSED: Final[Mapping[type[ev.Event], Refusals]] = {
    ev.Born: dict.fromkeys(ItemState, _already_born),
    ev.Placed: {},
    ev.Declared: _ENDED,
    ev.Evaluated: _REJECTED,
    ev.Finalised: _NOT_CLEAR,
    ev.Reviewed: {},
    ev.Assigned: {},
    ev.Commented: {},
    ev.Appealed: {_F: _is_final},
    ev.AppealAnswered: {},
    ev.Released: _NOT_HELD,
    ev.ReleaseEnded: {},
    ev.Sampled: _NOT_CLEAR,
    ev.SampleAnswered: {},
    ev.Rejected: _NOT_HELD,
}


def born(event: ev.Event) -> Item:
    """The item that a `Born` begins. Raises InvalidInput `item_not_born` for any other event, `bad_event`."""
    if not isinstance(event, ev.Born):
        raise InvalidInput("item_not_born", "The first event of an item is its birth.")
    _require(bool(event.id) and event.value >= 0 and -1 <= event.index < MAX_INDEX)
    return Item(
        event.id,
        event.at,
        index=event.index,
        klass=event.klass,
        classes=(event.klass,),
        value=event.value,
        requester=event.requester.lower(),
        requesters=(event.requester.lower(),) if event.requester else (),
        node=event.node.lower(),
        owner=event.owner.lower(),
        gateway=event.gateway.lower(),
        model=event.model,
        artifact=event.artifact,
        last=event.at,
    )


def apply(item: Item, event: ev.Event) -> Item:
    """The item after `event`. Pure; every (state, event) either applies or raises.

    Raises Conflict when the item's state or history does not allow it, InvalidInput when the event itself
    cannot be used; the reason codes are in docs/reasons.md.
    """
    refusal = REFUSED[type(event)].get(item.state)
    if refusal is not None:
        raise refusal()
    changed = _RULES[type(event)](item, event)
    return _with(changed, version=item.version + 1, last=max(item.last, event.at))


def fold(history: Iterable[ev.Event]) -> Item:
    """The item that a whole history makes. Raises as `born` and `apply` do; InvalidInput `item_not_born` when
    it is empty.
    """
    item: Item | None = None
    for event in history:
        item = born(event) if item is None else apply(item, event)
    if item is None:
        raise InvalidInput("item_not_born", "The first event of an item is its birth.")
    return item


def _placed(item: Item, event: ev.Placed) -> Item:
    _require(0 <= event.index < MAX_INDEX)
    if item.index not in (-1, event.index):
        raise Conflict("item_placed_before", "The receipt stands at another place in the log.")
    owner, gateway = item.owner or event.owner.lower(), item.gateway or event.gateway.lower()
    return _with(item, index=event.index, owner=owner, gateway=gateway)


def _declared(item: Item, event: ev.Declared) -> Item:
    value = item.value if event.value < 0 else event.value
    if value < item.value:
        raise Conflict("value_lowered", "The value at risk of an item is never lowered.")
    requester = event.requester.lower()
    classes = item.classes if event.klass in ("", *item.classes) else (*item.classes, event.klass)
    known = requester == "" or requester in item.requesters
    requesters = item.requesters if known else (*item.requesters, requester)
    tighter = value > item.value or classes != item.classes or requesters != item.requesters
    changed = _with(
        item,
        value=value,
        klass=event.klass or item.klass,
        classes=classes,
        requesters=requesters,
        requester=item.requester or requester,
        requester_by=item.requester_by if item.requester or not requester else event.by.lower(),
    )
    # A release was given for what was at stake then.
    return _with(_held(changed), release=None) if tighter else changed


def _evaluated(item: Item, event: ev.Evaluated) -> Item:
    found = _with(
        item,
        missed=_missed(item, event.at),
        decided=event.at,
        lacks=event.lacks,
        policies=event.policies,
        digests=event.digests,
        decision=event.decision,
        screen=event.screen,
        due=event.due,
    )
    if event.outcome is not Outcome.CLEAR:
        return _held(found, event.lacks)
    if item.state is ItemState.FINAL:
        raise _is_final()
    _require_current(item, event.basis)
    if item.open_matters or item.contested:
        raise Conflict("matter_stands", "An appeal or a disagreement stands against clearing the item.")
    since = item.cleared_at if item.state is ItemState.CLEAR else event.at
    return _with(found, state=ItemState.CLEAR, cleared_at=since, window=event.window, release=None)


def _finalised(item: Item, event: ev.Finalised) -> Item:
    _require_current(item, event.basis)
    if not item.final_at or event.at < item.final_at:
        raise Conflict("dispute_window_open", "The dispute window has not closed.")
    return _with(
        item,
        state=ItemState.FINAL,
        finalised_at=event.at,
        decided=event.at,
        decision=event.decision,
        screen=event.screen,
    )


def _reviewed(item: Item, event: ev.Reviewed) -> Item:
    _require(bool(event.by) and event.judgement in (1, 2, 3) and event.index >= 0)
    return _with(item, reviews=item.reviews + 1)


def _assigned(item: Item, event: ev.Assigned) -> Item:
    if event.to and _is_party(item, event.to):
        raise Conflict("assignee_is_party", "Nobody looks after an answer that they made or asked for.")
    return _with(item, assigned=event.to.lower())


def _commented(item: Item, event: ev.Commented) -> Item:
    _require(bool(event.comment or event.internal))
    _require_texts(event.comment, event.internal)
    return _with(item, comments=item.comments + 1)


def _appealed(item: Item, event: ev.Appealed) -> Item:
    _require(bool(event.text))
    _require_texts(event.text)
    by = event.by.lower()
    if not _is_party(item, by):
        raise Conflict("not_a_party", "Only who made an answer or asked for it appeals.")
    mine = [m for m in item.matters if m.kind == "appeal" and m.by == by]
    if any(m.open for m in mine):
        raise Conflict("appeal_open", "An appeal of the same party is open.")
    if any(m.against is item.state and not m.upheld for m in mine):
        raise Conflict("appeal_used", "An appeal of the same party against this state was answered before.")
    return _held_unless_rejected(_opened(item, "appeal", at=event.at, by=by, text=event.text))


def _appeal_answered(item: Item, event: ev.AppealAnswered) -> Item:
    _require(bool(event.text) and event.number >= 0)
    _require_texts(event.text)
    by = event.by.lower()
    matter = next((m for m in item.open_matters if event.number in (0, m.number)), None)
    if matter is None:
        raise Conflict("no_open_appeal", "No such appeal or disagreement is open.")
    if by == matter.by or _is_party(item, by):
        raise Conflict("answerer_is_party", "Nobody answers about an answer or an appeal of their own.")
    answered = msgspec.structs.replace(
        matter, answered=event.at, answered_by=by, upheld=event.upheld, answer=event.text
    )
    matters = tuple(answered if m.number == matter.number else m for m in item.matters)
    changed = _with(item, matters=matters)
    if not event.upheld:
        return changed
    if matter.against is ItemState.REJECTED:
        return _with(_held(changed), contested=0) if item.state is ItemState.REJECTED else changed
    # Upheld against HOLD: what stood against clearing falls. Upheld against CLEAR: it stands from now on.
    return _with(changed, contested=0 if matter.against is ItemState.HOLD else matter.number)


def _released(item: Item, event: ev.Released) -> Item:
    _require(bool(event.by and event.name and event.reason and event.text))
    _require_texts(event.name, event.reason, event.text)
    if not event.at < event.until <= event.at + DAY:
        raise InvalidInput("release_too_long", "A release under break-glass ends within 24 hours.")
    if event.by.lower() in item.parties:
        raise Conflict("releaser_is_party", "Nobody releases an answer that they made.")
    if item.release is not None:
        raise Conflict("already_released", "A release is in force; it ends before another begins.")
    release = Release(event.at, event.by.lower(), event.name, event.reason, event.text, event.until)
    return _with(item, release=release, releases=item.releases + 1)


def _release_ended(item: Item, event: ev.ReleaseEnded) -> Item:
    if item.release is None:
        raise Conflict("not_released", "No release under break-glass is in force.")
    if not event.by and event.at < item.release.until:
        raise Conflict("release_still_runs", "The release has not run out, and nobody is named who ended it.")
    return _with(item, release=None)


def _sampled(item: Item, _: ev.Sampled) -> Item:
    if item.sampled:
        raise Conflict("already_sampled", "A person has been asked to look at this item already.")
    return _with(item, sampled=True, samples=item.samples + 1)


def _sample_answered(item: Item, event: ev.SampleAnswered) -> Item:
    _require_texts(event.text)
    by = event.by.lower()
    if not item.sampled:
        raise Conflict("not_sampled", "Nobody has been asked to look at this item.")
    if _is_party(item, by):
        raise Conflict("answerer_is_party", "Nobody answers about an answer or an appeal of their own.")
    changed = _with(item, sampled=False)
    # What is not CLEAR any more has been taken back already, or can be by a fault alone.
    if event.agrees or item.state is not ItemState.CLEAR:
        return changed
    return _held(_opened(changed, "sample", at=event.at, by=by, text=event.text))


def _rejected(item: Item, event: ev.Rejected) -> Item:
    _require(bool(event.by and event.reason))
    _require_texts(event.reason, event.comment, event.internal)
    if _is_party(item, event.by):
        raise Conflict("rejecter_is_party", "Nobody rejects an answer that they made or asked for.")
    if item.open_matters:
        raise Conflict("matter_stands", "An appeal or a disagreement is answered before an item is rejected.")
    return _with(
        item,
        state=ItemState.REJECTED,
        rejected_at=event.at,
        release=None,
        sampled=False,
        screen=event.screen,
        missed=_missed(item, event.at),
    )


def _opened(item: Item, kind: str, *, at: int, by: str, text: str) -> Item:
    matter = Matter(len(item.matters) + 1, kind, at, by, item.state, text)
    return _with(item, matters=(*item.matters, matter))


def _missed(item: Item, at: int) -> int:
    """The first promise that passed in HOLD, asked when something is decided at `at`."""
    passed = item.due if item.state is ItemState.HOLD and 0 < item.due < at else 0
    return item.missed or passed


def _held(item: Item, lacks: tuple[str, ...] = NOT_JUDGED) -> Item:
    return _with(item, state=ItemState.HOLD, lacks=lacks, cleared_at=0, finalised_at=0, rejected_at=0)


def _held_unless_rejected(item: Item) -> Item:
    return item if item.state is ItemState.REJECTED else _held(item)


def _is_party(item: Item, address: str) -> bool:
    return address.lower() in (*item.parties, *item.requesters)


def _require(holds: bool) -> None:
    if not holds:
        raise InvalidInput("bad_event", "A member of the event is missing or out of range.")


def _require_texts(*texts: str) -> None:
    if any(len(text) > MAX_TEXT for text in texts):
        raise InvalidInput("text_too_long", "A text is at most 10,000 characters.")


def _require_current(item: Item, basis: int) -> None:
    if basis != item.version:
        raise Conflict("stale_decision", "The item is not as it was judged any more.", "Judge it again.")


def _with(item: Item, **changes: Any) -> Item:
    return msgspec.structs.replace(item, **changes)


_RULES: Final[Mapping[type[ev.Event], Callable[[Item, Any], Item]]] = {
    ev.Placed: _placed,
    ev.Declared: _declared,
    ev.Evaluated: _evaluated,
    ev.Finalised: _finalised,
    ev.Reviewed: _reviewed,
    ev.Assigned: _assigned,
    ev.Commented: _commented,
    ev.Appealed: _appealed,
    ev.AppealAnswered: _appeal_answered,
    ev.Released: _released,
    ev.ReleaseEnded: _release_ended,
    ev.Sampled: _sampled,
    ev.SampleAnswered: _sample_answered,
    ev.Rejected: _rejected,
}
