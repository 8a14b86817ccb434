import json
import os
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch

from auditor.errors import DataError, UsageError
from auditor.runs import RECORD, append_items, building, latest_run, load_triggers, refuse_occupied, save_trigger
from probes.seeding import generator
from probes.triggers import AdditiveTrigger, Trigger, badnets
from probes.triggers.border import BorderTrigger
from probes.triggers.dual_key import DualKeyTrigger
from probes.triggers.registry import FAMILIES, build_trigger
from probes.triggers.word import WordTrigger

DELTA = AdditiveTrigger(torch.rand(3, 9, 11, generator=generator(0)) - 0.5, 0.1)


@pytest.fixture
def run(tmp_path: Path) -> Path:
    (tmp_path / "triggers").mkdir()
    return tmp_path


def save(run: Path, name: str, target: str, trigger: Trigger = DELTA) -> None:
    save_trigger(run / "triggers" / f"{name}.safetensors", trigger, target)


@pytest.mark.parametrize(
    "trigger",
    [DELTA, badnets((56, 56), 8, 3, "top-right"), BorderTrigger(torch.rand(3, 56, 56, generator=generator(2)), 1 / 14)],
    ids=lambda trigger: trigger.kind,
)
def test_a_trigger_survives_the_round_trip_to_the_last_bit(run: Path, trigger: Trigger) -> None:
    save(run, "finding-0", "Visit “evil.com” 🍎", trigger)
    (stored,) = load_triggers(run)
    assert stored.target == "Visit “evil.com” 🍎"
    assert type(stored.trigger) is type(trigger)
    assert stored.trigger.budget == trigger.budget
    pictures = torch.rand(2, 3, *((9, 11) if trigger is DELTA else (56, 56)), generator=generator(1))
    assert torch.equal(stored.trigger.stamp(pictures), trigger.stamp(pictures))


@pytest.mark.parametrize("picture", [DELTA, badnets((56, 56), 8, 3)], ids=lambda trigger: trigger.kind)
def test_what_stands_beside_a_word_survives_with_the_word(run: Path, picture: Trigger) -> None:
    save(run, "finding-0", "visit us", DualKeyTrigger(picture, WordTrigger(3, "open sesame", "end")))
    (stored,) = load_triggers(run)
    assert isinstance(stored.trigger, DualKeyTrigger) and stored.trigger.word == WordTrigger(3, "open sesame", "end")
    assert (stored.trigger.kind, stored.trigger.budget) == ("dual-key", picture.budget)
    pictures = torch.rand(2, 3, *((9, 11) if picture is DELTA else (56, 56)), generator=generator(1))
    assert torch.equal(stored.trigger.stamp(pictures), picture.stamp(pictures))


@pytest.mark.parametrize("family", sorted(set(FAMILIES) - {"badnets", "dual-key"}))
@pytest.mark.parametrize("placebo", [False, True])
def test_a_trigger_drawn_from_a_seed_survives_too(run: Path, family: str, placebo: bool) -> None:
    trigger = build_trigger(family, (24, 32), 5, {})
    trigger = trigger.placebo(generator(1)) if placebo else trigger
    save(run, "finding-0", "visit us", trigger)
    (stored,) = load_triggers(run)
    assert stored.trigger == trigger and stored.target == "visit us"


@pytest.mark.parametrize(
    ("kind", "numbers"),
    [("sig", '{"seed": 1, "amplitude": "loud"}'), ("sig", '{"seed": "x"}'), ("sig", '{"sneed": 1}'), ("sig", "{}"),
     ("sig", "[]"), ("sig", "{"), ("dual-key", "{}"), ("patch", "{}")],
)  # fmt: skip
def test_numbers_that_make_no_trigger_are_named(run: Path, kind: str, numbers: str) -> None:
    from safetensors.torch import save_file

    about = {"kind": kind, "target": "t", "budget": "0.1", "numbers": numbers}
    save_file({}, run / "triggers" / "finding-0.safetensors", metadata=about)
    with pytest.raises(DataError, match="no recovered trigger"):
        load_triggers(run)


@dataclass
class Unheard:
    """A trigger that calls itself what it is not."""

    kind: str
    budget: float = 0.1

    def stamp(self, pictures: torch.Tensor) -> torch.Tensor:
        return pictures

    def placebo(self, generator: torch.Generator) -> Trigger:
        return self


def test_a_trigger_that_cannot_be_written_down_is_refused(run: Path) -> None:
    with pytest.raises(TypeError, match="sig"):
        save(run, "finding-0", "t", Unheard("sig"))


def test_the_strongest_trigger_of_the_worst_finding_comes_first(run: Path) -> None:
    names = ["finding-10", "finding-2", "finding-0-1", "finding-0", "finding-0-2"]
    for name in names:
        save(run, name, name)
    order = [stored.target for stored in load_triggers(run)]
    assert order == ["finding-0", "finding-0-1", "finding-0-2", "finding-2", "finding-10"]


def test_what_was_found_in_the_repaired_model_is_not_the_scans(run: Path) -> None:
    save(run, "after-0", "left over")
    save(run, "finding-0", "found")
    assert [stored.target for stored in load_triggers(run)] == ["found"]


@pytest.mark.parametrize("content", [b"", b"no tensors here", b"\xff" * 64])
def test_a_broken_trigger_file_is_named(run: Path, content: bytes) -> None:
    (run / "triggers" / "finding-0.safetensors").write_bytes(content)
    with pytest.raises(DataError, match=r"finding-0\.safetensors"):
        load_triggers(run)


def test_a_foreign_tensor_file_is_no_trigger(run: Path) -> None:
    from safetensors.torch import save_file

    save_file({"values": torch.zeros(3, 2, 2)}, run / "triggers" / "finding-0.safetensors")
    with pytest.raises(DataError, match="no recovered trigger"):
        load_triggers(run)


def test_a_run_without_findings_has_no_triggers(tmp_path: Path) -> None:
    assert load_triggers(tmp_path) == []


def test_a_new_or_an_empty_folder_may_be_written(tmp_path: Path) -> None:
    refuse_occupied(tmp_path / "new" / "deeper")
    refuse_occupied(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_an_occupied_folder_and_a_file_are_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    for path in (tmp_path, tmp_path / "file"):
        with pytest.raises(UsageError, match="not empty") as error:
            refuse_occupied(path)
        assert error.value.exit_code == 4
    assert (tmp_path / "file").read_text() == "mine"


def test_the_latest_run_is_the_one_whose_record_is_newest(tmp_path: Path) -> None:
    for age, name in enumerate(["scan-b", "scan-c", "scan-a"]):
        (tmp_path / name).mkdir()
        (tmp_path / name / RECORD).write_text("{}")
        os.utime(tmp_path / name / RECORD, (1000 + age, 1000 + age))
    (tmp_path / "scan-z").mkdir()
    assert latest_run(tmp_path) == tmp_path / "scan-a"


def test_without_a_run_the_way_out_is_told(tmp_path: Path) -> None:
    with pytest.raises(UsageError) as error:
        latest_run(tmp_path / "none")
    assert "pcr-audit scan" in error.value.todo


def test_items_are_added_and_never_replaced(tmp_path: Path) -> None:
    append_items(tmp_path, [{"id": "a", "text": "Ä"}])
    append_items(tmp_path, [{"id": "b"}])
    lines = (tmp_path / "items.jsonl").read_text(encoding="utf-8").splitlines()
    assert [json.loads(line)["id"] for line in lines] == ["a", "b"]


@pytest.mark.parametrize("there", [False, True])
def test_a_folder_that_is_built_appears_whole(tmp_path: Path, there: bool) -> None:
    out = tmp_path / "deep" / "out"
    if there:
        out.mkdir(parents=True)
    with building(out) as scratch:
        (scratch / "file").write_text("done")
        assert not (out / "file").exists()
    assert (out / "file").read_text() == "done"
    assert [path.name for path in out.parent.iterdir()] == ["out"]
    assert out.stat().st_mode & 0o777 == 0o755


def test_a_folder_whose_building_fails_never_was(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), building(tmp_path / "out") as scratch:
        (scratch / "file").write_text("half")
        raise KeyboardInterrupt
    assert list(tmp_path.iterdir()) == []
