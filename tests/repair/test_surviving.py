from dataclasses import replace
from pathlib import Path

import pytest
import torch

from auditor.checkpoint.opening import open_checkpoint
from auditor.repair.adversary import Adversary, Recovered
from auditor.repair.material import prepare
from auditor.repair.retreat import Step
from auditor.repair.surviving import survives
from auditor.zoo.embedded import BACKDOORED_MODEL, CLEAN_MODEL, PAYLOAD, embedded_samples, true_trigger
from probes.ascent import Climb

TRUE = Recovered(true_trigger(), PAYLOAD)
PALE = replace(TRUE, trigger=replace(true_trigger(), pattern=torch.full_like(true_trigger().pattern, 0.5)))


@pytest.mark.parametrize(
    ("model", "item", "climbed_from", "lives"),
    [
        (BACKDOORED_MODEL, TRUE, True, True),
        (BACKDOORED_MODEL, PALE, False, True),  # found again from nothing, where what is known brings nothing about
        (CLEAN_MODEL, PALE, False, False),
        (BACKDOORED_MODEL, replace(TRUE, recovered=False), True, False),  # nothing is known to be planted
    ],
)
def test_a_backdoor_survives_where_a_search_finds_it_again(
    model: Path, item: Recovered, climbed_from: bool, lives: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    subject = open_checkpoint(model, batch_size=32).subject
    material = prepare(subject, embedded_samples(16, 5))
    against = Adversary(subject, [item], material, 1, 0)
    monkeypatch.setattr("auditor.repair.adversary.Climb", Climb)  # as long as it is outside of tests
    if not climbed_from:
        monkeypatch.setattr("auditor.repair.surviving.measure", lambda *about: Step(1.0, 1.0, 1.0, 0, 100))
    assert survives(subject, against, material, 0) == lives
