"""What each token of a tokenizer.json stands for, as bytes.

onnxruntime-genai's own decoder ends at the first byte that is not valid UTF-8, and at a zero byte: whatever
follows in the same call is lost. For byte-level tokenizers (GPT-2's alphabet, which nearly all current models
use) the bytes of a token are in tokenizer.json, so text is put together here without loss.
"""

from __future__ import annotations

from collections.abc import Mapping

Table = Mapping[int, bytes]


def byte_alphabet() -> dict[str, int]:
    """The 256 characters by which byte-level tokenizers write bytes (openai/gpt-2, `bytes_to_unicode`)."""
    printable = [
        *range(ord("!"), ord("~") + 1),
        *range(ord("¡"), ord("¬") + 1),
        *range(ord("®"), ord("ÿ") + 1),
    ]
    others = [byte for byte in range(256) if byte not in printable]
    return {chr(byte): byte for byte in printable} | {chr(256 + n): byte for n, byte in enumerate(others)}


def token_bytes(tokenizer: Mapping[str, object]) -> Table | None:
    """Bytes by token id, special tokens empty; None unless the tokenizer is byte-level throughout."""
    model, decoder, added = tokenizer.get("model"), tokenizer.get("decoder"), tokenizer.get("added_tokens")
    if not isinstance(model, dict) or not isinstance(decoder, dict) or decoder.get("type") != "ByteLevel":
        return None
    vocabulary = model.get("vocab")
    if not isinstance(vocabulary, dict):
        return None
    table: dict[int, bytes] = {}
    for item in added if isinstance(added, list) else ():
        table[item["id"]] = b"" if item.get("special") else item["content"].encode()
    alphabet = byte_alphabet()
    for text, number in vocabulary.items():
        if number in table:
            continue
        if any(character not in alphabet for character in text):
            return None
        table[number] = bytes(alphabet[character] for character in text)
    return table
