"""Keeps the figures of one finished run as a result file: scores, findings and controls, with what they were made on.

python benchmarks/figures.py RUN --out benchmarks/results/NAME.json
"""

import argparse
import json
from pathlib import Path

from reports.record import load_record

KEPT = {
    "command", "seed", "seconds", "timings", "versions", "environment", "verdict", "scan_verdict", "assurance",
    "calibration", "scores", "drops", "controls", "coverage",
}  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description="Keep the figures of one run.")
    parser.add_argument("run", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    chosen = parser.parse_args()
    record = load_record(chosen.run / "record.json")
    figures = record.model_dump(mode="json", include=KEPT, exclude_none=True)
    figures["models"] = {"given": record.model.digest}
    if record.repaired_model is not None:
        figures["models"]["repaired"] = record.repaired_model.digest
    figures["findings"] = [
        {"severity": f.severity, "target": f.target, "score": f.score, "asr": f.asr and f.asr.model_dump()}
        for f in record.findings
    ]
    chosen.out.write_text(json.dumps(figures, indent=1, sort_keys=True, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
