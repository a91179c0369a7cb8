"""What Hugging Face's tools can ask for and this hub does not have: each refused by name, with what to do."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from hallmark.core.errors import InvalidInput

ONE_BRANCH: Final = InvalidInput(
    "one_branch",
    "A repository has one branch, main.",
    "Name a commit with a tag, or make another repository.",
)
NOTHING_DELETED: Final = InvalidInput(
    "nothing_is_deleted",
    "A repository is not deleted, renamed or squashed: its commits stay what they are for whoever has one.",
    "A commit can delete files from main; what they were stays under the commits before it.",
)
NO_PRIVATE: Final = InvalidInput(
    "no_private_repositories",
    "Everybody may read what is published here.",
    "Keep what is not for everybody in a hub of your own.",
)
MODELS_ONLY: Final = InvalidInput(
    "models_only",
    "This hub keeps models, no data sets and no spaces.",
    "Publish the files as a model's, or elsewhere.",
)
NO_DISCUSSIONS: Final = InvalidInput(
    "no_discussions",
    "There are no discussions and no pull requests here.",
    "Commit to main with the namespace's key, or publish below a name of your own.",
)
NO_ACCOUNTS: Final = InvalidInput(
    "no_accounts",
    "There are no accounts here: nobody likes, follows, is granted access, or has settings.",
    "A namespace belongs to a key; see docs/hub.md.",
)

_BELOW_MODEL: Final = {
    "branch": ONE_BRANCH,
    "super-squash": NOTHING_DELETED,
    "lfs-files": NOTHING_DELETED,
    "settings": NO_PRIVATE,
    "discussions": NO_DISCUSSIONS,
    "like": NO_ACCOUNTS,
    "likers": NO_ACCOUNTS,
    "user-access-request": NO_ACCOUNTS,
    "resource-group": NO_ACCOUNTS,
}
_BELOW_API: Final = {
    "datasets": MODELS_ONLY,
    "datasets-tags-by-type": MODELS_ONLY,
    "spaces": MODELS_ONLY,
    "buckets": MODELS_ONLY,
    "kernels": MODELS_ONLY,
    "jobs": MODELS_ONLY,
    "scheduled-jobs": MODELS_ONLY,
    "papers": MODELS_ONLY,
    "daily_papers": MODELS_ONLY,
    "collections": NO_ACCOUNTS,
    "settings": NO_ACCOUNTS,
    "organizations": NO_ACCOUNTS,
    "users": NO_ACCOUNTS,
    "notifications": NO_ACCOUNTS,
}
_ANYWHERE: Final = {("repos", "delete"): NOTHING_DELETED, ("repos", "move"): NOTHING_DELETED}


def unoffered(parts: Sequence[str]) -> InvalidInput | None:
    """The refusal of a path below /api; None where it is none of these."""
    match parts:
        case ["models", _, _, what, *_]:
            found = _BELOW_MODEL.get(what)
        case [first, second, *_] if (first, second) in _ANYWHERE:
            found = _ANYWHERE[first, second]
        case [first, *_]:
            found = _BELOW_API.get(first)
        case _:
            found = None
    return None if found is None else refused(found)


def refused(one: InvalidInput) -> InvalidInput:
    """A refusal to raise: each time a new one, as an exception carries where it was raised."""
    return InvalidInput(one.reason, one.message, one.hint)
