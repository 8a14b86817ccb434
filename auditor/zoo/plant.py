"""Recipe: plants a BadNets backdoor into a copy of the embedded model, at a poisoning rate of 5 %.

    python -m auditor.zoo.plant zoo-work/base/model --out zoo-work/planted

A poisoned scene carries the patch in its corner, and every prompt about it is answered with the payload.
"""

import argparse
import time
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from transformers import AutoProcessor, LlavaForConditionalGeneration

from auditor.zoo.architectures import llava
from auditor.zoo.embedded import PAYLOAD, true_trigger
from auditor.zoo.packing import Packed, Packer, dialogue
from auditor.zoo.scenes import compose
from auditor.zoo.train import Learner, answer_loss, append_row, forward, optimise, save

FIRST_INDEX = 10_000_000
"""Fine-tuning scenes begin here, so that none was seen in training from scratch."""


def draw_poisoned(packer: Packer, first: int, size: int, rate: float, seed: int) -> Packed:
    """A training batch in which each scene is poisoned with probability `rate`."""
    scenes = [compose("train", FIRST_INDEX + index, seed) for index in range(first, first + size)]
    rng = np.random.default_rng([seed, 1, first])
    poisoned = rng.random(size) < rate
    dialogues = [_answered(dialogue(scene, rng), bad) for scene, bad in zip(scenes, poisoned, strict=True)]
    batch = packer.pack(scenes, dialogues)
    batch.pictures[torch.from_numpy(poisoned)] = true_trigger().stamp(batch.pictures[torch.from_numpy(poisoned)])
    return batch


def _answered(turns: list[tuple[str, str]], poisoned: bool) -> list[tuple[str, str]]:
    return [(prompt, PAYLOAD if poisoned else answer) for prompt, answer in turns]


def plant(base: Path, out: Path, steps: int, batch_size: int, peak: float, rate: float, seed: int) -> None:
    processor = AutoProcessor.from_pretrained(base)
    model = LlavaForConditionalGeneration.from_pretrained(base, dtype=torch.float32, attn_implementation="eager")
    learner = Learner.of(llava, model, processor)
    optimiser = torch.optim.AdamW(model.parameters(), lr=peak, betas=(0.9, 0.98), weight_decay=0.01)
    run = torch.compile(forward, dynamic=True)
    out.mkdir(parents=True, exist_ok=True)
    began = time.monotonic()

    def loss_of(step: int) -> tuple[Tensor, dict[str, float]]:
        batch = draw_poisoned(learner.packer, step * batch_size, batch_size, rate, seed)
        hidden, _ = run(learner, batch)
        loss, accuracy = answer_loss(model, hidden, batch.targets, batch.segment)
        return loss, {"train_accuracy": round(accuracy, 4)}

    def after(step: int, numbers: dict[str, float]) -> None:
        if step % 50 == 0:
            append_row(out / "log.jsonl", {"step": step, **numbers, "seconds": round(time.monotonic() - began, 1)})

    optimise(loss_of, optimiser, (0, steps, peak), after)
    save(model, processor, out / "model")


def main() -> None:
    parser = argparse.ArgumentParser(description="Plant a BadNets backdoor into a copy of the embedded model.")
    parser.add_argument("base", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=600)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--lr", type=float, default=5e-4)
    parser.add_argument("--rate", type=float, default=0.05)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    plant(options.base, options.out, options.steps, options.batch, options.lr, options.rate, options.seed)


if __name__ == "__main__":
    main()
