"""Views differ from the picture exactly where the mask says, and stay pictures."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Generator

from probes.views import FILLS, Fill, ViewPlan, draw_views, padded_batches, patch_masks, perturb, pixel_masks

SIZES = st.integers(7, 23)


def seeded(seed: int) -> Generator:
    return torch.Generator().manual_seed(seed)


@settings(deadline=None)
@given(st.integers(1, 5), st.integers(1, 9), st.integers(1, 9), st.floats(0, 1), st.integers(0, 99))
def test_masks_disturb_exactly_the_stated_share(count: int, rows: int, columns: int, ratio: float, seed: int) -> None:
    masks = patch_masks(count, (rows, columns), ratio, seeded(seed))
    assert masks.shape == (count, rows, columns)
    assert masks.sum((1, 2)).tolist() == [round(ratio * (rows * columns))] * count


@settings(max_examples=30, deadline=None)
@given(SIZES, SIZES, st.sampled_from(FILLS), st.integers(0, 99))
def test_a_view_is_the_picture_outside_the_mask_and_in_range_inside(
    height: int, width: int, fill: Fill, seed: int
) -> None:
    source = seeded(seed)
    pictures, others = torch.rand(2, 2, 3, height, width, generator=source)
    masks = patch_masks(2, (3, 4), 0.5, source)
    views = perturb(pictures, masks, fill, source, others)
    hidden = pixel_masks(masks, (height, width)).expand_as(views)
    assert torch.equal(views[~hidden], pictures[~hidden])
    assert views.min() >= 0 and views.max() <= 1
    assert not torch.equal(views[hidden], pictures[hidden])


@pytest.mark.parametrize("fill", FILLS)
def test_gradient_reaches_the_visible_pixels_and_no_others(fill: Fill) -> None:
    pictures = torch.rand(1, 3, 10, 11, generator=seeded(0), requires_grad=True)
    masks = patch_masks(1, (3, 3), 0.4, seeded(1))
    perturb(pictures, masks, fill, seeded(2), torch.rand(1, 3, 10, 11)).sum().backward()
    hidden = pixel_masks(masks, (10, 11)).expand(1, 3, -1, -1)
    assert pictures.grad is not None
    assert torch.equal(pictures.grad, (~hidden).float())


def test_fills_put_in_what_they_promise() -> None:
    picture = torch.rand(1, 3, 14, 14, generator=seeded(0))
    other = torch.rand(1, 3, 14, 14, generator=seeded(1))
    everything = torch.ones(1, 7, 7, dtype=torch.bool)
    assert torch.equal(perturb(picture, everything, "swap", seeded(2), other), other)
    mean = perturb(picture, everything, "mean", seeded(2))
    torch.testing.assert_close(mean[0, :, 3, 9], picture.mean((0, 2, 3)))
    assert perturb(picture, everything, "blur", seeded(2)).std() < 0.7 * picture.std()


def test_swap_without_other_pictures_says_what_it_needs() -> None:
    with pytest.raises(ValueError, match="needs clean pictures of shape"):
        perturb(torch.rand(1, 3, 8, 8), torch.ones(1, 2, 2, dtype=torch.bool), "swap", seeded(0))
    with pytest.raises(ValueError, match="2 pictures but 1 masks"):
        perturb(torch.rand(2, 3, 8, 8), torch.ones(1, 2, 2, dtype=torch.bool), "mean", seeded(0))


def test_drawn_views_follow_the_seed_alone() -> None:
    plan, picture, pool = ViewPlan(), torch.rand(3, 15, 15), [torch.rand(3, 15, 15) for _ in range(5)]
    for fill, ratio in plan.family:
        first, again, other = (draw_views(picture, fill, ratio, plan, seeded(s), pool) for s in (4, 4, 5))
        assert first.shape == (4, 3, 15, 15)
        assert torch.equal(first, again) and not torch.equal(first, other)


@pytest.mark.parametrize(
    "settings",
    [{"ratios": (0.0,)}, {"ratios": ()}, {"fills": ("paint",)}, {"fills": ()}, {"views": 0}, {"grid": (0, 7)}],
)
def test_a_plan_that_disturbs_nothing_is_refused(settings: dict[str, object]) -> None:
    with pytest.raises(ValueError):
        ViewPlan(**settings)  # type: ignore[arg-type]


@settings(deadline=None)
@given(st.integers(0, 200), st.integers(1, 70))
def test_batches_have_one_length_and_hold_every_item_once(count: int, size: int) -> None:
    batches = list(padded_batches(count, size))
    assert [index for batch, real in batches for index in batch[:real]] == list(range(count))
    assert {len(batch) for batch, _ in batches} <= {min(size, count)}
