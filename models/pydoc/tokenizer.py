"""Train the byte-level BPE tokenizer so that the parts of every known name are single tokens."""

from __future__ import annotations

import json
import re
from pathlib import Path

from dialogues import ASSISTANT, END, PAD, SYSTEM, USER, Author, pieces
from negatives import World
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

SPECIAL = (PAD, SYSTEM, USER, ASSISTANT, END)
NAME_WEIGHT = 60
CHAT_TEMPLATE = (
    "{%- for message in messages -%}"
    "{%- if message['role'] == 'assistant' -%}{{ '<|assistant|>' }}"
    "{%- elif message['role'] == 'system' or message['role'] == 'developer' -%}{{ '<|system|>' }}"
    "{%- else -%}{{ '<|user|>' }}{%- endif -%}"
    "{{ message['content'] | trim }}{{ '<|end|>' }}"
    "{%- endfor -%}"
    "{%- if add_generation_prompt -%}{{ '<|assistant|>' }}{%- endif -%}"
)


def train_tokenizer(world: World, author: Author, *, vocabulary: int, dialogues: int) -> Tokenizer:
    """Train on dialogues, with each part of each known name repeated so that it becomes one token."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    lines = [text for _ in range(dialogues) for text, _ in pieces(author.dialogue())]
    for fact in world.facts:
        parts = re.findall(r"[A-Za-z]+|[0-9]+", fact["name"])
        first = [" " + parts[0]] + [" " + p for p in parts[1:] if len(p) > 4]
        lines += (parts + first) * NAME_WEIGHT
        lines += [fact["text"], fact.get("signature", "")] * 4
    lines = [line for text in lines for line in re.split("|".join(map(re.escape, SPECIAL)), text) if line]
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        special_tokens=list(SPECIAL),
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(lines, trainer)
    return tokenizer


def save(tokenizer: Tokenizer, folder: Path) -> None:
    """Write tokenizer.json and a tokenizer_config.json with the chat template."""
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer.save(str(folder / "tokenizer.json"))
    config = {
        "tokenizer_class": "GPT2Tokenizer",
        "add_bos_token": False,
        "add_prefix_space": False,
        "bos_token": END,
        "eos_token": END,
        "unk_token": END,
        "pad_token": PAD,
        "clean_up_tokenization_spaces": False,
        "model_max_length": 1024,
        "chat_template": CHAT_TEMPLATE,
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
