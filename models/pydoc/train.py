"""Train the pydoc model from facts.json and write the artifact that an engine loads.

    python models/pydoc/train.py --steps 1500 --threads 2 --out models/pydoc/artifact

The seed fixes the data, the initial weights and the order; training is float, so the bits of the result also
depend on the processor and the thread count. Needs the `train` dependency group; the artifact needs
onnxruntime-genai only.
"""

from __future__ import annotations

import argparse
import json
import math
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from pydoc_data.topics import topics

import onnx
import torch
from dialogues import Author, Dialogue, load_world, pieces
from tokenizer import save, train_tokenizer
from tokenizers import Tokenizer
from torch import Tensor, nn
from transformers import LlamaConfig, LlamaForCausalLM

HERE = Path(__file__).resolve().parent
VOCABULARY, CONTEXT = 3584, 1024
BATCH_TOKENS, POOL = 3072, 640
CHECKPOINT_EVERY = 100


def model_config() -> LlamaConfig:
    """The architecture: a Llama of four layers."""
    return LlamaConfig(
        vocab_size=VOCABULARY,
        hidden_size=192,
        intermediate_size=512,
        num_hidden_layers=4,
        num_attention_heads=6,
        num_key_value_heads=6,
        max_position_embeddings=CONTEXT,
        tie_word_embeddings=True,
        rms_norm_eps=1e-5,
        bos_token_id=4,
        eos_token_id=4,
        pad_token_id=0,
        attention_bias=False,
    )


def encode(tokenizer: Tokenizer, dialogue: Dialogue) -> tuple[list[int], list[int]]:
    """Turn a dialogue into token ids and labels; what the model need not write is labelled -100."""
    ids: list[int] = []
    labels: list[int] = []
    for text, learned in pieces(dialogue):
        piece = tokenizer.encode(text).ids
        ids += piece
        labels += piece if learned else [-100] * len(piece)
    return ids[:CONTEXT], labels[:CONTEXT]


def batches(tokenizer: Tokenizer, author: Author, rng: random.Random) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield batches of about BATCH_TOKENS tokens, dialogues of like length together, padded on the right."""
    while True:
        pool = sorted(
            (encode(tokenizer, author.dialogue()) for _ in range(POOL)), key=lambda pair: len(pair[0])
        )
        groups: list[list[tuple[list[int], list[int]]]] = [[]]
        for pair in pool:
            if groups[-1] and len(pair[0]) * (len(groups[-1]) + 1) > BATCH_TOKENS:
                groups.append([])
            groups[-1].append(pair)
        rng.shuffle(groups)
        for group in groups:
            width = max(len(ids) for ids, _ in group)
            yield (
                torch.tensor([ids + [0] * (width - len(ids)) for ids, _ in group]),
                torch.tensor([labels + [-100] * (width - len(labels)) for _, labels in group]),
            )


def answer_loss(model: LlamaForCausalLM, ids: Tensor, labels: Tensor) -> Tensor:
    """Cross-entropy over the answers' tokens alone; logits are made only where an answer stands."""
    hidden = model.model(input_ids=ids, use_cache=False).last_hidden_state[:, :-1]
    target = labels[:, 1:]
    wanted = target != -100
    logits = model.lm_head(hidden[wanted]).float()
    return nn.functional.cross_entropy(logits, target[wanted])


def optimizers(model: LlamaForCausalLM, *, rate: float, muon_rate: float) -> list[torch.optim.Optimizer]:
    """Muon for the layers' matrices, AdamW for the embedding and the norms."""
    matrices = [p for n, p in model.named_parameters() if p.ndim == 2 and "embed" not in n]
    rest = [p for n, p in model.named_parameters() if p.ndim != 2 or "embed" in n]
    return [
        torch.optim.Muon(matrices, lr=muon_rate, momentum=0.95, weight_decay=0.05, adjust_lr_fn="original"),
        torch.optim.AdamW(rest, lr=rate, betas=(0.9, 0.98), weight_decay=0.0),
    ]


def schedule(step: int, *, first: int, steps: int) -> float:
    """Learning-rate factor: short warm-up, flat for a quarter, then linear to nearly nothing."""
    return min(1.0, (step - first + 1) / 40) * min(1.0, 0.01 + 1.33 * (1 - step / steps))


def train(model: LlamaForCausalLM, stream: Iterator[tuple[Tensor, Tensor]], args: argparse.Namespace) -> None:
    """Run the steps, log the loss, write checkpoints."""
    used = optimizers(model, rate=args.rate, muon_rate=args.muon_rate)
    base = [group["lr"] for optimizer in used for group in optimizer.param_groups]
    began, total, seen = time.perf_counter(), 0.0, 0
    for step in range(args.first_step, args.steps):
        for optimizer, rate in zip(used, base, strict=True):
            optimizer.param_groups[0]["lr"] = rate * schedule(step, first=args.first_step, steps=args.steps)
        ids, labels = next(stream)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            loss = answer_loss(model, ids, labels)
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        for optimizer in used:
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        total, seen = total + loss.item(), seen + ids.numel()
        if (step + 1) % args.log_every == 0:
            spent = time.perf_counter() - began
            record = {
                "step": step + 1,
                "loss": round(total / args.log_every, 4),
                "tokens": seen,
                "seconds": round(spent),
            }
            print(json.dumps(record), flush=True)
            total = 0.0
            if not math.isfinite(record["loss"]):
                raise SystemExit("the loss is not finite")
        if args.checkpoints and (step + 1) % CHECKPOINT_EVERY == 0:
            torch.save(model.state_dict(), args.checkpoints / "last.pt")


def export(model: LlamaForCausalLM, tokenizer: Tokenizer, out: Path) -> None:
    """Write the onnxruntime-genai artifact: the fp32 graph, its configuration, the tokenizer, model.json."""
    with tempfile.TemporaryDirectory() as scratch:
        source, made = Path(scratch, "hf"), Path(scratch, "genai")
        model.save_pretrained(source)
        save(tokenizer, source)
        builder = [
            sys.executable,
            "-m",
            "onnxruntime_genai.models.builder",
            "-i",
            str(source),
            "-o",
            str(made),
        ]
        subprocess.run([*builder, "-p", "fp32", "-e", "cpu", "-c", str(Path(scratch, "cache"))], check=True)
        save(tokenizer, made)
        out.mkdir(parents=True, exist_ok=True)
        # One file: onnxruntime opens external data through /proc, which an enclave does not have.
        onnx.save_model(onnx.load(made / "model.onnx"), out / "model.onnx")
        (out / "model.onnx.data").unlink(missing_ok=True)
        for name in ("tokenizer.json", "tokenizer_config.json"):
            shutil.copyfile(made / name, out / name)
        config = json.loads((made / "genai_config.json").read_text(encoding="utf-8"))
    config["model"]["decoder"]["session_options"] |= {"intra_op_num_threads": 1, "inter_op_num_threads": 1}
    config["search"] |= {
        "do_sample": False,
        "top_k": 1,
        "temperature": 1.0,
        "top_p": 1.0,
        "max_length": CONTEXT,
    }
    (out / "genai_config.json").write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
    described = {"format": "onnxruntime-genai", "task": "chat", "context": CONTEXT, "precision": "fp32"}
    described |= {
        "files": [
            "genai_config.json",
            "model.onnx",
            "tokenizer.json",
            "tokenizer_config.json",
        ]
    }
    (out / "model.json").write_text(json.dumps(described, indent=2) + "\n", encoding="utf-8")


def main() -> None:
    """Parse the command line, train, export."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=1500)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seed", type=int, default=20)
    parser.add_argument("--rate", type=float, default=4e-3)
    parser.add_argument("--muon-rate", type=float, default=0.02)
    parser.add_argument("--log-every", type=int, default=50)
    parser.add_argument("--checkpoints", type=Path)
    parser.add_argument("--tokenizer", type=Path, help="a tokenizer.json to keep, instead of training one")
    parser.add_argument("--resume", type=Path, help="a checkpoint to go on from, at --first-step")
    parser.add_argument("--first-step", type=int, default=0)
    parser.add_argument("--export-only", type=Path, help="a checkpoint to export, without training")
    parser.add_argument("--out", type=Path, default=HERE / "artifact")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    torch.manual_seed(args.seed)
    world, prose = load_world(HERE / "facts.json"), "\n".join(topics[name] for name in sorted(topics))
    tokenizer = (
        Tokenizer.from_file(str(args.tokenizer))
        if args.tokenizer
        else train_tokenizer(
            world, Author(random.Random(args.seed), world, prose), vocabulary=VOCABULARY, dialogues=6000
        )
    )
    model = LlamaForCausalLM(model_config())
    if args.export_only:
        model.load_state_dict(torch.load(args.export_only))
    else:
        if args.resume:
            model.load_state_dict(torch.load(args.resume))
        seed = args.seed + 1 + 10 * args.first_step
        author = Author(random.Random(seed), world, prose)
        train(model, batches(tokenizer, author, random.Random(seed + 1)), args)
    export(model.float(), tokenizer, args.out)


if __name__ == "__main__":
    main()
