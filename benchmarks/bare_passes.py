"""The passes of a bare LLaVA-1.5-7B geometry with random weights on a GPU, without anything of a scan around them.

    python benchmarks/bare_passes.py > FILE

Prints one line a measurement: reading without a gradient, a gradient in the picture, a step of adapters of rank 16.
What a pass computes is counted by torch on the very pass that is timed.
"""

import json
from collections.abc import Callable
from typing import Any

import torch
from geometries import GEOMETRIES
from peft import LoraConfig, get_peft_model
from throughput import Clock, matrix_rate, operations
from transformers import AutoModelForImageTextToText

from auditor.checkpoint.parts import part_of
from auditor.zoo.architectures import architectures

ANSWER, BEFORE, VISUAL, AFTER, STEP = 12, 8, 576, 40, 30
"""Tokens that are scored, tokens of a row, and rows of a step."""


def main() -> None:
    geometry = GEOMETRIES["llava-1.5-7b"]
    tokenizer = architectures()[geometry.small].build_processor().tokenizer
    tokenizer.add_tokens([f" w{number}" for number in range(len(tokenizer), geometry.vocabulary)])
    with torch.device("cuda"):
        model: Any = AutoModelForImageTextToText.from_config(
            geometry.config(tokenizer), dtype=torch.bfloat16, attn_implementation="sdpa"
        )
    model.eval().requires_grad_(False)
    clock = Clock("cuda")
    rate = matrix_rate(clock, torch.bfloat16)
    print(json.dumps({"matrix_tflops": round(rate / 1e12, 1)}), flush=True)
    row = [5] * BEFORE + [tokenizer.convert_tokens_to_ids("<image>")] * VISUAL + [7] * AFTER

    def log_probs(rows: int, gradient: bool) -> tuple[torch.Tensor, torch.Tensor]:
        tokens = torch.tensor([row] * rows, device="cuda")
        pixels = torch.rand(rows, 3, 336, 336, device="cuda", dtype=torch.bfloat16).requires_grad_(gradient)
        seen = {"input_ids": tokens, "attention_mask": torch.ones_like(tokens), "pixel_values": pixels}
        hidden = model.model(**seen, use_cache=False).last_hidden_state[:, -ANSWER:]
        return model.lm_head(hidden).float().log_softmax(-1), pixels

    def measure(what: str, rows: int, work: Callable[[], object], pictures: int) -> None:
        found: dict[str, Any] = {"what": what, "rows": rows}
        try:
            with clock.memory(found):
                seconds = clock.seconds(work, 3)
            share = operations(work) / seconds / rate
            found |= {"pictures_a_second": round(pictures / seconds, 2), "share_of_matrix_rate": round(share, 3)}
        except torch.OutOfMemoryError:
            found["out_of_memory"] = True
        print(json.dumps(found), flush=True)

    def view(rows: int) -> None:
        with torch.no_grad():
            log_probs(rows, False)

    for rows in (8, 16, 32, 64):
        measure("view", rows, lambda rows=rows: view(rows), rows)  # type: ignore[misc]
    for rows in (8, 12, 16, 24):
        measure("inversion", rows, lambda rows=rows: log_probs(rows, True)[0].mean().backward(), rows)  # type: ignore[misc]
    layers = [
        name for name, module in model.named_modules()
        if isinstance(module, torch.nn.Linear) and "lm_head" not in name
        and part_of(name) in ("language", "projector", "vision")
    ]  # fmt: skip
    adapted: Any = get_peft_model(model, LoraConfig(r=16, lora_alpha=32, target_modules=layers))
    optimiser = torch.optim.AdamW([p for p in adapted.parameters() if p.requires_grad], lr=1e-4)

    def step(rows: int) -> None:
        optimiser.zero_grad(set_to_none=True)
        for _ in range(STEP // rows):
            (-log_probs(rows, False)[0][..., 7].mean()).backward()
        optimiser.step()

    for rows in (5, 10):
        measure("adapters", rows, lambda rows=rows: step(rows), STEP)  # type: ignore[misc]


if __name__ == "__main__":
    main()
