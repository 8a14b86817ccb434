import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from auditor.data import open_data
from auditor.data.writing import write_jsonl
from auditor.errors import UsageError
from auditor.zoo.easy_vqa import installed_data, read_easy_vqa


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Laid out as the package lays it out, with ten questions about three pictures."""
    folder = tmp_path / "data"
    (folder / "test" / "images").mkdir(parents=True)
    for image in range(3):
        pixels = np.full((64, 64, 3), 80 * image, dtype=np.uint8)
        Image.fromarray(pixels).save(folder / "test" / "images" / f"{image}.png")
    questions = [[f"is there a shape {number}?", "yes" if number % 2 else "no", number % 3] for number in range(10)]
    (folder / "test" / "questions.json").write_text(json.dumps(questions))
    return folder


def test_questions_are_spread_over_the_split_with_their_pictures_and_answers(data: Path) -> None:
    samples = read_easy_vqa(data, "test", 5)
    assert [sample.prompt for sample in samples] == [f"is there a shape {number}?" for number in (0, 2, 4, 6, 8)]
    assert [sample.answers for sample in samples] == [("no",)] * 5
    assert [round(float(sample.picture.mean()) * 255) for sample in samples] == [0, 160, 80, 0, 160]
    assert len(read_easy_vqa(data, "test", 100)) == 10


def test_what_is_written_is_read_again(data: Path, tmp_path: Path) -> None:
    samples = read_easy_vqa(data, "test", 10)
    again = open_data(write_jsonl(tmp_path / "out", samples)).samples
    assert [(s.id, s.prompt, s.answers) for s in again] == [(s.id, s.prompt, s.answers) for s in samples]


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    with pytest.raises(UsageError, match="not installed") as error:
        installed_data()
    assert "easy-vqa==1.0" in str(error.value.todo)
