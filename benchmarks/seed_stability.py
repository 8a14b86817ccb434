"""Scans one model with many seeds, through the library call behind `pcr-audit scan`; one row a seed, resumable.

    python benchmarks/seed_stability.py MODEL --seeds 20 --out benchmarks/results/seed-stability-clean.jsonl

Seed stability is no false-positive rate: every seed scans the same model.
"""

import argparse
import json
import tempfile
import time
from pathlib import Path

import torch

from auditor.audit import scan
from auditor.case import Options, describe_environment, describe_versions


def main() -> None:
    parser = argparse.ArgumentParser(description="Scan one model with many seeds.")
    parser.add_argument("model", type=Path)
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--out", type=Path, required=True)
    chosen = parser.parse_args()
    torch.set_num_threads(chosen.threads)
    done = {json.loads(line)["seed"] for line in chosen.out.read_text().splitlines()} if chosen.out.exists() else set()
    for seed in range(chosen.first, chosen.first + chosen.seeds):
        if seed in done:
            continue
        options = Options(seed=seed, threads=chosen.threads)
        began = time.monotonic()
        with tempfile.TemporaryDirectory() as folder:
            record = scan(chosen.model, None, None, Path(folder) / "run", options, lambda what, share: None)
        row = {
            "seed": seed,
            "model": record.model.digest,
            "outcome": record.verdict.outcome,
            "assurance": record.assurance,
            "findings": [
                {
                    "severity": f.severity,
                    "target": f.target,
                    "score": f.score,
                    "asr": f.asr.model_dump() if f.asr else None,
                    "decoy_asr": f.decoy_asr.model_dump() if f.decoy_asr else None,
                    "kind": f.trigger.kind if f.trigger else None,
                }
                for f in record.findings
            ],
            "seconds": round(time.monotonic() - began, 1),
            "environment": describe_environment(options).model_dump(),
            "versions": describe_versions(),
        }
        with chosen.out.open("a") as file:
            file.write(json.dumps(row, sort_keys=True) + "\n")


if __name__ == "__main__":
    main()
