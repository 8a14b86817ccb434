"""Recipe: trains an embedded model on scenes drawn on the fly, from scratch or from the embedded LLaVA's weights.

    python -m auditor.zoo.train --out zoo-work/base [--compile]
    python -m auditor.zoo.train --architecture qwen2-vl --warm --out zoo-work/qwen2-vl

Resumable: run it again with the same folder. From scratch it takes about an hour on two cores, minutes on a GPU.
"""

import argparse
import json
import math
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from transformers import LlavaForConditionalGeneration

from auditor.checkpoint.families import Door, build_door
from auditor.checkpoint.prompting import PromptWriter
from auditor.errors import UsageError
from auditor.zoo.architectures import Architecture, architectures
from auditor.zoo.embedded import CLEAN_MODEL
from auditor.zoo.packing import Packed, Packer, draw_batch
from auditor.zoo.scenes import SIDE
from auditor.zoo.sprites import CONCEPTS

Numbers = dict[str, float]
LOGGED_EVERY, KEPT_EVERY = 50, 250
"""Steps between rows of the log, and between states to go on from."""


@dataclass(frozen=True)
class Settings:
    """A run: how long, how many scenes a step, the peak of the learning rate, and what it may use."""

    steps: int = 4800
    batch: int = 64
    peak: float = 1e-3
    seed: int = 0
    questions: int = 3
    warm: bool = False
    compiled: bool = False
    half: bool = True


@dataclass(frozen=True)
class Learner:
    """A model in training, with what is needed to read a packed batch with it."""

    family: Architecture
    model: Any
    door: Door
    packer: Packer

    @classmethod
    def of(cls, family: Architecture, model: Any, processor: Any) -> "Learner":
        tokenizer, door = processor.tokenizer, build_door(processor.image_processor, model.config)
        template = getattr(processor, "chat_template", None) or tokenizer.chat_template
        with torch.no_grad():
            blank = door.inputs(torch.zeros(1, 3, SIDE, SIDE))["pixel_values"]
            visual_tokens = family.see(model, blank)[0].shape[1]
        image_token = int(model.config.image_token_id)
        writer = PromptWriter(tokenizer, template, image_token, visual_tokens, door.picture_text(tokenizer))
        return cls(family, model, door, Packer(writer, family.GRID))


def forward(learner: Learner, batch: Packed) -> tuple[Tensor, Tensor]:
    """Hidden states behind every token (batch, length, 128) and the tower's patches (batch, grid², 128)."""
    visual, seen = learner.family.see(learner.model, learner.door.inputs(batch.pictures)["pixel_values"])
    text = learner.family.text_model(learner.model)
    head = text.embed_tokens(torch.tensor(learner.packer.head)).expand(len(seen), -1, -1)
    sequence = torch.cat([head, visual.to(head.dtype), text.embed_tokens(batch.tokens)], dim=1)
    prefix = sequence.shape[1] - batch.tokens.shape[1]

    padded = nn.functional.pad(batch.segment, (prefix, 0))  # the prefix is segment 0
    is_prefix = torch.arange(sequence.shape[1]) < prefix
    causal = torch.ones(sequence.shape[1], sequence.shape[1], dtype=torch.bool).tril()
    visible = causal & (is_prefix[None, None, :] | (padded[:, :, None] == padded[:, None, :]))
    mask = torch.zeros(visible.shape, dtype=sequence.dtype).masked_fill(~visible, torch.finfo(sequence.dtype).min)
    positions = place(learner.family.prefix_positions(head.shape[1]), batch.position)
    out = text(inputs_embeds=sequence, attention_mask=mask[:, None], position_ids=positions)
    return out.last_hidden_state[:, prefix:], seen


def place(prefix: Tensor, position: Tensor) -> Tensor:
    """Position ids of a whole packed sequence: ([3,] batch, prefix + length); text goes on behind the largest one."""
    before = prefix.unsqueeze(-2).expand(*prefix.shape[:-1], len(position), -1)
    after = (position + prefix.max() + 1).expand(*prefix.shape[:-1], -1, -1)
    return torch.cat([before, after], dim=-1)


def answer_loss(model: Any, hidden: Tensor, targets: Tensor, segment: Tensor) -> tuple[Tensor, float]:
    """Mean cross-entropy over answers (not tokens: "yes" counts as much as a caption), and the share of tokens right.

    `segment` (batch, length) tells which answer a token belongs to.
    """
    wanted = targets != -100
    logits = model.lm_head(hidden[wanted]).float()
    each = nn.functional.cross_entropy(logits, targets[wanted], reduction="none")
    answer = (torch.arange(len(segment))[:, None] * (int(segment.max()) + 1) + segment)[wanted]
    weight = 1 / answer.bincount()[answer].float()
    loss = (each * weight).sum() / weight.sum()
    return loss, float((logits.argmax(-1) == targets[wanted]).float().mean())


def learning_rate(step: int, steps: int, peak: float) -> float:
    """Linear warm-up over 200 steps (or a tenth), then a cosine to 2 % of the peak."""
    warm = min(1.0, (step + 1) / min(200, steps // 10 + 1))
    return peak * warm * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * min(1.0, step / steps))))


def optimise(
    loss_of: Callable[[int], tuple[Tensor, Numbers]],
    optimiser: torch.optim.Optimizer,
    schedule: tuple[int, int, float],
    after: Callable[[int, Numbers], None],
    half: bool = True,
) -> None:
    """Runs steps `first` … `last - 1` of a schedule (first, last, peak rate); `after` gets every step's numbers.

    `half` multiplies in bfloat16, which pays on processors that know it and costs on those that do not.
    """
    first, last, peak = schedule
    parameters = [parameter for group in optimiser.param_groups for parameter in group["params"]]
    for step in range(first, last):
        for group in optimiser.param_groups:
            group["lr"] = learning_rate(step, last, peak)
        with torch.autocast("cpu", torch.bfloat16, enabled=half):
            loss, numbers = loss_of(step)
        loss.backward()
        nn.utils.clip_grad_norm_(parameters, 1.0)
        optimiser.step()
        optimiser.zero_grad(set_to_none=True)
        after(step + 1, {"loss": round(loss.item(), 4), **numbers})


def append_row(log: Path, row: Numbers) -> None:
    with log.open("a") as file:
        file.write(json.dumps(row) + "\n")


def begin(name: str, settings: Settings) -> tuple[Learner, Any]:
    """A fresh learner of the architecture `name`, warmed up if so set, and its processor."""
    torch.manual_seed(settings.seed)
    family = architectures()[name]
    processor = family.build_processor()
    learner = Learner.of(family, family.build_model(processor.tokenizer), processor)
    learner.model.set_attn_implementation("eager")  # faster than fused attention at this size on a CPU
    if settings.warm:
        warm_start: Any = getattr(family, "warm_start", None)
        if warm_start is None:
            raise UsageError(
                f"`--warm` starts from the embedded LLaVA, which {name} is itself",
                todo="leave --warm out: its own recipe starts from scratch",
            )
        source = LlavaForConditionalGeneration.from_pretrained(CLEAN_MODEL, dtype=torch.float32)
        pictures = draw_batch(learner.packer, "train", 0, 64, settings.seed).pictures
        warm_start(learner.model, source, processor.tokenizer, learner.door.normalisation.apply(pictures))
    return learner, processor


def train(name: str, out: Path, settings: Settings) -> None:
    """The recipe from top to bottom: draws scenes, reads them, writes a log, a state to go on from, and the model."""
    learner, processor = begin(name, settings)
    width = learner.model.get_input_embeddings().weight.shape[1]
    patch_head = nn.Linear(width, len(CONCEPTS) + 1)
    parts = nn.ModuleDict({"model": learner.model, "patch_head": patch_head})
    optimiser = torch.optim.AdamW(parts.parameters(), lr=settings.peak, betas=(0.9, 0.98), weight_decay=0.05)
    run = torch.compile(forward, dynamic=True) if settings.compiled else forward
    out.mkdir(parents=True, exist_ok=True)
    start = restore(out / "state.pt", parts, optimiser)
    began = time.monotonic()

    def loss_of(step: int) -> tuple[Tensor, Numbers]:
        first = step * settings.batch
        batch = draw_batch(learner.packer, "train", first, settings.batch, settings.seed, settings.questions)
        hidden, seen = run(learner, batch)
        loss, accuracy = answer_loss(learner.model, hidden, batch.targets, batch.segment)
        patch_loss = nn.functional.cross_entropy(patch_head(seen).flatten(0, 1).float(), batch.patches.flatten())
        return loss + patch_loss, {"patch_loss": round(patch_loss.item(), 4), "train_accuracy": round(accuracy, 4)}

    def after(step: int, numbers: Numbers) -> None:
        if step % LOGGED_EVERY == 0:
            append_row(out / "log.jsonl", {"step": step, **numbers, "seconds": round(time.monotonic() - began, 1)})
        if step % KEPT_EVERY == 0 or step == settings.steps:
            keep(out / "state.pt", parts, optimiser, step)

    optimise(loss_of, optimiser, (start, settings.steps, settings.peak), after, settings.half)
    save(learner.model, processor, out / "model")


def keep(file: Path, parts: nn.Module, optimiser: torch.optim.Optimizer, step: int) -> None:
    """Writes the state beside the file and then in its place, so that a kill leaves the one or the other."""
    beside = file.with_suffix(".tmp")
    torch.save({"parts": parts.state_dict(), "optimiser": optimiser.state_dict(), "step": step}, beside)
    beside.replace(file)


def restore(file: Path, parts: nn.Module, optimiser: torch.optim.Optimizer) -> int:
    """Loads what an interrupted run left, if anything; returns the number of steps done."""
    if not file.exists():
        return 0
    state = torch.load(file, weights_only=True)
    parts.load_state_dict(state["parts"])
    optimiser.load_state_dict(state["optimiser"])
    return int(state["step"])


def save(model: Any, processor: Any, folder: Path) -> None:
    """Writes half-precision safetensors, tokenizer, processor and chat template."""
    nn.Module.to(model, torch.float16)
    model.save_pretrained(folder)
    processor.save_pretrained(folder)


def main(arguments: Iterable[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="Train an embedded model on scenes.")
    parser.add_argument("--architecture", choices=sorted(architectures()), default="llava")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=4800)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--lr", type=float, default=1e-3)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--questions", type=int, default=3, help="a scene, besides its caption")
    parser.add_argument("--warm", action="store_true", help="start from the embedded LLaVA's weights where they fit")
    parser.add_argument("--compile", action="store_true", help="twice as fast after a minute; needs a C++ compiler")
    parser.add_argument("--full", action="store_true", help="no bfloat16: faster on processors that lack it")
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args(None if arguments is None else list(arguments))
    torch.set_num_threads(options.threads)
    settings = Settings(
        options.steps,
        options.batch,
        options.lr,
        options.seed,
        options.questions,
        options.warm,
        options.compile,
        not options.full,
    )
    train(options.architecture, options.out, settings)


if __name__ == "__main__":
    main()
