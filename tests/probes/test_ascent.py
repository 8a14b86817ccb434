from collections.abc import Sequence
from dataclasses import dataclass

import pytest
import torch
from torch import Tensor

from probes.ascent import (
    AdditiveFamily,
    Climb,
    Family,
    GivenAnswers,
    PatchFamily,
    Population,
    Rows,
    UnusualToken,
    ascend,
    begin,
    from_trigger,
    limit_rows,
)
from probes.growth import next_tokens
from probes.sample import Sample
from probes.seeding import generator
from probes.subject import Reading, Tokens
from probes.triggers import AdditiveTrigger, PatchTrigger
from tests.probes.toy import CANVAS, PAYLOAD, WORDS, ToySubject, scenes, sees_patch

PICTURES = torch.rand(5, 3, *CANVAS, generator=generator(0, "pictures"))
FAMILIES = [AdditiveFamily(0.1), PatchFamily(0.25)]


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.name)
def test_projection_brings_values_into_the_budget(family: Family) -> None:
    values, _ = family.start(CANVAS, 3, generator(1))
    low, high = (-family.budget, family.budget) if isinstance(family, AdditiveFamily) else (0.0, 1.0)
    assert low <= float(values.min()) and float(values.max()) <= high
    wild = (values - values.mean()) * 100
    family.project(wild)
    assert float(wild.min()) == pytest.approx(low)
    assert float(wild.max()) == pytest.approx(high)


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.name)
def test_the_differentiable_stamp_is_the_triggers_stamp(family: Family) -> None:
    values, places = family.start(CANVAS, 3, generator(2))
    stamped = family.stamp(values, places, PICTURES)
    assert stamped.shape == (3, 5, 3, *CANVAS)
    for number in range(3):
        trigger = family.trigger(values[number], places[number])
        torch.testing.assert_close(stamped[number], trigger.stamp(PICTURES))
        assert trigger.budget == family.budget


def test_a_patch_touches_its_window_alone() -> None:
    family = PatchFamily(0.25)
    values, places = torch.full((1, 3, 7, 7), 2.0), torch.tensor([[3, 20]])
    changed = (family.stamp(values, places, PICTURES)[0] != PICTURES).all(dim=1)
    window = torch.zeros(CANVAS, dtype=torch.bool)
    window[3:10, 20:27] = True
    assert bool((changed == window).all())


def test_patches_cover_the_whole_canvas() -> None:
    family = PatchFamily(0.3)
    _, places = family.start(CANVAS, family.places(CANVAS), generator(3))
    covered = torch.zeros(CANVAS, dtype=torch.bool)
    for top, left in places.tolist():
        covered[top : top + family.side(CANVAS), left : left + family.side(CANVAS)] = True
    assert bool(covered.all())


def test_a_smaller_patch_begins_inside_the_larger_one() -> None:
    large = PatchFamily(0.25)
    values, place = torch.rand(3, 7, 7, generator=generator(4)), torch.tensor([2, 9])
    small, cut, places = large.shrink(values, place, 0.15)
    assert (small.budget, cut.shape, places.shape) == (0.15, (5, 3, 4, 4), (5, 2))
    for pattern, (top, left) in zip(cut, places.tolist(), strict=True):
        assert 2 <= top <= 2 + 3 and 9 <= left <= 9 + 3
        assert torch.equal(pattern, values[:, top - 2 : top + 2, left - 9 : left - 5])


def test_a_smaller_perturbation_is_clipped() -> None:
    values = torch.linspace(-0.1, 0.1, 3 * 28 * 28).view(3, *CANVAS)
    small, cut, _ = AdditiveFamily(0.1).shrink(values, torch.zeros(2, dtype=torch.long), 0.05)
    assert small.budget == 0.05
    assert torch.equal(cut[0], values.clamp(-0.05, 0.05))


def test_triggers_are_of_their_family() -> None:
    kinds = [begin(family, CANVAS, 1, generator(5)).triggers()[0] for family in FAMILIES]
    assert [type(kind) for kind in kinds] == [AdditiveTrigger, PatchTrigger]


def test_an_ascent_raises_a_planted_answer_and_stays_in_the_budget() -> None:
    subject = ToySubject(sees_patch)
    unusual = torch.tensor([word not in ("<end>", "red", "green", "blue") for word in WORDS])
    family = PatchFamily(0.25)
    start = begin(family, CANVAS, family.places(CANVAS), generator(6))
    weight = subject.weight.clone()
    found = ascend(subject, start, UnusualToken(unusual), scenes(1, "a", 12), Climb(40, 4), generator(7)).best(1)
    assert float(found.score[0]) > -1.0
    assert found.places.tolist() == [[21, 21]]
    assert float(found.values.min()) >= 0 and float(found.values.max()) <= 1
    assert [WORDS[t] for t in next_tokens(subject, found, [()], scenes(2, "b", 8), 8, generator(8))] == ["visit"]
    assert torch.equal(subject.weight, weight) and subject.weight.grad is None


def test_an_ascent_ends_once_it_is_good_enough_and_is_a_function_of_its_seed() -> None:
    subject, samples = ToySubject(sees_patch), scenes(1, "a", 12)
    goal = GivenAnswers((subject.encode(PAYLOAD),))

    def climb(seed: int, enough: float) -> tuple[torch.Tensor, int]:
        ticks: list[int] = []
        start = begin(AdditiveFamily(0.1), CANVAS, 1, generator(9))
        end = ascend(
            subject, start, goal, samples, Climb(8, 4, enough=enough), generator(seed), lambda: ticks.append(1)
        )
        return end.values, len(ticks)

    assert climb(1, 0.0)[1] == 8
    assert climb(1, -1000.0)[1] == 5
    assert torch.equal(climb(1, 0.0)[0], climb(1, 0.0)[0])
    assert not torch.equal(climb(1, 0.0)[0], climb(2, 0.0)[0])


@dataclass(frozen=True)
class Settled:
    """Each trigger's score is given, whatever is read."""

    scores: tuple[float, ...]

    def answers(self, index: int, sample: Sample) -> Tokens:
        return ()

    def score(self, reading: Reading, rows: Rows, pictures: int) -> torch.Tensor:
        return torch.tensor([self.scores[i] for i, _ in rows[::pictures]]) + 0 * reading.log_probs.sum()


@pytest.mark.parametrize(("scores", "steps"), [((-0.1, -0.2), 5), ((-0.1, -0.9), 8), ((-0.9, -0.1), 8)])
def test_it_is_good_enough_once_every_trigger_is(scores: tuple[float, ...], steps: int) -> None:
    ticks: list[int] = []
    start = begin(AdditiveFamily(0.1), CANVAS, 2, generator(9))
    climb = Climb(8, 4, enough=-0.5)
    ascend(ToySubject(), start, Settled(scores), scenes(1, "a", 8), climb, generator(1), lambda: ticks.append(1))
    assert len(ticks) == steps


DELTA = AdditiveTrigger(0.2 * torch.rand(3, *CANVAS, generator=generator(4)) - 0.1, 0.1)
PATTERN = PatchTrigger(torch.rand(3, 7, 7, generator=generator(5)), 3, 11, 0.25)


@pytest.mark.parametrize("trigger", [DELTA, PATTERN], ids=lambda trigger: trigger.kind)
def test_a_climb_may_begin_at_a_trigger_or_at_random_values_in_its_place(
    trigger: AdditiveTrigger | PatchTrigger,
) -> None:
    same, other = (from_trigger(trigger, CANVAS, again, generator(6)) for again in (False, True))
    torch.testing.assert_close(same.triggers()[0].stamp(PICTURES), trigger.stamp(PICTURES))
    assert other.values.shape == same.values.shape and not torch.equal(other.values, same.values)
    assert torch.equal(other.places, same.places)
    assert other.triggers()[0].budget == trigger.budget
    projected = other.values.clone()
    other.family.project(projected)
    assert torch.equal(projected, other.values)
    before = (trigger.delta if isinstance(trigger, AdditiveTrigger) else trigger.pattern).clone()
    same.values.zero_()
    assert torch.equal(trigger.delta if isinstance(trigger, AdditiveTrigger) else trigger.pattern, before)


def test_a_device_with_little_memory_gets_fewer_rows_and_the_same_result_and_is_asked_for_too_many_once() -> None:
    class Small(ToySubject):
        room, refused = 0, 0

        def read(self, pictures: Tensor, prompts: Sequence[str], answers: Sequence[Tokens]) -> Reading:
            if len(prompts) > self.room:
                self.refused += 1
                raise torch.OutOfMemoryError
            return super().read(pictures, prompts, answers)

    def subject(room: int) -> Small:
        made = Small(sees_patch)
        made.room = room
        return made

    def climb(subject: Small) -> Population:
        family = PatchFamily(0.25)
        start = begin(family, CANVAS, 4, generator(6))
        goal = GivenAnswers((subject.encode(PAYLOAD),) * 4)
        return ascend(subject, start, goal, scenes(1, "a", 12), Climb(3, 4, rows=16), generator(7))

    small = subject(5)
    assert torch.allclose(climb(small).values, climb(subject(100)).values)
    assert small.refused == 2  # 16 rows, then 8
    climb(small)
    assert small.refused == 2
    with pytest.raises(torch.OutOfMemoryError):
        climb(subject(3))
    told = subject(5)
    limit_rows(told, 5)
    assert torch.allclose(climb(told).values, climb(small).values) and told.refused == 0
