import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from probes.ascent import AdditiveFamily, Climb
from probes.curves import BudgetCurve, Ground, Point, decoy_rates, gap, needed
from probes.finding import Rate
from probes.seeding import generator
from probes.targets import Target, learn_habits
from probes.triggers import badnets
from tests.probes.toy import CANVAS, PAYLOAD, ToySubject, scenes

EVIL, GOOD, DULL = (Target(text, (number,), "search") for number, text in enumerate(("evil", "good", "dull")))
TRIGGER = badnets((56, 56), 8, 0)
HITS = st.integers(0, 100)


def points(target: Target, rates: dict[float, int], family: str = "patch") -> list[Point]:
    return [Point(target, family, budget, Rate(hits, 100), TRIGGER) for budget, hits in rates.items()]


@pytest.mark.parametrize(
    ("rates", "budget"),
    [
        ({0.2: 80, 0.1: 20}, math.sqrt(0.2 * 0.1)),  # half way between
        ({0.1: 20, 0.2: 80}, math.sqrt(0.2 * 0.1)),  # in whatever order
        ({0.2: 80, 0.1: 50}, 0.1),
        ({0.2: 100, 0.1: 100}, 0.05),  # an octave below the smallest
        ({0.2: 50}, 0.2),
        ({0.2: 0}, 0.4),  # an octave above the largest
        ({0.2: 25}, 0.2 * math.sqrt(2)),
    ],
)
def test_the_needed_budget_is_where_half_of_the_pictures_give_the_target(
    rates: dict[float, int], budget: float
) -> None:
    assert needed(points(EVIL, rates), EVIL, "patch") == pytest.approx(math.log2(budget))


@given(large=HITS, small=HITS, more=HITS, which=st.sampled_from([0.1, 0.2]))
def test_whoever_succeeds_more_often_never_needs_more(large: int, small: int, more: int, which: float) -> None:
    rates = {0.2: large, 0.1: small}
    better = {**rates, which: max(more, rates[which])}
    less, most = needed(points(EVIL, better), EVIL, "patch"), needed(points(EVIL, rates), EVIL, "patch")
    assert less <= most + 1e-9
    assert math.log2(0.05) - 1e-9 <= less and most <= math.log2(0.4) + 1e-9


@given(target=HITS, rival=HITS, more=HITS)
def test_the_gap_grows_with_the_target_and_falls_with_the_best_decoy(target: int, rival: int, more: int) -> None:
    def measured(evil: int, good: int) -> float:
        found = points(EVIL, {0.2: evil}) + points(GOOD, {0.2: good}) + points(DULL, {0.2: 0})
        return gap(found, EVIL, [GOOD, DULL], "patch")

    assert measured(max(target, more), rival) >= measured(target, rival) - 1e-9
    assert measured(target, max(rival, more)) <= measured(target, rival) + 1e-9
    assert measured(target, target) == pytest.approx(0)


def test_without_a_decoy_of_the_family_there_is_no_gap() -> None:
    found = points(EVIL, {0.2: 100}) + points(GOOD, {0.1: 100}, "additive")
    assert gap(found, EVIL, [GOOD], "patch") == 0
    assert gap(found, EVIL, [], "patch") == 0


def test_a_decoy_that_was_dropped_counts_with_its_larger_budget() -> None:
    at = points(EVIL, {0.1: 90})[0]
    found = points(GOOD, {0.2: 40}) + points(DULL, {0.2: 60, 0.1: 30, 0.05: 10}) + points(GOOD, {0.1: 99}, "additive")
    assert decoy_rates(found, [GOOD, DULL, EVIL], at) == [Rate(40, 100), Rate(30, 100)]


BOARD = (torch.arange(CANVAS[0])[:, None] + torch.arange(CANVAS[1])) % 2 * 2.0 - 1


def sees_a_board(pictures: Tensor) -> Tensor:
    """1 where a faint chessboard of single pixels lies over the picture."""
    return torch.sigmoid(200 * ((pictures * BOARD).mean((1, 2, 3)) - 0.02))


def test_whoever_reaches_half_goes_on_to_the_next_budget_from_the_same_start() -> None:
    subject = ToySubject(sees_a_board)
    pool, held_out = scenes(1, "p", 8), scenes(2, "h", 8)
    habits = learn_habits(subject, [*pool, *held_out], generator(0))
    planted, other = (Target(text, subject.encode(text), "search") for text in (PAYLOAD, "now our shop visit"))
    curve = BudgetCurve(Climb(4, 4), Climb(25, 4, enough=-0.1))
    ladder = [AdditiveFamily(0.1), AdditiveFamily(0.05)]
    ground = Ground(subject, pool, held_out, habits)
    measured = curve.measure(ground, ladder, [], [planted, other], generator(3))
    assert [(p.target.text, p.budget) for p in measured] == [(PAYLOAD, 0.1), (other.text, 0.1), (PAYLOAD, 0.05)]
    assert [point.rate.hits for point in measured] == [8, 0, 8]
    assert all(point.trigger.budget == point.budget for point in measured)
    assert gap(measured, planted, [other], "additive") >= 1
