"""Train the network that reads prompts, and write the artifact.

    PYTHONPATH=src:models/shapes python models/shapes/train.py

Needs torch; the prompts are made up as training goes (`prompts.py`), with a fixed seed, on one thread. The
weights are rounded to int8 afterwards; biases are whole numbers at the scale that follows. `measure.py`
measures on prompts that were written by hand.
"""

from __future__ import annotations

import argparse
import json
import random
import time
from pathlib import Path

import numpy as np
import torch
from prompts import prompt
from torch import nn

from hallmark.core.safetensors import StoredTensor, write_tensors
from hallmark.engines.prompt_net import ROWS, WIDTH, PromptNet, rows_of
from hallmark.engines.scene import HEADS

ARTIFACT = Path(__file__).resolve().parent / "artifact"
CLASSES = sum(map(len, HEADS.values()))
LONGEST, PARTS, CHANNELS, BATCH = 32, 26, (32, 64), 128


class Network(nn.Module):
    """As `engines.prompt_net` says; in floats, over padded batches."""

    def __init__(self) -> None:
        """Make the layers."""
        super().__init__()
        wide, deep = CHANNELS
        self.table = nn.Embedding(ROWS + 1, wide, padding_idx=ROWS)
        nn.init.normal_(self.table.weight, std=0.2)
        self.table.weight.data[ROWS] = 0
        self.first = nn.Conv1d(wide, deep, WIDTH, padding=WIDTH // 2)
        self.second = nn.Conv1d(deep, deep, WIDTH, padding=WIDTH // 2)
        self.heads = nn.Linear(deep, CLASSES)

    def forward(self, rows: torch.Tensor, there: torch.Tensor) -> torch.Tensor:
        """Map rows [N, words, parts] and which words there are [N, words] to scores [N, CLASSES]."""
        grid = self.table(rows).sum(2).transpose(1, 2)
        mask = there[:, None, :]
        grid = torch.relu(self.first(grid)) * mask
        grid = torch.relu(self.second(grid)) * mask
        return self.heads(nn.functional.dropout(grid.amax(2), 0.1, self.training))


def batch(chance: random.Random) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Prompts as rows, mask and classes."""
    rows, there = np.full((BATCH, LONGEST, PARTS), ROWS), np.zeros((BATCH, LONGEST), np.float32)
    truth = np.zeros((BATCH, len(HEADS)), np.int64)
    for n in range(BATCH):
        text, means = prompt(chance)
        for at, parts in enumerate(rows_of(text)[:LONGEST]):
            rows[n, at, : len(parts)] = parts
            there[n, at] = 1
        truth[n] = [classes.index(means[head]) for head, classes in HEADS.items()]
    return torch.from_numpy(rows), torch.from_numpy(there), torch.from_numpy(truth)


def loss_of(scores: torch.Tensor, truth: torch.Tensor) -> torch.Tensor:
    """Cross entropy of every head."""
    parts = scores.split([len(classes) for classes in HEADS.values()], 1)
    return sum(nn.functional.cross_entropy(part, truth[:, n]) for n, part in enumerate(parts))


def whole(network: Network) -> bytes:
    """The weights as whole numbers."""
    scale, stored = 1.0, {}

    def keep(name: str, values: torch.Tensor, kind: str) -> None:
        array = np.ascontiguousarray(values.detach().numpy(), {"I8": "<i1", "I64": "<i8"}[kind])
        stored[name] = StoredTensor(kind, array.shape, array.tobytes())

    def rounded(name: str, weights: torch.Tensor) -> float:
        step = 127 / float(weights.abs().max())
        keep(name, torch.round(weights * step), "I8")
        return step

    scale *= rounded("table", network.table.weight[:ROWS])
    for name, layer in (("first", network.first), ("second", network.second)):
        weights = layer.weight.permute(2, 1, 0).reshape(-1, layer.weight.shape[0])
        scale *= rounded(f"{name}.weight", weights)
        keep(f"{name}.bias", torch.round(layer.bias.double() * scale), "I64")
    scale *= rounded("heads.weight", network.heads.weight.T)
    keep("heads.bias", torch.round(network.heads.bias.double() * scale), "I64")
    return write_tensors(stored)


def main() -> None:
    """Train and write artifact/."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=2500)
    parser.add_argument("--seed", type=int, default=7)
    args = parser.parse_args()
    torch.manual_seed(args.seed)
    torch.set_num_threads(1)
    chance, network, began = random.Random(args.seed), Network(), time.process_time()
    optimizer = torch.optim.AdamW(network.parameters(), lr=2e-3, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 6e-3, total_steps=args.steps)
    for step in range(args.steps):
        rows, there, truth = batch(chance)
        loss = loss_of(network(rows, there), truth)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        if step % 250 == 0:
            print(step, round(loss.item(), 4), round(time.process_time() - began, 1), flush=True)
    data = whole(network.eval())
    ARTIFACT.mkdir(exist_ok=True)
    (ARTIFACT / "net.safetensors").write_bytes(data)
    about = {"format": "shapes", "task": "text-to-image", "file": "net.safetensors"}
    (ARTIFACT / "model.json").write_text(json.dumps(about, indent=2) + "\n", encoding="utf-8")
    net, right = PromptNet(data), [0] * len(HEADS)
    for _ in range(1000):
        text, means = prompt(chance)
        right = [
            n + (found == means[head]) for n, (head, found) in zip(right, net.read(text).items(), strict=True)
        ]
    seconds = round(time.process_time() - began, 1)
    print(f"{len(data)} bytes after {seconds} s of processor; of 1,000 new prompts by the same rule, right:")
    print(dict(zip(HEADS, right, strict=True)))


if __name__ == "__main__":
    main()
