"""Small data sets on disk, written by hand so that the readers are tested against the formats and not against us."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image


def save_picture(path: Path, shade: int = 120) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.full((4, 6, 3), shade, dtype=np.uint8)
    pixels[0, 0] = (255, 0, 7)
    Image.fromarray(pixels).save(path)
    return path


@pytest.fixture
def picture() -> Callable[..., Path]:
    """Writes a 6 x 4 picture of one shade with one red corner."""
    return save_picture


@pytest.fixture
def jsonl(tmp_path: Path) -> Callable[..., Path]:
    """Writes captions.jsonl of rows, objects or raw bytes, beside three pictures."""

    def write(*rows: Any) -> Path:
        for index in range(3):
            save_picture(tmp_path / f"pictures/{index}.png", 40 * index)
        lines = [row if isinstance(row, bytes) else json.dumps(row).encode() for row in rows]
        file = tmp_path / "captions.jsonl"
        file.write_bytes(b"\n".join(lines) + b"\n")
        return file

    return write


@pytest.fixture
def coco(tmp_path: Path) -> Path:
    """annotations/captions_val2017.json beside val2017/."""
    for index in (7, 9):
        save_picture(tmp_path / f"val2017/{index:012d}.png", index)
    document = {
        "info": {"year": 2017},
        "images": [{"id": index, "file_name": f"{index:012d}.png", "height": 4, "width": 6} for index in (9, 7)],
        "annotations": [
            {"id": 1, "image_id": 7, "caption": "a dog"},
            {"id": 2, "image_id": 9, "caption": "a cat"},
            {"id": 3, "image_id": 7, "caption": "one dog"},
        ],
    }
    file = tmp_path / "annotations/captions_val2017.json"
    file.parent.mkdir()
    file.write_text(json.dumps(document))
    return file


@pytest.fixture
def vqa(tmp_path: Path) -> Path:
    """The questions of VQAv2 val2014, annotations beside them, and one picture of either naming."""
    save_picture(tmp_path / "val2014/COCO_val2014_000000000042.png", 42)
    save_picture(tmp_path / "val2014/43.png", 43)
    questions = [
        {"question_id": 421, "image_id": 42, "question": "What is it?"},
        {"question_id": 422, "image_id": 42, "question": "How many?"},
        {"question_id": 430, "image_id": 43, "question": "Is it red?"},
    ]
    annotations = [
        {"question_id": item["question_id"], "answers": [{"answer": "dog", "answer_id": n} for n in range(10)]}
        for item in questions
    ]
    file = tmp_path / "v2_OpenEnded_mscoco_val2014_questions.json"
    file.write_text(json.dumps({"data_subtype": "val2014", "questions": questions}))
    (tmp_path / "v2_mscoco_val2014_annotations.json").write_text(json.dumps({"annotations": annotations}))
    return file
