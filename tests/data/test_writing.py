"""What is written is read again, wholly or not at all."""

import json
from pathlib import Path

import pytest
import torch
from PIL import Image

from auditor.data import open_data, picture_digest, write_jsonl
from auditor.errors import DataError, UsageError
from probes.sample import Sample


def sample(name: str, shade: int = 3, answers: tuple[str, ...] = ("a dog",)) -> Sample:
    picture = torch.randint(0, 256, (3, 5, 7), generator=torch.Generator().manual_seed(shade)) / 255
    return Sample(name, picture, "What is it?", answers)


def test_samples_come_back_bit_by_bit(tmp_path: Path) -> None:
    samples = [sample("a", 1), sample("ü/…", 2, ("one\ntwo", "三")), sample("c", 1)]
    path = write_jsonl(tmp_path / "new", samples)
    assert path == tmp_path / "new/clean.jsonl"
    for before, after in zip(samples, open_data(path).samples, strict=True):
        assert (before.id, before.prompt, before.answers) == (after.id, after.prompt, after.answers)
        assert torch.equal(before.picture, after.picture)
    assert len(list((tmp_path / "new/pictures").iterdir())) == 2
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["new"]


def test_the_same_samples_give_the_same_bytes(tmp_path: Path) -> None:
    first, second = (write_jsonl(tmp_path / name, [sample("a")]) for name in ("one", "two"))
    assert first.read_bytes() == second.read_bytes()
    assert open_data(first).digest == open_data(second).digest
    assert json.loads(first.read_text())["answers"] == ["a dog"]


def test_what_is_there_stays_untouched(tmp_path: Path) -> None:
    (tmp_path / "new").mkdir()
    with pytest.raises(UsageError, match="is there already"):
        write_jsonl(tmp_path / "new", [sample("a")])
    assert list((tmp_path / "new").iterdir()) == []


def test_a_full_disk_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Image.Image, "save", full)
    with pytest.raises(UsageError, match="cannot be written") as caught:
        write_jsonl(tmp_path / "new", [sample("a")])
    assert "No space left" in caught.value.got
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("samples", "message"),
    [
        ([], "no samples"),
        ([sample("a"), sample("a")], "used before"),
        ([sample("a", answers=())], "no answers"),
        ([sample("a", answers=("",))], "`answers` is empty"),
        ([sample("a", answers=("\ud800",))], "half a character"),
        ([Sample("a", torch.full((3, 2, 2), 1.5), "p", ("x",))], "outside the range"),
        ([Sample("a", torch.full((3, 2, 2), torch.nan), "p", ("x",))], "outside the range"),
        ([Sample("a", torch.zeros(1, 2, 2), "p", ("x",))], "outside the range"),
    ],
)
def test_what_could_not_be_read_is_not_written(tmp_path: Path, samples: list[Sample], message: str) -> None:
    with pytest.raises(DataError) as caught:
        write_jsonl(tmp_path / "new", samples)
    assert message in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_digest_of_a_picture_survives_the_disk(tmp_path: Path) -> None:
    before = sample("a").picture * 0.731
    after = open_data(write_jsonl(tmp_path / "new", [Sample("a", before, "p", ("x",))])).samples[0].picture
    assert picture_digest(before) == picture_digest(after)
