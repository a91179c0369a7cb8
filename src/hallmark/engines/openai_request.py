"""OpenAI requests, read strictly.

Members that would change the answer and cannot be honoured are refused by name, and so are those that nobody
here knows (`parameters.py`): an ignored `logit_bias` would make the receipt's parameters a lie.
"""

from __future__ import annotations

from typing import Any, TypeVar

import msgspec

from hallmark.core.errors import InvalidInput
from hallmark.engines.protocol import MILLION, ChatRequest, CompletionRequest, Message, Sampling
from hallmark.engines.request_errors import BadParameter, invalid_value, unsupported_parameter

ROLES = ("system", "developer", "user", "assistant", "tool", "function")
COMPLETION_MAX_TOKENS = 16  # OpenAI's default for /v1/completions
MAX_STOPS = 4
MAX_MESSAGES = 4096

ABSENT = msgspec.Raw(b"null")

T = TypeVar("T")


class Part(msgspec.Struct, frozen=True):
    """One part of a message's content; only `text` parts carry text for an embedded model.

    Attachments are kept as the exact JSON that came.
    """

    type: str
    text: str | None = None
    image_url: msgspec.Raw = ABSENT
    input_audio: msgspec.Raw = ABSENT
    file: msgspec.Raw = ABSENT


class ChatMessage(msgspec.Struct, frozen=True):
    """One message as it came."""

    role: str
    content: str | list[Part] | None = None


class StreamOptions(msgspec.Struct, frozen=True):
    """`stream_options`."""

    include_usage: bool | None = None


class Common(msgspec.Struct, frozen=True, kw_only=True):
    """What chat and completion requests share. Names and defaults are OpenAI's; `top_k` is an extension."""

    model: str
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    max_tokens: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    stop: str | list[str] | None = None
    seed: int | None = None
    n: int | None = None
    presence_penalty: float | None = None
    frequency_penalty: float | None = None
    logit_bias: dict[str, float] | None = None

    @property
    def streams(self) -> bool:
        """Whether the answer is to be a stream."""
        return bool(self.stream)

    @property
    def wants_usage(self) -> bool:
        """Whether a stream is to end with a usage chunk."""
        return bool(self.stream_options and self.stream_options.include_usage)


class Chat(Common, frozen=True, kw_only=True):
    """A request to /v1/chat/completions."""

    messages: list[ChatMessage]
    max_completion_tokens: int | None = None
    logprobs: bool | None = None
    top_logprobs: int | None = None
    response_format: Any = None
    modalities: list[str] | None = None
    audio: Any = None
    web_search_options: Any = None
    tools: Any = None
    tool_choice: Any = None
    function_call: Any = None


class Completion(Common, frozen=True, kw_only=True):
    """A request to /v1/completions."""

    prompt: str | list[Any]
    suffix: str | None = None
    echo: bool | None = None
    best_of: int | None = None
    logprobs: int | None = None


class Envelope(msgspec.Struct, frozen=True):
    """What is read of a request that an upstream will answer: everything else passes through unread."""

    model: str
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    messages: list[ChatMessage] = []


def require_text(body: bytes) -> None:
    """Require UTF-8 all over, also in members that nobody reads. Raises InvalidInput `bad_utf8`."""
    try:
        body.decode()
    except UnicodeDecodeError:
        raise InvalidInput("bad_utf8", "The request body is not valid UTF-8.") from None


def decode(body: bytes, kind: type[T]) -> T:
    """Read a JSON body, which is UTF-8, as `kind`.

    Raises InvalidInput `bad_json`; BadParameter `missing_parameter`, `invalid_type`, `invalid_value` with the
    member named. No error quotes what was sent.
    """
    try:
        return msgspec.json.decode(body, type=kind)
    except msgspec.ValidationError as error:
        raise _named(str(error)) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise InvalidInput(
            "bad_json", "The request body is not valid JSON.", "Send one object in UTF-8."
        ) from None


def _named(text: str) -> BadParameter:
    """Turn msgspec's "... - at `$.messages[0].role`" into an error that names the member."""
    rule, _, place = text.rpartition(" - at `$")
    rule, place = (rule, place.rstrip("`").lstrip(".")) if place and rule else (text, "")
    if rule.startswith("Object missing required field"):
        member = rule.split("`")[1]
        name = f"{place}.{member}" if place else member
        return BadParameter("missing_parameter", f"The parameter '{name}' is missing.", name)
    if rule.startswith("Expected"):
        return BadParameter("invalid_type", f"'{place or 'body'}' has the wrong type: {rule}.", place)
    return BadParameter("invalid_value", f"'{place or 'body'}' has a value that cannot be used.", place)


def chat_request(chat: Chat) -> ChatRequest:
    """The chat as an engine takes it. Raises BadParameter for what text models cannot honour."""
    _refuse_chat(chat)
    if not chat.messages or len(chat.messages) > MAX_MESSAGES:
        raise invalid_value("messages", f"a list of 1 to {MAX_MESSAGES} messages")
    return ChatRequest(tuple(_message(at, message) for at, message in enumerate(chat.messages)))


def completion_request(completion: Completion) -> CompletionRequest:
    """The prompt as an engine takes it. Raises BadParameter for what text models cannot honour."""
    if completion.suffix:
        raise unsupported_parameter("suffix")
    if completion.echo:
        raise unsupported_parameter("echo")
    if completion.logprobs is not None:  # 0 asks for those of the chosen tokens
        raise unsupported_parameter("logprobs")
    if completion.best_of not in (None, 1):
        raise unsupported_parameter("best_of")
    prompt = completion.prompt
    if isinstance(prompt, list):
        if len(prompt) != 1 or not isinstance(prompt[0], str):
            raise unsupported_parameter("prompt", "Send one prompt, as text.")
        prompt = prompt[0]
    return CompletionRequest(prompt)


def sampling(request: Chat | Completion) -> Sampling:
    """The sampling that a request asks for; greedy unless it gives a temperature. Raises BadParameter."""
    _refuse_common(request)
    temperature = _ranged("temperature", request.temperature, 0.0, 2.0)
    top_p = _ranged("top_p", request.top_p, 0.0, 1.0)
    top_k = request.top_k or 0
    if top_k < -1 or top_k > 1_000_000:
        raise invalid_value("top_k", "from -1 to 1000000")
    return Sampling(
        max_tokens=_max_tokens(request),
        temperature=0 if temperature is None else round(temperature * MILLION),
        top_p=MILLION if top_p is None else round(top_p * MILLION),
        top_k=max(top_k, 0),
        stop=_stops(request.stop),
    )


def _refuse_common(request: Common) -> None:
    if request.n not in (None, 1):
        raise unsupported_parameter("n", "Ask once for each answer.")
    for name in ("presence_penalty", "frequency_penalty", "logit_bias"):
        if getattr(request, name):
            raise unsupported_parameter(name)


def _refuse_chat(chat: Chat) -> None:
    if chat.logprobs:
        raise unsupported_parameter("logprobs")
    if chat.top_logprobs:
        raise unsupported_parameter("top_logprobs")
    for name in ("audio", "web_search_options"):  # {} asks for a search as well
        if getattr(chat, name) is not None:
            raise unsupported_parameter(name)
    if chat.modalities not in (None, [], ["text"]):
        raise unsupported_parameter("modalities")
    kind = chat.response_format
    if kind is not None and not (isinstance(kind, dict) and kind.get("type") == "text"):
        raise unsupported_parameter("response_format")
    if chat.tool_choice not in (None, "none", "auto"):
        raise unsupported_parameter("tool_choice", "This model answers in text; use 'auto' or 'none'.")
    if chat.function_call not in (None, "none", "auto"):
        raise unsupported_parameter("function_call")


def _message(at: int, message: ChatMessage) -> Message:
    if message.role not in ROLES:
        raise invalid_value(f"messages[{at}].role", f"one of {', '.join(ROLES)}")
    if isinstance(message.content, list):
        texts = []
        for index, part in enumerate(message.content):
            if part.type not in ("text", "input_text") or part.text is None:
                raise unsupported_parameter(
                    f"messages[{at}].content[{index}]", "This model reads text parts only."
                )
            texts.append(part.text)
        return Message(message.role, "\n".join(texts))
    if message.content is None and message.role != "assistant":
        raise invalid_value(f"messages[{at}].content", "text or a list of parts")
    return Message(message.role, message.content or "")


def _ranged(name: str, value: float | None, low: float, high: float) -> float | None:
    if value is not None and not low <= value <= high:
        raise invalid_value(name, f"from {low:g} to {high:g}")
    return value


def _max_tokens(request: Chat | Completion) -> int:
    newer = request.max_completion_tokens if isinstance(request, Chat) else None
    value, name = (
        (newer, "max_completion_tokens") if newer is not None else (request.max_tokens, "max_tokens")
    )
    if value is None:
        return COMPLETION_MAX_TOKENS if isinstance(request, Completion) else 0
    if value < 1:
        raise invalid_value(name, "at least 1")
    return value


def _stops(stop: str | list[str] | None) -> tuple[str, ...]:
    stops = (stop,) if isinstance(stop, str) else tuple(stop or ())
    if len(stops) > MAX_STOPS or any(not text or len(text) > 1000 for text in stops):
        raise invalid_value("stop", f"at most {MAX_STOPS} strings of 1 to 1000 characters")
    return stops
