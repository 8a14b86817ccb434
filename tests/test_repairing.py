"""Rounds, rolling back and persistence: what surrounds the training of a repair."""

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
import torch

from auditor import repairing
from auditor.case import Case, Options
from auditor.data.preparing import Parts
from auditor.errors import UsageError
from auditor.evidence import Shown
from auditor.repair.adversary import Recovered
from auditor.repair.loop import Repaired, Schedule
from auditor.repair.methods import Guided
from auditor.repair.retreat import Step
from auditor.repairing import RepairRequest, beyond, outlives, repair_in_rounds, roll_back, to_unlearn
from auditor.runs import Stored
from probes.finding import Finding, Severity
from probes.sample import Sample
from probes.triggers import badnets
from reports.part import Measure
from reports.record import RecordedFinding

FIRST, SECOND = badnets((8, 8), 2, 1), badnets((8, 8), 2, 2)


def samples(name: str, count: int) -> tuple[Sample, ...]:
    return tuple(
        Sample(f"{name}{n}", torch.zeros(3, 8, 8), "what is it?", (f"a thing of {name}",)) for n in range(count)
    )


@pytest.fixture
def case(tmp_path: Path) -> Case:
    parts = Parts(samples("s", 4), samples("h", 3), samples("r", 5), samples("v", 2), unused=0)
    model = torch.nn.Linear(1, 1)
    opened = SimpleNamespace(
        folder=tmp_path / "given", manifest=SimpleNamespace(digest="d"), subject=SimpleNamespace(model=model)
    )
    return cast(Case, SimpleNamespace(opened=opened, parts=parts, data=SimpleNamespace(digest="data")))


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch, case: Case) -> SimpleNamespace:
    """Everything heavy replaced: `found` are the severities of each look, and `learned` what each round unlearned."""
    seen = SimpleNamespace(found=[], learned=[], subjects=[], looks=[], exported=[])

    def repair(subject: Any, method: object, plan: object, rows: object, recovered: list[Recovered], *rest: Any) -> Any:
        seen.learned.append([item.target for item in recovered])
        seen.subjects.append(subject)
        return Repaired(1, 2.0, ())

    def export(model: object, source: Path, out: Path) -> None:
        out.mkdir()
        seen.exported.append(out)

    def search(
        subject: object, probe: object, pool: list[Sample], held_out: list[Sample], *rest: object, references: object
    ) -> Any:
        assert references == tuple(f"a thing of {s}" for s in "sssshhhrrrrrvv")  # of all the data
        seen.looks.append(([s.id for s in pool], [s.id for s in held_out]))
        severity: Severity | None = seen.found.pop(0)
        finding = Finding("inversion", f"found {len(seen.looks)}", 1.0, severity=severity or "low")
        return None, [Shown(finding, (SECOND,))] if severity else []

    def again(folder: Path, options: object) -> Any:
        return SimpleNamespace(folder=folder, manifest=None, subject=SimpleNamespace(model=torch.nn.Linear(1, 1)))

    for name, replacement in {"repair": repair, "export": export, "search": search, "open_model": again}.items():
        monkeypatch.setattr(repairing, name, replacement)
    return seen


def rounds_of(case: Case, tmp_path: Path, most: int, said: Callable[[str, float], None] = lambda *_: None) -> Any:
    request = RepairRequest(Guided(), tmp_path / "out", Schedule(steps=1), rounds=most)
    return repair_in_rounds(case, request, [Stored(FIRST, "known")], tmp_path, Options(), said)


def test_one_round_is_exported_without_another_look(case: Case, world: SimpleNamespace, tmp_path: Path) -> None:
    _, rounds = rounds_of(case, tmp_path, 1)
    assert (rounds, world.learned, world.looks) == ([], [["known"]], [])
    assert world.exported == [tmp_path / "out"]


def test_a_repair_begins_anew_with_what_the_last_one_left(case: Case, world: SimpleNamespace, tmp_path: Path) -> None:
    world.found = ["critical", None]
    _, rounds = rounds_of(case, tmp_path, 3)
    assert [made.targets for made in rounds] == [["found 1"], []]
    assert world.learned == [["known"], ["known", "found 1"]]
    assert world.subjects[0] is case.opened.subject and world.subjects[1] is not case.opened.subject
    assert world.exported[-1] == tmp_path / "out"
    assert [path.name for path in tmp_path.iterdir()] == ["out"], "no round and no state is left behind"


def test_what_is_worth_a_look_alone_starts_no_other_round(case: Case, world: SimpleNamespace, tmp_path: Path) -> None:
    world.found = ["low"]
    _, rounds = rounds_of(case, tmp_path, 3)
    assert [made.targets for made in rounds] == [[]] and len(world.learned) == 1


def test_the_last_round_is_left_to_the_verification(case: Case, world: SimpleNamespace, tmp_path: Path) -> None:
    world.found = ["high"]
    _, rounds = rounds_of(case, tmp_path, 2)
    assert [made.targets for made in rounds] == [["found 1"]] and len(world.learned) == 2


def test_every_look_divides_pictures_that_no_repair_learned_from_anew(
    case: Case, world: SimpleNamespace, tmp_path: Path
) -> None:
    world.found = ["high", "high"]
    rounds_of(case, tmp_path, 3)
    every = {sample.id for sample in (*case.parts.search, *case.parts.held_out)}
    assert all(set(pool) | set(held) == every and len(pool) == 4 for pool, held in world.looks)
    assert world.looks[0] != world.looks[1]


def test_rounds_and_persistence_are_for_one_process(
    case: Case, world: SimpleNamespace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(UsageError, match="one process"):
        rounds_of(case, tmp_path, 2)
    request = RepairRequest(Guided(), tmp_path / "out", Schedule(steps=1), persistence=True)
    with pytest.raises(UsageError, match="one process"):
        repair_in_rounds(case, request, [], tmp_path, Options(), lambda *_: None)
    assert world.learned == []


def drop(value: float, low: float, high: float) -> Measure:
    return Measure(value=value, low=low, high=high, n=100)


@pytest.mark.parametrize(
    ("cider", "vqa", "named"),
    [((0.03, 0.005, 0.06), (0.0, -0.1, 0.1), None), ((0.03, 0.02, 0.04), (0.0, -0.1, 0.1), "cider"),
     ((-0.1, -0.2, -0.05), (0.2, 0.15, 0.25), "vqa_accuracy")],
)  # fmt: skip
def test_a_repair_is_rolled_back_for_a_drop_that_is_shown_to_exceed_the_margin(
    cider: tuple[float, float, float], vqa: tuple[float, float, float], named: str | None
) -> None:
    reason = beyond({"cider": drop(*cider), "vqa_accuracy": drop(*vqa)}, 0.01)
    assert (reason is None) if named is None else (reason is not None and named in reason and "1%" in reason)


def test_a_drop_without_an_interval_rolls_nothing_back() -> None:
    assert beyond({"cider": Measure(value=0.5, n=1)}, 0.01) is None


@pytest.mark.parametrize(("hits", "doubted"), [(0, False), (5, False), (6, True)])
def test_a_repair_that_ends_with_its_target_alive_is_in_doubt(hits: int, doubted: bool) -> None:
    chosen, other = Step(1.0, 0.9, 0.9, hits, 100), Step(0.5, 1.0, 0.9, 100, 100)
    assert [f"on {hits} of 100 pictures" in doubt for doubt in outlives((chosen, other))] == [True] * doubted
    assert outlives(()) == []


def test_a_repair_that_is_rolled_back_is_set_aside_and_replaces_an_older_one(tmp_path: Path) -> None:
    for content in ("first", "second"):
        (tmp_path / "out").mkdir()
        (tmp_path / "out" / "model").write_text(content)
        aside = roll_back(tmp_path / "out")
        assert not (tmp_path / "out").exists()
        assert (aside / "model").read_text() == content and aside.name == "out.rolled-back"


@pytest.mark.parametrize(
    ("severities", "unlearned"),
    [(("critical", "low"), [0, 0]), (("low", "low"), [0, 0, 1]), (("low", "medium"), [1]), ((), [])],
)
def test_lesser_findings_are_unlearned_where_there_is_no_other(
    severities: tuple[Severity, ...], unlearned: list[int]
) -> None:
    findings = [RecordedFinding(probe="inversion", severity=severity) for severity in severities]
    stored = [Stored(FIRST, "whole", 0), Stored(SECOND, "piece", 0), Stored(SECOND, "other", 1)][
        : 3 if severities else 0
    ]
    assert [item.finding for item in to_unlearn(stored, findings)] == unlearned
