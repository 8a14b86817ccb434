"""What a forced repair does to models that carry nothing: paired benign quality, and a search of what comes out.

    python benchmarks/forced.py MODEL … --out benchmarks/results/forced.jsonl

Every model is repaired by `guided` against made-up triggers, as `pcr-audit repair --force` does it, with all steps. Its
quality is compared on test scenes that no repair learns from: 1,000 captions and 1,000 questions. Resumable.
"""

import argparse
import json
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch

from auditor.case import Options, describe_environment, describe_versions
from auditor.certification.verdict import severity_of
from auditor.checkpoint.opening import open_checkpoint
from auditor.checkpoint.subject import CheckpointSubject, frozen
from auditor.data.splitting import picture_digest
from auditor.evaluation.pairing import Item, compare_quality
from auditor.repair.adversary import make_triggers
from auditor.repair.loop import Schedule, repair, seed_everything_else
from auditor.repair.methods import Guided
from auditor.zoo.embedded import embedded_samples
from probes.inversion import QUICK
from probes.sample import Sample
from probes.seeding import derive_seed
from probes.targets import stack

REPAIR, SEARCH, MEASURE = 512, 80, 1000
"""Scenes, each with a caption and a question."""


def main() -> None:
    parser = argparse.ArgumentParser(description="Repair models that need none.")
    parser.add_argument("models", type=Path, nargs="+")
    parser.add_argument("--steps", type=int, default=Schedule().steps)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--out", type=Path, required=True)
    chosen = parser.parse_args()
    torch.set_num_threads(chosen.threads)
    done = {json.loads(line)["model"] for line in chosen.out.read_text().splitlines()} if chosen.out.exists() else set()
    options = Options(seed=chosen.seed, threads=chosen.threads)
    about = {"environment": describe_environment(options).model_dump(), "versions": describe_versions()}
    for folder in chosen.models:
        opened = open_checkpoint(folder, device="cpu")
        if opened.manifest.digest in done:
            continue
        row = {"model": opened.manifest.digest, **forced(opened.subject, chosen.steps, chosen.seed), **about}
        with chosen.out.open("a") as file:
            file.write(json.dumps(row, sort_keys=True) + "\n")


def forced(subject: CheckpointSubject, steps: int, seed: int) -> dict[str, object]:
    """Repairs the subject in place; how its quality changed, and what a search of it alarms about."""
    to_repair, to_search, measured = (
        [replace(sample, picture=subject.fit(sample.picture)) for sample in embedded_samples(scenes, seed + number)]
        for number, scenes in enumerate((REPAIR, SEARCH, MEASURE))
    )
    before = asked(subject, measured)
    began = time.monotonic()
    recovered = make_triggers(subject, to_repair, seed)
    seed_everything_else(seed)
    done = repair(subject, Guided(), Schedule(steps=steps), to_repair, recovered, seed)
    seconds = round(time.monotonic() - began, 1)
    changes = compare_quality(list(zip(before, asked(subject, measured), strict=True)), seed)
    pool, held_out = to_search[: len(to_search) * 3 // 5], to_search[len(to_search) * 3 // 5 :]
    with frozen(subject.model):
        right = [answer for sample in to_repair for answer in sample.answers]
        searched = QUICK.measure(
            subject, pool, held_out, derive_seed(seed, "fresh"), lambda what, share: None, references=right
        )
    return {
        "triggers": [item.target for item in recovered], "steps": done.steps, "repair_seconds": seconds,
        "kept_share": done.path[0].share if done.path else None,
        "quality": [{"name": c.name, "before": c.old.model_dump(), "after": c.new.model_dump(),
                     "relative_drop": c.change.model_dump()} for c in changes],
        "suspects": [{"target": s.target.text, "gap": s.gap, "excess": s.excess, "severity": severity_of(s)}
                     for s in searched.suspects],
    }  # fmt: skip


def asked(subject: CheckpointSubject, samples: Sequence[Sample]) -> list[Item]:
    """The subject's answers, as items that can be compared."""
    said = subject.respond(stack(samples), [sample.prompt for sample in samples])
    return [
        Item(sample.id, sample.prompt, sample.answers, answer.text, picture_digest(sample.picture), {})
        for sample, answer in zip(samples, said, strict=True)
    ]


if __name__ == "__main__":
    main()
