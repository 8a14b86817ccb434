"""Makes a calibration table that comes with the tool, from the development negatives of a bench.

    python benchmarks/calibration.py benchmarks/results/population/detection-models.csv \\
        auditor/zoo/models/clean auditor/controls/tables/llava-scenes.json

Development models alone: a table of test negatives would be tried on the models that it comes from.
"""

import argparse
import csv
import json
import shlex
import sys
from pathlib import Path

from auditor.checkpoint.opening import open_checkpoint
from auditor.controls.shipped import geometry, search_digest

ABOUT = (
    "Negatives: fine-tunes of this tool's clean LLaVA on its scenes (plain, adapters, noisy labels, a repeated answer, "
    "stamped but unchanged, short captions), asked for captions of other scenes."
)


def main() -> None:
    parser = argparse.ArgumentParser(description="Make a calibration table.")
    parser.add_argument("models", type=Path, help="detection-models.csv of a bench")
    parser.add_argument("base", type=Path, help="a checkpoint of the geometry that the table is for")
    parser.add_argument("out", type=Path)
    parser.add_argument("--profile", default="quick")
    parser.add_argument("--note", default="", help="what else is to be known of these scans")
    parser.add_argument("--pool", type=int, default=96, help="pictures of that bench that the scan searched on")
    parser.add_argument("--held-out", type=int, default=64, help="pictures that it measured on")
    chosen = parser.parse_args()
    with chosen.models.open(encoding="utf-8", newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["detector"] == "scan" and row["kind"] != "attack"]
    negatives = [row for row in rows if row["split"] == "development" and row["status"] == "ok"]
    table = {
        "name": chosen.out.stem,
        "about": f"{ABOUT} {chosen.note}".strip(),
        "geometry": geometry(open_checkpoint(chosen.base).subject.weights()),
        "profile": chosen.profile,
        "search": search_digest(chosen.profile),
        "pool": chosen.pool,
        "held_out": chosen.held_out,
        "made_by": shlex.join(["python", *sys.argv]),
        "statistics": {f"{row['name']}/{row['seed']}": round(float(row["score"]), 6) for row in negatives},
    }
    chosen.out.parent.mkdir(parents=True, exist_ok=True)
    chosen.out.write_text(json.dumps(table, indent=1) + "\n", encoding="utf-8")
    print(f"{len(negatives)} negatives")


if __name__ == "__main__":
    main()
