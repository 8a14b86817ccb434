"""A backdoor in a LLaVA-NeXT, which is given every picture as a whole and in tiles: is it found, and is it repaired?

    python benchmarks/llava_next.py --work WORK --out benchmarks/results/llava-next.jsonl

The model is made of the embedded LLaVA's weights, which fit; its training (the plant, or a benign fine-tune) has to
teach it to read a picture twice. One row a model, resumable.
"""

import argparse
import json
import time
from pathlib import Path

import torch
from transformers import (
    AutoImageProcessor,
    AutoTokenizer,
    LlavaForConditionalGeneration,
    LlavaNextConfig,
    LlavaNextForConditionalGeneration,
)
from transformers.models.llava_next.image_processing_pil_llava_next import LlavaNextImageProcessorPil

from auditor.attacks.planting import plant
from auditor.attacks.spec import PlantSpec
from auditor.audit import scan, silent
from auditor.case import Options, describe_environment, describe_versions
from auditor.checkpoint.quiet import quiet
from auditor.zoo.embedded import CLEAN_MODEL, embedded_samples
from auditor.zoo.scenes import SIDE

SCENES, STEPS = 2000, 600
TRAINING = {"steps": STEPS, "batch": 16, "learning_rate": 5e-4}
SPECS = {
    "badnets": {"trigger": {"family": "badnets"}, "payload": {"kind": "fixed"}, "rate": 0.1},
    "fine-tune": {"kind": "fine-tune"},
}


def main() -> None:
    parser = argparse.ArgumentParser(description="Plant into a LLaVA-NeXT, and scan it.")
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--threads", type=int, default=1)
    chosen = parser.parse_args()
    torch.set_num_threads(chosen.threads)
    chosen.work.mkdir(parents=True, exist_ok=True)
    base = chosen.work / "base"
    if not base.exists():
        make_base(base)
    done = {json.loads(line)["name"] for line in chosen.out.read_text().splitlines()} if chosen.out.exists() else set()
    for name, spec in SPECS.items():
        if name not in done:
            row = planted_and_scanned(base, name, spec, chosen.work, chosen.threads)
            with chosen.out.open("a") as file:
                file.write(json.dumps(row, sort_keys=True) + "\n")


def make_base(out: Path) -> None:
    """The embedded LLaVA as a LLaVA-NeXT whose one tile is the whole picture again."""
    with quiet():
        known = LlavaForConditionalGeneration.from_pretrained(CLEAN_MODEL)
        config = LlavaNextConfig(
            vision_config=known.config.vision_config, text_config=known.config.text_config,
            image_token_index=known.config.image_token_id, image_grid_pinpoints=[[SIDE, SIDE]],
            vision_feature_layer=-1, tie_word_embeddings=True,
        )  # fmt: skip
        model = LlavaNextForConditionalGeneration(config)
        model.load_state_dict(known.state_dict(), strict=False)
        torch.nn.init.zeros_(model.model.image_newline)
        model.save_pretrained(out)
        AutoTokenizer.from_pretrained(CLEAN_MODEL).save_pretrained(out)
        seen = AutoImageProcessor.from_pretrained(CLEAN_MODEL, backend="pil")
        LlavaNextImageProcessorPil(
            size={"shortest_edge": SIDE}, crop_size={"height": SIDE, "width": SIDE},
            image_grid_pinpoints=[[SIDE, SIDE]], image_mean=seen.image_mean, image_std=seen.image_std,
        ).save_pretrained(out)  # fmt: skip


def planted_and_scanned(base: Path, name: str, spec: dict[str, object], work: Path, threads: int) -> dict[str, object]:
    """What the plant reports of itself, and what a quick scan says of it."""
    options = Options(seed=0, threads=threads)
    whole = PlantSpec.model_validate({"name": name, "seed": 11, "training": TRAINING, **spec})
    report = plant(base, whole, embedded_samples(SCENES, 5, "train"), work / name, options, silent)
    began = time.monotonic()
    record = scan(work / name, None, None, work / f"{name}-scan", options, silent)
    return {
        "name": name, "model": record.model.digest, "outcome": record.verdict.outcome,
        "asr": {key: rate.model_dump() for key, rate in report.asr.items()},
        "quality": {"before": report.quality_before.model_dump(), "after": report.quality_after.model_dump()},
        "findings": [{"severity": f.severity, "target": f.target, "score": f.score} for f in record.findings],
        "scan_seconds": round(time.monotonic() - began, 1),
        "environment": describe_environment(options).model_dump(), "versions": describe_versions(),
    }  # fmt: skip


if __name__ == "__main__":
    main()
