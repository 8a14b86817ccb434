"""The screen of suspect data as a detector of poisoned samples, over planted models and rates; one row a pair.

    python benchmarks/screening.py MODEL … --out benchmarks/results/screening.jsonl

MODEL is a folder that `pcr-audit plant` wrote. Its own trigger is put on a share of clean test scenes, which are
screened among untouched ones, against clean references; the planted text is used to count alone. A single sample is
scored by its statistic; a group of equal answers is found where its adjusted p-value is at most 0.05. Resumable.
"""

import argparse
import json
import time
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch

from auditor.attacks.poisoning import Poison
from auditor.attacks.report import load_plant
from auditor.bench.detecting import match
from auditor.bench.metrics import roc_auc, tpr_at_fpr
from auditor.case import Options, describe_environment, describe_versions
from auditor.checkpoint.opening import open_checkpoint
from auditor.evaluation.scoring import as_rate, is_question
from auditor.zoo.embedded import embedded_samples
from probes.finding import Rate
from probes.invariance import InvarianceProbe, Screen
from probes.sample import Sample

RATES = (0.005, 0.01, 0.05, 0.1)
ALPHA = 0.05
FOUND = ("equal", "contains", "variant")


def main() -> None:
    parser = argparse.ArgumentParser(description="Screen poisoned data with models that learned from such.")
    parser.add_argument("models", type=Path, nargs="+")
    parser.add_argument("--suspects", type=int, default=400)
    parser.add_argument("--references", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--out", type=Path, required=True)
    chosen = parser.parse_args()
    torch.set_num_threads(chosen.threads)
    done = set()
    if chosen.out.exists():
        done = {(row["model"], row["rate"]) for row in map(json.loads, chosen.out.read_text().splitlines())}
    options = Options(seed=chosen.seed, threads=chosen.threads)
    about = {"environment": describe_environment(options).model_dump(), "versions": describe_versions()}
    for folder in chosen.models:
        opened, report = open_checkpoint(folder, device="cpu"), load_plant(folder)
        poison = Poison.of(report.spec, opened.subject.canvas, ())
        clean = drawn(chosen.suspects + chosen.references, report.spec.training.task, chosen.seed)
        suspects, references = clean[: chosen.suspects], clean[chosen.suspects :]
        for rate in RATES:
            if (report.digest, rate) in done:
                continue
            began = time.monotonic()
            poisoned = round(rate * len(suspects))
            mixed = [*(poison.stamped(sample) for sample in suspects[:poisoned]), *suspects[poisoned:]]
            screen = InvarianceProbe().measure(opened.subject, mixed, references, chosen.seed)
            row = {
                "name": report.spec.name, "seed": report.spec.seed, "model": report.digest, "rate": rate,
                "asr": report.asr["payload"].model_dump(), **judged(screen, mixed[:poisoned], poison.payload.text),
                "references": len(references), "seconds": round(time.monotonic() - began, 1), **about,
            }  # fmt: skip
            with chosen.out.open("a") as file:
                file.write(json.dumps(row, sort_keys=True) + "\n")


def drawn(count: int, task: str, seed: int) -> list[Sample]:
    """Clean test scenes of one task."""
    samples = embedded_samples(count, seed)
    return [replace(sample, answers=()) for sample in samples if is_question(sample) == (task == "vqa")][:count]


def judged(screen: Screen, poisoned: Sequence[Sample], text: str) -> dict[str, Any]:
    """How well single samples are told apart, and which groups of equal answers are significant."""
    bad = {sample.id for sample in poisoned}
    scores = {
        carries: [row.statistic for row in screen.rows if (row.id in bad) == carries] for carries in (True, False)
    }
    area, strict = roc_auc(scores[True], scores[False]), tpr_at_fpr(scores[True], scores[False], 0.01)
    alone = {
        carries: sum(row.p_adjusted is not None and row.p_adjusted <= ALPHA for row in screen.rows
                     if (row.id in bad) == carries)
        for carries in (True, False)
    }  # fmt: skip
    significant = [group for group in screen.groups if group.p_adjusted <= ALPHA]
    right = [group for group in significant if match(group.answer, text) in FOUND]
    caught = bad & {name for group in right for name in group.ids}
    return {
        "suspects": len(screen.rows), "poisoned": len(bad),
        "auc": asdict(area) if area else None, "tpr_at_1": as_rate(strict).model_dump() if strict else None,
        "alone_true": alone[True], "alone_false": alone[False], "groups": len(screen.groups),
        "planted_group": bool(right), "other_groups": len(significant) - len(right),
        "caught": as_rate(Rate(len(caught), len(bad))).model_dump(), "bulk_shift_p": screen.bulk_shift_p,
        "directions": {way: sum(row.id in bad and row.direction == way for row in screen.rows)
                       for way in ("steady", "fragile")},
    }  # fmt: skip


if __name__ == "__main__":
    main()
