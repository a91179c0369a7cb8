"""No parameter is silently ignored: what nobody here knows is refused by name.

Two kinds may stand there all the same: values that change nothing because they are what happens anyway
(`NEUTRAL`; `null` is neutral everywhere), and what a client says about itself or its books (`HARMLESS`), on
which no answer depends. docs/api.md lists both. An upstream gets everything as it came.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec

from hallmark.engines.openai_request import decode
from hallmark.engines.request_errors import unsupported_parameter

HARMLESS: Final = frozenset(
    {
        "metadata",
        "parallel_tool_calls",
        "prompt_cache_key",
        "prompt_cache_retention",
        "safety_identifier",
        "user",
    }
)
NEUTRAL: Final[dict[str, tuple[object, ...]]] = {
    "ignore_eos": (False,),
    "include_reasoning": (True, False),
    "length_penalty": (1,),
    "min_p": (0,),
    "min_tokens": (0,),
    "reasoning_effort": ("none",),
    "repeat_penalty": (1,),
    "repetition_penalty": (1,),
    "service_tier": ("auto", "default"),
    "skip_special_tokens": (True,),
    "store": (False,),
    "typical_p": (1,),
    "use_beam_search": (False,),
}
STREAM_OPTIONS: Final = frozenset({"include_usage"})


def refuse_unknown(body: bytes, kind: type[msgspec.Struct]) -> None:
    """Require that `body`, which was read as `kind`, has no other member that would have to change something.

    Raises BadParameter `unsupported_parameter` with the first one named.
    """
    sent = decode(body, dict[str, Any])
    for name in sent.keys() - frozenset(kind.__struct_fields__):
        if not _changes_nothing(name, sent[name]):
            raise unsupported_parameter(shown(name))
    options = sent.get("stream_options")
    for name, value in options.items() if isinstance(options, dict) else ():
        if name not in STREAM_OPTIONS and value not in (None, False):
            raise unsupported_parameter(f"stream_options.{shown(name)}")


def _changes_nothing(name: str, value: object) -> bool:
    return value is None or name in HARMLESS or any(value == each for each in NEUTRAL.get(name, ()))


def shown(name: str) -> str:
    """A member's name as an error may show it: it is the client's own, but bounded and printable."""
    return ascii(name[:64])[1:-1]
