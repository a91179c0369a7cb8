"""From messages to tokens, such that no text of a user can pose as the template.

The chat template writes role marks such as <|assistant|> as special tokens. A tokenizer reads the same mark
out of a user's text just as well, so somebody could write another role's message. Here a mark inside
content is replaced by a place holder before the template is applied and encoded as ordinary characters
afterwards. A zero character is refused, because the library's C strings end there and would drop the rest
of the chat without a word.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Protocol

import numpy as np

from hallmark.core.errors import InvalidInput
from hallmark.engines.protocol import Array, ChatRequest, CompletionRequest
from hallmark.engines.vocabulary import Table, token_bytes

# A private-use character (Unicode 23.5). Where content holds it, it is replaced by itself like any mark.
HOLDER = "\ue000"


class Tokenizer(Protocol):
    """What is used of a library's tokenizer."""

    def encode(self, text: str) -> Array:
        """Token ids of a text, special tokens recognised."""
        ...

    def apply_chat_template(self, *, messages: str, add_generation_prompt: bool) -> str:
        """The template applied to messages in JSON."""
        ...


class Prompter:
    """Encodes chats and raw prompts for one model. `table` gives the bytes of its tokens, if known."""

    def __init__(
        self, tokenizer: Tokenizer, table: Table | None, marks: Sequence[str], *, has_template: bool
    ) -> None:
        self._tokenizer = tokenizer
        self.has_template = has_template
        self.table = table
        longest_first = sorted((mark for mark in marks if len(mark) > 1), key=len, reverse=True)
        self._marks = re.compile("|".join(map(re.escape, [HOLDER, *longest_first])))

    @classmethod
    def from_files(cls, tokenizer: Tokenizer, files: Mapping[str, bytes]) -> Prompter:
        """As tokenizer.json and tokenizer_config.json of an artifact say."""
        config = _object(files.get("tokenizer_config.json", b"{}"))
        has_template = bool(config.get("chat_template")) or "chat_template.jinja" in files
        tokenizer_file = _object(files.get("tokenizer.json", b"{}"))
        marks = _special_tokens(tokenizer_file)
        return cls(tokenizer, token_bytes(tokenizer_file), marks, has_template=has_template)

    def encode(self, request: ChatRequest | CompletionRequest) -> Array:
        """Token ids (int32) of a request. Raises InvalidInput `empty_prompt`, `nul_in_text`,
        `template_refused`.
        """
        held: list[str] = []
        if isinstance(request, CompletionRequest):
            text = self._disarm(request.prompt, held)
        else:
            messages = [
                {"role": message.role, "content": self._disarm(message.content, held)}
                for message in request.messages
            ]
            text = self._apply(messages)
        tokens = self._encode_parts(text, held)
        if not len(tokens):
            raise InvalidInput("empty_prompt", "The prompt is empty.")
        return tokens

    def _apply(self, messages: list[dict[str, str]]) -> str:
        try:
            return self._tokenizer.apply_chat_template(
                messages=json.dumps(messages), add_generation_prompt=True
            )
        except Exception as error:  # the library's own class; its text quotes the messages
            raise InvalidInput(
                "template_refused", "This model's chat template does not take these messages."
            ) from error

    def _disarm(self, content: str, held: list[str]) -> str:
        if "\0" in content:
            raise InvalidInput(
                "nul_in_text", "Text for this model may not hold a zero character.", "Remove U+0000."
            )

        def hold(match: re.Match[str]) -> str:
            held.append(match.group())
            return HOLDER

        return self._marks.sub(hold, content)

    def _encode_parts(self, text: str, held: list[str]) -> Array:
        pieces: list[str] = []
        for at, part in enumerate(text.split(HOLDER)):
            pieces.append(part)
            if at < len(held):
                pieces += self._apart(held[at])
        encoded = [self._tokenizer.encode(piece) for piece in pieces if piece]
        return np.concatenate(encoded).astype(np.int32) if encoded else np.zeros(0, dtype=np.int32)

    def _apart(self, mark: str) -> list[str]:
        """A mark split after its first character, so that neither half becomes its token; where the second
        half holds another mark, that one is split as well.
        """
        pieces, rest = [mark[:1]], mark[1:]
        while found := self._marks.search(rest):
            pieces.append(rest[: found.start() + 1])
            rest = rest[found.start() + 1 :]
        return [*pieces, rest]


def _special_tokens(tokenizer: Mapping[str, object]) -> list[str]:
    added = tokenizer.get("added_tokens")
    names = [item["content"] for item in added if isinstance(item, dict)] if isinstance(added, list) else []
    return [name for name in names if isinstance(name, str)]


def _object(raw: bytes) -> Mapping[str, object]:
    try:
        value = json.loads(raw)
    except ValueError as error:
        raise InvalidInput("bad_artifact", "A tokenizer file of the artifact cannot be read.") from error
    return value if isinstance(value, dict) else {}
