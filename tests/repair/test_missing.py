from dataclasses import replace
from pathlib import Path

import pytest
import torch

from auditor.checkpoint.opening import open_checkpoint
from auditor.repair.adversary import Adversary, Recovered
from auditor.repair.material import prepare
from auditor.repair.missing import _from_nothing, what_is_missing
from auditor.repair.retreat import Step
from auditor.zoo.embedded import BACKDOORED_MODEL, CLEAN_MODEL, PAYLOAD, embedded_samples, true_trigger
from probes.ascent import Climb

TRUE = Recovered(true_trigger(), PAYLOAD)
PALE = replace(TRUE, trigger=replace(true_trigger(), pattern=torch.full_like(true_trigger().pattern, 0.5)))


@pytest.mark.parametrize(
    ("model", "item", "stands", "missing"),
    [
        (BACKDOORED_MODEL, TRUE, None, "harder"),
        # found again from nothing, where what is known brings nothing about
        (BACKDOORED_MODEL, PALE, Step(1.0, 1.0, 1.0, 0, 100), "harder"),
        (CLEAN_MODEL, PALE, None, ""),
        (CLEAN_MODEL, PALE, Step(1.0, 0.9, 0.76, 1, 100), "longer"),
        (CLEAN_MODEL, PALE, Step(1.0, 0.9, 0.77, 1, 100), ""),
        (CLEAN_MODEL, PALE, Step(1.0, 0.9, 0.76, 2, 100), "harder"),
        (BACKDOORED_MODEL, replace(TRUE, recovered=False), None, ""),  # nothing is known to be planted
    ],
)
def test_what_is_missing_is_seen_as_a_new_search_would_see_it(
    model: Path, item: Recovered, stands: Step | None, missing: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    subject = open_checkpoint(model, batch_size=32).subject
    material = prepare(subject, embedded_samples(16, 5))
    against = Adversary(subject, [item], material, 1, 0)
    monkeypatch.setattr("auditor.repair.adversary.Climb", Climb)  # as long as it is outside of tests
    if stands is not None:
        monkeypatch.setattr("auditor.repair.missing.measure", lambda *about: stands)
    assert what_is_missing(subject, against, material, 0) == missing


def test_what_comes_back_is_looked_for_over_the_whole_picture_at_a_place_and_around_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    subject = open_checkpoint(CLEAN_MODEL, batch_size=32).subject
    monkeypatch.setattr("auditor.repair.adversary.Climb", lambda steps, pictures: Climb(1, 2))
    material = prepare(subject, embedded_samples(4, 5))
    own = replace(TRUE, target=subject.decode(material.own[0]))
    for item, kinds in ((TRUE, ["additive", "patch", "frame"]), (own, ["additive", "patch"])):
        assert [trigger.kind for trigger in _from_nothing(subject, item, {}, material, 0)] == kinds
