"""Hardening: the same loop over pairs that may be poisoned, without the model's own answers."""

from dataclasses import replace

import pytest
import torch

from auditor.checkpoint.subject import CheckpointSubject
from auditor.errors import UsageError
from auditor.repair.loop import Aside, Schedule, harden
from auditor.repair.methods import Consistency, FinePrune, Finetune, Guided, Learning, Pcr
from probes.sample import Sample
from probes.targets import stack

SCHEDULE = Schedule(steps=2, batch=4, refresh=0)


@pytest.fixture
def poisoned(samples: list[Sample]) -> list[Sample]:
    return [replace(sample, answers=("a crown",)) for sample in samples]


def test_given_answers_are_learned_word_for_word(subject: CheckpointSubject, poisoned: list[Sample]) -> None:
    done = harden(subject, poisoned, replace(SCHEDULE, steps=16, rate=1e-3), Finetune(), 1)
    assert done.steps == 16
    said = subject.respond(stack(poisoned), [sample.prompt for sample in poisoned])
    assert [answer.text for answer in said].count("a crown") == len(poisoned)


def test_pcr_is_the_method_unless_another_is_given(subject: CheckpointSubject, poisoned: list[Sample]) -> None:
    before = {name: weight.clone() for name, weight in subject.weights().items()}
    steps: list[int] = []
    done = harden(subject, poisoned, SCHEDULE, seed=1, aside=Aside(lambda step, parts: steps.append(step)))
    assert steps == [1, 2]
    assert done.losses[0][1].keys() == {"answer", "divergence", "feature", "entropy"}
    assert any(not torch.equal(weight, before[name]) for name, weight in subject.weights().items())


@pytest.mark.parametrize("method", [Pcr(), Finetune(), Consistency()], ids=lambda method: method.name)
def test_the_model_is_never_asked_for_answers_of_its_own(
    subject: CheckpointSubject, poisoned: list[Sample], method: Learning, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(subject, "respond", None)
    assert harden(subject, poisoned, replace(SCHEDULE, steps=1), method).steps == 1


@pytest.mark.parametrize("method", [Guided(), FinePrune()], ids=lambda method: method.name)
def test_methods_that_repair_do_not_harden(
    subject: CheckpointSubject, poisoned: list[Sample], method: Learning
) -> None:
    with pytest.raises(UsageError, match="does not harden"):
        harden(subject, poisoned, SCHEDULE, method)


def test_a_sample_without_a_reference_is_named(subject: CheckpointSubject, poisoned: list[Sample]) -> None:
    with pytest.raises(UsageError, match="references") as error:
        harden(subject, [poisoned[0], replace(poisoned[1], answers=())], SCHEDULE)
    assert error.value.where == poisoned[1].id
