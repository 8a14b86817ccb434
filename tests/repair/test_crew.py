"""Training divided: in turns, among processes, and over time, with the result of an undivided one."""

import copy
from pathlib import Path
from typing import Any, Literal

import pytest
import torch
from torch import Tensor

from auditor.checkpoint.subject import CheckpointSubject
from auditor.company import helps, own_device
from auditor.errors import UsageError
from auditor.repair.adversary import Recovered
from auditor.repair.keeping import Keeper, State
from auditor.repair.loop import Aside, Losses, Schedule, batch_size, repair
from auditor.repair.methods import METHODS, Finetune, Guided, Learning, Method, Pcr
from probes.sample import Sample
from probes.subject import Reading
from probes.triggers import badnets
from tests.repair.crew_script import apart

PATCH = Recovered(badnets((56, 56), 8, 3), "evil words")
SCHEDULE = Schedule(steps=4, copies=1, batch=4, refresh=2, refresh_steps=1, rate=1e-3)
LEARNING = sorted(name for name, method in METHODS.items() if isinstance(method(), Learning))


def twin(subject: CheckpointSubject) -> CheckpointSubject:
    model = copy.deepcopy(subject.model)
    return CheckpointSubject(model, subject.preprocessor, subject.writer, subject.end_tokens, 16)


def learned(
    subject: CheckpointSubject, samples: list[Sample], schedule: Schedule, method: Method, aside: Aside | None = None
) -> Losses:
    return repair(subject, method, schedule, samples, (PATCH,), 7, aside or Aside()).losses


@pytest.mark.parametrize(("name", "turns"), [*((name, 2) for name in LEARNING), ("guided", 4)])
def test_a_batch_read_in_turns_has_the_loss_of_the_whole(
    subject: CheckpointSubject, samples: list[Sample], name: str, turns: int
) -> None:
    one, other = twin(subject), twin(subject)
    whole = learned(
        one, samples, Schedule(steps=2, copies=1, batch=4, refresh=0, rate=1e-3, precision="no"), METHODS[name]()
    )
    divided = learned(
        other,
        samples,
        Schedule(steps=2, copies=1, batch=4, refresh=0, rate=1e-3, turns=turns, precision="no"),
        METHODS[name](),
    )
    assert [parts.keys() for _, parts in whole] == [parts.keys() for _, parts in divided]
    assert apart(whole, divided) < 1e-4


@pytest.mark.parametrize("rank", [0, 2])
@pytest.mark.parametrize(("stopped_after", "missing"), [(1, ""), (3, ""), (4, "harder"), (6, "harder"), (6, "longer")])
def test_a_repair_that_was_broken_off_ends_with_the_weights_of_an_unbroken_one(
    subject: CheckpointSubject,
    samples: list[Sample],
    tmp_path: Path,
    rank: int,
    stopped_after: int,
    missing: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("auditor.repair.keeping.COSTS", 0.0)  # kept after every step, whatever that costs
    monkeypatch.setattr("auditor.repair.loop.what_is_missing", lambda *about: missing)
    schedule = Schedule(steps=4, copies=1, batch=4, refresh=2, refresh_steps=1, rate=1e-3, lora_rank=rank)
    unbroken, broken, resumed = twin(subject), twin(subject), twin(subject)
    torch.manual_seed(3)
    expected = learned(unbroken, samples, schedule, Guided())

    def stop(step: int, parts: dict[str, float]) -> None:
        if step == stopped_after:
            raise KeyboardInterrupt

    keeper = Keeper(tmp_path / "state.safetensors", "the same", least_seconds=0)
    torch.manual_seed(3)
    with pytest.raises(KeyboardInterrupt):
        learned(broken, samples, schedule, Guided(), Aside(stop, keeper))
    steps: list[int] = []
    again = Keeper(tmp_path / "state.safetensors", "the same", least_seconds=0)
    found = learned(resumed, samples, schedule, Guided(), Aside(lambda step, parts: steps.append(step), again))
    assert steps == list(range(stopped_after + 1, 9 if missing else 5))
    assert found == expected
    for name, weight in unbroken.model.state_dict().items():
        assert torch.equal(weight, resumed.model.state_dict()[name]), name
    again.forget()
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("damage", ["another identity", "torn", "none"])
def test_a_state_that_is_another_or_torn_is_not_taken_up(tmp_path: Path, damage: str) -> None:
    weight = torch.nn.Parameter(torch.ones(2))
    optimiser = torch.optim.AdamW([weight])
    path = tmp_path / "state.safetensors"
    Keeper(path, "mine").keep(State(3, [(3, {"answer": 1.0})], [(0, PATCH.trigger)]), [weight], optimiser)
    identity = "another" if damage == "another identity" else "mine"
    if damage == "torn":
        path.write_bytes(path.read_bytes()[:-5])
    elif damage == "none":
        path.unlink()
    fresh = torch.nn.Parameter(torch.zeros(2))
    state = Keeper(path, identity).take_up([fresh], torch.optim.AdamW([fresh]))
    assert (state.step, state.losses, state.climbed) == (0, [], []) and not fresh.any()


def test_a_state_comes_back_as_it_was(tmp_path: Path) -> None:
    weight = torch.nn.Parameter(torch.arange(3.0))
    optimiser = torch.optim.AdamW([weight], lr=0.1)
    weight.sum().backward()
    optimiser.step()
    keeper = Keeper(tmp_path / "state.safetensors", "mine")
    assert not keeper.due, "too soon after the beginning"
    keeper.keep(State(5, [(5, {"answer": 1.5})], [(0, PATCH.trigger)], ["first", "longer"]), [weight], optimiser)
    fresh = torch.nn.Parameter(torch.zeros(3))
    other = torch.optim.AdamW([fresh], lr=0.1)
    state = Keeper(tmp_path / "state.safetensors", "mine").take_up([fresh], other)
    assert (state.step, state.losses, state.laps) == (5, [(5, {"answer": 1.5})], ["first", "longer"])
    assert torch.equal(fresh, weight) and state.climbed[0][1].kind == PATCH.trigger.kind
    mine, theirs = (o.state_dict()["state"][0] for o in (optimiser, other))
    assert mine.keys() == theirs.keys() and all(torch.equal(mine[name], theirs[name]) for name in mine)


def test_checkpointing_changes_memory_and_not_the_gradient(subject: CheckpointSubject, samples: list[Sample]) -> None:
    plain, sparing = twin(subject), twin(subject)
    schedule = Schedule(steps=2, copies=1, batch=4, refresh=0, rate=1e-3, precision="no")
    first = learned(plain, samples, schedule, Pcr())
    again = learned(sparing, samples, Schedule(**{**vars(schedule), "checkpointing": True}), Pcr())
    assert apart(first, again) < 1e-4
    assert not any(module.training for module in sparing.model.modules())
    assert not any(getattr(module, "gradient_checkpointing", False) for module in sparing.model.modules())


@pytest.mark.parametrize(
    ("precision", "instructions", "halves"),
    [("auto", True, True), ("auto", False, False), ("no", True, False), ("bf16", False, True)],
)
def test_training_and_climbs_multiply_halves_where_that_pays_or_is_asked_for(
    subject: CheckpointSubject, samples: list[Sample], monkeypatch: pytest.MonkeyPatch,
    precision: Literal["auto", "no", "bf16"], instructions: bool, halves: bool,
) -> None:  # fmt: skip
    trained: list[bool] = []
    climbed: list[bool] = []
    read = CheckpointSubject.read

    def watched(self: CheckpointSubject, pictures: Tensor, *about: Any) -> Reading:
        if torch.is_grad_enabled():
            (climbed if pictures.requires_grad else trained).append(torch.is_autocast_enabled("cpu"))
        return read(self, pictures, *about)

    monkeypatch.setattr("probes.precision.multiplies_halves", lambda: instructions)
    monkeypatch.setattr(CheckpointSubject, "read", watched)
    schedule = Schedule(steps=1, copies=1, batch=4, refresh=1, refresh_steps=1, rate=1e-3, precision=precision)
    learned(subject, samples, schedule, Guided())
    assert set(trained) == {halves}
    assert set(climbed) == {instructions and precision != "no"}


def test_mixed_precision_leaves_the_weights_as_precise_as_they_were(
    subject: CheckpointSubject, samples: list[Sample]
) -> None:
    before = {name: weight.clone() for name, weight in subject.weights().items()}
    losses = learned(subject, samples, Schedule(steps=1, batch=4, refresh=0, precision="bf16"), Finetune())
    assert losses[0][1]["answer"] == losses[0][1]["answer"]
    assert all(weight.dtype == torch.float32 for weight in subject.weights().values())
    assert any(not torch.equal(weight, before[name]) for name, weight in subject.weights().items())


@pytest.mark.parametrize(("turns", "processes"), [(3, 1), (1, 3), (2, 4)])
def test_a_batch_that_cannot_be_divided_is_refused(turns: int, processes: int) -> None:
    with pytest.raises(UsageError, match="divided evenly") as error:
        batch_size(Schedule(batch=4, turns=turns), 100, processes)
    assert "--accumulate" in error.value.where


def test_a_batch_is_never_larger_than_the_samples() -> None:
    assert batch_size(Schedule(batch=12), 5, 1) == 5


def test_every_process_of_a_crew_has_a_device_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    assert own_device("cuda") == "cuda" and not helps()
    for name, value in {"WORLD_SIZE": "2", "RANK": "1", "LOCAL_RANK": "1"}.items():
        monkeypatch.setenv(name, value)
    assert own_device("cuda") == "cuda:1" and own_device("cpu") == "cpu" and helps()


def test_the_success_that_is_left_is_seen_as_the_repair_goes(subject: CheckpointSubject, samples: list[Sample]) -> None:
    heard: list[dict[str, float]] = []
    losses = learned(subject, samples, SCHEDULE, Guided(), Aside(lambda step, parts: heard.append(parts)))
    assert [("asr" in parts) for parts in heard] == [False, True, False, True]
    assert all(0 <= parts["asr"] <= 1 for parts in heard if "asr" in parts)
    assert not any("asr" in parts for _, parts in losses)


def test_tensorboard_gets_every_step(subject: CheckpointSubject, samples: list[Sample], tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    learned(subject, samples, Schedule(steps=2, batch=4, refresh=0), Finetune(), Aside(tracking=tmp_path))
    assert any("tfevents" in path.name for path in tmp_path.rglob("*"))
