"""easy-VQA as clean data: pictures of one shape with questions about it, a data set that nobody here made.

    pip install easy-vqa==1.0
    python -m auditor.zoo.easy_vqa --split test --limit 600 --out zoo-work/easy-vqa-test

Writes a folder that `--data` takes. The data set (MIT, Victor Zhou 2020) is no part of this package.
"""

import argparse
import importlib.util
import json
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from PIL import Image

from auditor.data.writing import write_jsonl
from auditor.errors import UsageError
from probes.sample import Sample


def installed_data() -> Path:
    """The data folder of the installed package `easy_vqa`; raises UsageError when it is not installed."""
    package = importlib.util.find_spec("easy_vqa")
    if package is None or package.origin is None:
        raise UsageError(
            "easy-VQA is not installed",
            expected="the package easy-vqa, or --source with its `data` folder",
            todo="pip install easy-vqa==1.0",
        )
    return Path(package.origin).parent / "data"


def read_easy_vqa(data: Path, split: Literal["train", "test"], limit: int) -> list[Sample]:
    """At most `limit` samples, one question each, evenly spaced over the split's list of questions."""
    questions: list[tuple[str, str, int]] = json.loads((data / split / "questions.json").read_text(encoding="utf-8"))
    step = max(1, len(questions) // limit)
    chosen = list(enumerate(questions))[::step][:limit]
    pictures = data / split / "images"
    return [
        Sample(f"easy-vqa-{split}-{number:05d}", _picture(pictures / f"{image}.png"), question, (answer,))
        for number, (question, answer, image) in chosen
    ]


def _picture(file: Path) -> torch.Tensor:
    """(3, 64, 64) float32 in [0, 1]."""
    pixels = np.array(Image.open(file).convert("RGB"))
    return torch.from_numpy(pixels).permute(2, 0, 1).float() / 255


def main() -> None:
    parser = argparse.ArgumentParser(description="Write easy-VQA as JSONL with pictures.")
    parser.add_argument("--source", type=Path, help="the package's `data` folder; default: where it is installed")
    parser.add_argument("--split", choices=("train", "test"), default="test")
    parser.add_argument("--limit", type=int, default=600)
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    samples = read_easy_vqa(options.source or installed_data(), options.split, options.limit)
    print(write_jsonl(options.out, samples))


if __name__ == "__main__":
    main()
