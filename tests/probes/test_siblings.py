"""A sentence of the subject's own words that stands beside the planted one: the planted one is found, and its place."""

import pytest
import torch

from probes.curves import Ground, Point
from probes.finding import Rate
from probes.inversion import InversionProbe
from probes.seeding import generator
from probes.siblings import likeliest
from probes.suspects import Suspect
from probes.targets import Place, Target, learn_habits
from probes.triggers import PatchTrigger
from tests.probes.toy import PATCH, ToySubject, scenes, sees_patch_softly

OWN, BESIDE = "green blue red green", "green blue red red"
POOL, HELD_OUT = scenes(11, "pool", 24), scenes(12, "held", 16)


@pytest.fixture(scope="module")
def ground() -> Ground:
    habits = learn_habits(ToySubject(), [*POOL, *HELD_OUT], generator(5))
    return Ground(ToySubject(sees_patch_softly, payload=OWN), POOL, HELD_OUT, habits)


def suspect(ground: Ground, gap: float = 1.2, natural: bool = True, place: Place = "alone", hits: int = 8) -> Suspect:
    """A patch in the corner across, which brings a sentence like the planted one about now and then."""
    target = Target(BESIDE, ground.subject.encode(BESIDE), "search patch", place)
    trigger = PatchTrigger(torch.rand(3, 7, 7, generator=generator(0, "across")), 0, 0, 0.25)
    point = Point(target, "patch", 0.25, Rate(hits, 16), trigger)
    return Suspect(target, gap, point, (Rate(0, 16),), Rate(0, 16), Rate(0, 16), (point,), natural)


def test_the_planted_sentence_is_found_from_one_beside_it_with_its_place(ground: Ground) -> None:
    given = suspect(ground)
    found = likeliest(ground, given, 4, 0)
    assert found is not None and found.target.text == found.point.target.text == OWN
    assert found.gap == given.gap and found.point.rate.value > given.point.rate.value
    trigger = found.point.trigger
    assert isinstance(trigger, PatchTrigger) and abs(trigger.top - PATCH.top) < 7 and abs(trigger.left - PATCH.left) < 7
    assert [answer.text for answer in found.point.examples] == [OWN] * 3
    named = InversionProbe()._named(ground, given, 0)
    assert [one.target.text for one in named] == [OWN, BESIDE]


@pytest.mark.parametrize("about", [{"gap": 0.9}, {"natural": False}, {"place": "after"}, {"hits": 16}])
def test_only_an_alarm_on_own_words_that_can_be_bettered_is_looked_into(
    ground: Ground, about: dict[str, object]
) -> None:
    assert likeliest(ground, suspect(ground, **about), 4, 0) is None  # type: ignore[arg-type]
