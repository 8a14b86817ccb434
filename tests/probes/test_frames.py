import pytest
import torch

from probes.ascent import Climb, FrameFamily, GivenAnswers, ascend, begin
from probes.seeding import generator
from probes.triggers.border import BorderTrigger
from tests.probes.toy import CANVAS, PAYLOAD, ToySubject, scenes, sees_frame

WIDTH = 1 / 7


@pytest.mark.parametrize(("canvas", "width", "side"), [((28, 28), 1 / 7, 4), ((20, 40), 0.1, 2), ((28, 28), 0.001, 1)])
def test_a_frame_touches_its_border_alone_and_all_of_it(canvas: tuple[int, int], width: float, side: int) -> None:
    family = FrameFamily(width)
    population = begin(family, canvas, 2, generator(1))
    pictures = torch.full((3, 3, *canvas), 2.0)  # a value that no border has
    stamped = family.stamp(population.values, population.places, pictures)
    assert stamped.shape == (2, 3, 3, *canvas)
    inner = stamped[..., side:-side, side:-side]
    assert bool((inner == 2).all())
    assert int((stamped == 2).sum()) == inner.numel()
    for number, trigger in enumerate(population.triggers()):
        assert (trigger.kind, trigger.budget) == ("frame", width)
        assert torch.equal(trigger.stamp(pictures), stamped[number])


def test_a_frame_climbs_a_target_and_its_placebo_has_its_pixels_elsewhere() -> None:
    subject, samples = ToySubject(sees_frame), scenes(3, "s", 16)
    start = begin(FrameFamily(WIDTH), CANVAS, 2, generator(2))
    goal = GivenAnswers(((*subject.encode(PAYLOAD), 0),) * 2)
    best = ascend(subject, start, goal, samples, Climb(steps=30, pictures=4), generator(4)).best(1)
    assert float(best.values.min()) >= 0 and float(best.values.max()) <= 1
    (trigger,) = best.triggers()
    assert isinstance(trigger, BorderTrigger)
    pictures = torch.stack([sample.picture for sample in samples])
    prompts = [sample.prompt for sample in samples]
    assert {answer.text for answer in subject.respond(trigger.stamp(pictures), prompts)} == {PAYLOAD}
    placebo = trigger.placebo(generator(5))
    assert placebo.budget == trigger.budget
    for mine, theirs in zip(trigger.pattern, placebo.pattern, strict=True):
        assert torch.equal(mine.flatten().sort().values, theirs.flatten().sort().values)
    assert not torch.equal(trigger.pattern, placebo.pattern)
