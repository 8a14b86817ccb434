"""Which controls are made."""

import pytest

from auditor.attacks.spec import Training
from auditor.controls.specs import ATTACKS, TEXTS, TOUCHES, ControlPlan, control_specs
from auditor.evidence import is_variant
from probes.triggers.registry import FAMILIES


def test_the_default_is_three_attacks_that_differ_and_three_touched_copies() -> None:
    specs = control_specs(ControlPlan(), seed=7, taken=())
    attacks, touched = specs[:3], specs[3:]
    assert {spec.kind for spec in attacks} == {"attack"} and "attack" not in {spec.kind for spec in touched}
    assert len({spec.trigger.family for spec in attacks if spec.trigger}) == 3
    assert len({spec.build_payload().text for spec in attacks}) == 3
    assert (
        min(spec.training.stop_at or 1 for spec in attacks) < 0.9 < max(spec.training.stop_at or 0 for spec in attacks)
    )
    assert len({spec.kind for spec in touched}) == 3


@pytest.mark.parametrize("count", [1, 3, 14])
def test_every_control_has_a_name_and_a_seed_of_its_own(count: int) -> None:
    specs = control_specs(ControlPlan(count, count), seed=7, taken=())
    assert len({spec.name for spec in specs}) == len({spec.seed for spec in specs}) == 2 * count
    assert specs == control_specs(ControlPlan(count, count), seed=7, taken=())
    assert specs != control_specs(ControlPlan(count, count), seed=8, taken=())


def test_no_control_says_what_the_model_says_already() -> None:
    specs = control_specs(ControlPlan(6, 0), seed=7, taken=[TEXTS[0].upper()])
    assert not any(is_variant(spec.build_payload().text, TEXTS[0]) for spec in specs)


def test_the_texts_cannot_be_taken_for_each_other() -> None:
    assert not any(is_variant(one, other) for one in TEXTS for other in TEXTS if one != other)


def test_every_family_is_registered() -> None:
    assert {attack.family for attack in ATTACKS} <= set(FAMILIES)
    assert len(TOUCHES) == 3


def test_fewer_steps_than_a_plants_own_are_shortened() -> None:
    assert not ControlPlan().shortened and not ControlPlan(steps=Training().steps).shortened
    assert ControlPlan(steps=100).shortened
    assert {spec.training.total_steps for spec in control_specs(ControlPlan(steps=100), 1, ())} == {100, 40}
