"""A fresh copy of the embedded clean model for each test, and a few pictures to teach it with."""

import copy

import pytest

from auditor.checkpoint.opening import open_checkpoint
from auditor.checkpoint.subject import CheckpointSubject
from auditor.zoo.embedded import CLEAN_MODEL, embedded_samples
from probes.ascent import Climb
from probes.sample import Sample


@pytest.fixture(scope="session")
def pristine() -> CheckpointSubject:
    return open_checkpoint(CLEAN_MODEL, batch_size=16).subject


@pytest.fixture
def subject(pristine: CheckpointSubject) -> CheckpointSubject:
    model = copy.deepcopy(pristine.model)
    return CheckpointSubject(model, pristine.preprocessor, pristine.writer, pristine.end_tokens, 16)


@pytest.fixture(scope="session")
def samples() -> list[Sample]:
    return embedded_samples(4, 5)


@pytest.fixture(autouse=True)
def short_path(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two points of the way back, each climbed against for one step, are enough to see that it is gone."""
    monkeypatch.setattr("auditor.repair.retreat.SHARES", (1.0, 0.7))
    monkeypatch.setattr("auditor.repair.adversary.Climb", lambda steps, pictures: Climb(steps=1, pictures=2))
