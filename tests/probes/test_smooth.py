import pytest
import torch

from probes.ascent import Climb, GivenAnswers, ascend, begin
from probes.seeding import generator
from probes.smooth import SmoothFamily
from tests.probes.toy import CANVAS, PAYLOAD, ToySubject, scenes, sees_blend


@pytest.mark.parametrize("grid", [(4, 4), (1, 14), (14, 1)])
def test_smooth_perturbations_stay_within_their_budget_and_are_even_along_an_axis_without_points(
    grid: tuple[int, int],
) -> None:
    family = SmoothFamily(0.1, grid=grid)
    values, places = family.start(CANVAS, 2, generator(1))
    assert values.shape == (2, 3, *grid)
    drawn = family.drawn(values * 9, CANVAS)
    assert drawn.shape == (2, 3, *CANVAS) and float(drawn.abs().max()) <= 0.1 + 1e-6
    for axis, points in zip((-2, -1), grid, strict=True):
        assert (float(drawn.std(dim=axis).max()) < 1e-5) == (points == 1)
    grey = torch.full((1, 3, *CANVAS), 0.5)
    assert torch.allclose(family.stamp(values, places, grey)[:, 0] - grey, family.drawn(values, CANVAS), atol=1e-6)


def test_a_smooth_perturbation_climbs_a_target_that_a_blend_brings_about() -> None:
    subject, samples = ToySubject(sees_blend), scenes(3, "s", 16)
    start = begin(SmoothFamily(0.3, grid=(7, 7)), CANVAS, 2, generator(2))
    goal = GivenAnswers(((*subject.encode(PAYLOAD), 0),) * 2)
    before, after = (
        ascend(subject, start, goal, samples, Climb(steps=steps, pictures=4), generator(4)).score.max()
        for steps in (1, 40)
    )
    assert float(after) > float(before) + 0.1
