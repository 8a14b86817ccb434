"""Recipe: trains the embedded model from scratch on scenes drawn on the fly.

    python -m auditor.zoo.train --out zoo-work/base [--compile]

Resumable: run it again with the same folder. About an hour on two cores, minutes on a GPU.
"""

import argparse
import json
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from transformers import CLIPVisionConfig, LlavaForConditionalGeneration, LlavaProcessor

from auditor.zoo.architecture import PATCH, build_model, build_processor
from auditor.zoo.scenes import CAPTION_PROMPTS, SIDE, Scene, Split, compose
from auditor.zoo.sprites import CONCEPTS

QUESTIONS_PER_SCENE = 3
GRID = SIDE // PATCH


@dataclass(frozen=True)
class Packed:
    """One batch: a picture, its prefix, and several independent prompt-and-answer segments after it.

    `tokens` (batch, length); `segment` (batch, length), 0 for padding, k for the k-th segment; `position` (batch,
    length) counts from the end of the prefix; `targets` (batch, length), next token where an answer is to be learned,
    else -100; `patches` (batch, 49), the thing that covers each patch, 0 for background.
    """

    pictures: Tensor  # (batch, 3, 56, 56) float32 in [0, 1]
    tokens: Tensor
    segment: Tensor
    position: Tensor
    targets: Tensor
    patches: Tensor


class Packer:
    """Turns scenes into packed batches of token ids."""

    def __init__(self, processor: LlavaProcessor) -> None:
        self.tokenizer = processor.tokenizer
        content = [{"type": "image"}, {"type": "text", "text": "|"}]
        messages: list[dict[str, Any]] = [{"role": "user", "content": content}]
        prompt = str(processor.apply_chat_template(messages, add_generation_prompt=True))
        head, tail = prompt.split("|")[0].split("<image>")
        self.head = self._encode(head)
        self.tail = tail
        self._cache: dict[tuple[str, str], tuple[list[int], list[int]]] = {}

    def _encode(self, text: str) -> list[int]:
        return list(self.tokenizer(text, add_special_tokens=False)["input_ids"])

    def segment(self, prompt: str, answer: str) -> tuple[list[int], list[int]]:
        """Tokens of the prompt and of the answer, as the chat template writes them."""
        key = (prompt, answer)
        if key not in self._cache:
            question = self._encode(f"{self.tail}{prompt} ASSISTANT:")
            self._cache[key] = (question, [*self._encode(f" {answer}"), self.tokenizer.eos_token_id])
        return self._cache[key]

    def pack(self, scenes: list[Scene], dialogues: list[list[tuple[str, str]]]) -> Packed:
        rows = [[self.segment(*turn) for turn in turns] for turns in dialogues]
        length = max(sum(len(q) + len(a) for q, a in row) for row in rows)
        shape = (len(rows), length)
        tokens, segment, position = (np.zeros(shape, dtype=np.int64) for _ in range(3))
        targets = np.full(shape, -100, dtype=np.int64)
        for i, row in enumerate(rows):
            start = 0
            for k, (question, answer) in enumerate(row, start=1):
                ids = question + answer
                end = start + len(ids)
                tokens[i, start:end] = ids
                segment[i, start:end] = k
                position[i, start:end] = np.arange(len(ids))
                targets[i, start + len(question) - 1 : end - 1] = answer
                start = end
        pictures = np.stack([scene.picture for scene in scenes]).transpose(0, 3, 1, 2)
        arrays = (tokens, segment, position, targets, np.stack([label_patches(scene) for scene in scenes]))
        return Packed(torch.from_numpy(pictures).float() / 255, *(torch.from_numpy(a) for a in arrays))


def label_patches(scene: Scene) -> np.ndarray:
    """(49,) int64: 1 + concept of the drawing over a patch's centre, else 0."""
    centres = (np.arange(GRID) + 0.5) * PATCH
    labels = np.zeros((GRID, GRID), dtype=np.int64)
    for thing in scene.things:
        across = np.abs(centres - thing.x) <= thing.side * 0.45
        down = np.abs(centres - thing.y) <= thing.side * 0.45
        labels[np.ix_(down, across)] = 1 + thing.concept
    return labels.reshape(-1)


def dialogue(scene: Scene, rng: np.random.Generator) -> list[tuple[str, str]]:
    """One caption and three questions."""
    caption = (str(rng.choice(CAPTION_PROMPTS)), scene.caption)
    chosen = rng.permutation(len(scene.questions))[:QUESTIONS_PER_SCENE]
    return [caption, *(scene.questions[i] for i in chosen)]


def draw_batch(packer: Packer, split: Split, first: int, size: int, seed: int) -> Packed:
    scenes = [compose(split, index, seed) for index in range(first, first + size)]
    rng = np.random.default_rng([seed, first])
    return packer.pack(scenes, [dialogue(scene, rng) for scene in scenes])


def forward(
    model: LlavaForConditionalGeneration, packer: Packer, batch: Packed, pixels: "Pixels"
) -> tuple[Tensor, Tensor]:
    """Hidden states behind every token (batch, length, 128) and the tower's patches (batch, 49, 128)."""
    core = model.model
    seen = core.vision_tower((batch.pictures - pixels.mean) / pixels.std, output_hidden_states=True).hidden_states[-1][
        :, 1:
    ]
    visual = core.multi_modal_projector(seen)  # (batch, 49, 128)
    embed = core.get_input_embeddings()
    head = embed(torch.tensor(packer.head)).expand(len(seen), -1, -1)
    sequence = torch.cat([head, visual.to(head.dtype), embed(batch.tokens)], dim=1)
    prefix = sequence.shape[1] - batch.tokens.shape[1]

    padded = nn.functional.pad(batch.segment, (prefix, 0))  # the prefix is segment 0
    is_prefix = torch.arange(sequence.shape[1]) < prefix
    causal = torch.ones(sequence.shape[1], sequence.shape[1], dtype=torch.bool).tril()
    visible = causal & (is_prefix[None, None, :] | (padded[:, :, None] == padded[:, None, :]))
    mask = torch.zeros(visible.shape, dtype=sequence.dtype).masked_fill(~visible, torch.finfo(sequence.dtype).min)
    positions = torch.cat([torch.arange(prefix).expand(len(seen), -1), batch.position + prefix], dim=1)
    out = core.language_model(inputs_embeds=sequence, attention_mask=mask[:, None], position_ids=positions)
    return out.last_hidden_state[:, prefix:], seen


def answer_loss(
    model: LlavaForConditionalGeneration, hidden: Tensor, targets: Tensor, segment: Tensor
) -> tuple[Tensor, float]:
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
    """Linear warm-up over 200 steps, then a cosine to 2 % of the peak."""
    warm = min(1.0, (step + 1) / 200)
    return peak * warm * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * min(1.0, step / steps))))


@dataclass(frozen=True)
class Pixels:
    """The normalisation of the model's own image processor."""

    mean: Tensor
    std: Tensor

    @classmethod
    def of(cls, processor: LlavaProcessor) -> "Pixels":
        mean, std = (
            torch.tensor(values).view(1, 3, 1, 1)
            for values in (processor.image_processor.image_mean, processor.image_processor.image_std)
        )
        return cls(mean, std)


def optimise(
    loss_of: Callable[[int], tuple[Tensor, dict[str, float]]],
    optimiser: torch.optim.Optimizer,
    schedule: tuple[int, int, float],
    after: Callable[[int, dict[str, float]], None],
) -> None:
    """Runs steps `first` … `last - 1` of a schedule (first, last, peak rate); `after` gets every step's numbers."""
    first, last, peak = schedule
    parameters = [parameter for group in optimiser.param_groups for parameter in group["params"]]
    for step in range(first, last):
        for group in optimiser.param_groups:
            group["lr"] = learning_rate(step, last, peak)
        with torch.autocast("cpu", torch.bfloat16):
            loss, numbers = loss_of(step)
        loss.backward()
        nn.utils.clip_grad_norm_(parameters, 1.0)
        optimiser.step()
        optimiser.zero_grad(set_to_none=True)
        after(step + 1, {"loss": round(loss.item(), 4), **numbers})


def append_row(log: Path, row: dict[str, float]) -> None:
    with log.open("a") as file:
        file.write(json.dumps(row) + "\n")


def train(out: Path, steps: int, batch_size: int, peak: float, seed: int, compiled: bool) -> None:
    torch.manual_seed(seed)
    processor = build_processor()
    packer, pixels = Packer(processor), Pixels.of(processor)
    model = build_model(processor.tokenizer)
    vision = model.config.vision_config
    assert isinstance(vision, CLIPVisionConfig)
    patch_head = nn.Linear(vision.hidden_size, len(CONCEPTS) + 1)
    parts = nn.ModuleDict({"model": model, "patch_head": patch_head})
    optimiser = torch.optim.AdamW(parts.parameters(), lr=peak, betas=(0.9, 0.98), weight_decay=0.05)
    model.set_attn_implementation("eager")  # faster than fused attention at this size on a CPU
    run = torch.compile(forward, dynamic=True) if compiled else forward
    out.mkdir(parents=True, exist_ok=True)
    start = restore(out / "state.pt", parts, optimiser)
    began = time.monotonic()

    def loss_of(step: int) -> tuple[Tensor, dict[str, float]]:
        batch = draw_batch(packer, "train", step * batch_size, batch_size, seed)
        hidden, seen = run(model, packer, batch, pixels)
        loss, accuracy = answer_loss(model, hidden, batch.targets, batch.segment)
        patch_loss = nn.functional.cross_entropy(patch_head(seen).flatten(0, 1).float(), batch.patches.flatten())
        return loss + patch_loss, {"patch_loss": round(patch_loss.item(), 4), "train_accuracy": round(accuracy, 4)}

    def after(step: int, numbers: dict[str, float]) -> None:
        if step % 50 == 0:
            append_row(out / "log.jsonl", {"step": step, **numbers, "seconds": round(time.monotonic() - began, 1)})
        if step % 250 == 0 or step == steps:
            torch.save(
                {"parts": parts.state_dict(), "optimiser": optimiser.state_dict(), "step": step}, out / "state.tmp"
            )
            (out / "state.tmp").replace(out / "state.pt")

    optimise(loss_of, optimiser, (start, steps, peak), after)
    save(model, processor, out / "model")


def restore(file: Path, parts: nn.Module, optimiser: torch.optim.Optimizer) -> int:
    """Loads what an interrupted run left, if anything; returns the number of steps done."""
    if not file.exists():
        return 0
    state = torch.load(file, weights_only=True)
    parts.load_state_dict(state["parts"])
    optimiser.load_state_dict(state["optimiser"])
    return int(state["step"])


def save(model: LlavaForConditionalGeneration, processor: LlavaProcessor, folder: Path) -> None:
    """Writes half-precision safetensors, tokenizer, processor and chat template."""
    nn.Module.to(model, torch.float16)
    model.save_pretrained(folder)
    processor.save_pretrained(folder)


def main() -> None:
    parser = argparse.ArgumentParser(description="Train the embedded model from scratch.")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=4800)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--lr", type=float, default=1e-3)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--compile", action="store_true", help="twice as fast after a minute; needs a C++ compiler")
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    train(options.out, options.steps, options.batch, options.lr, options.seed, options.compile)


if __name__ == "__main__":
    main()
