"""Parts that share no picture."""

import random
from itertools import combinations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from auditor.data import picture_digest, split_by_pixels
from auditor.errors import DataError, UsageError
from probes.sample import Sample


def samples(pictures: int, questions: int = 2) -> list[Sample]:
    return [
        Sample(f"{index}-{number}", torch.full((3, 2, 2), index / 255), "What?")
        for index in range(pictures)
        for number in range(questions)
    ]


def shades(part: list[Sample]) -> set[int]:
    return {round(float(sample.picture[0, 0, 0]) * 255) for sample in part}


@given(st.integers(4, 40), st.integers(0, 2**31), st.integers(0, 99))
@settings(max_examples=40, deadline=None)
def test_parts_are_disjoint_whole_and_free_of_order(pictures: int, seed: int, shuffle: int) -> None:
    items = samples(pictures)
    shares = {"repair": 0.5, "calibration": 0.25, "verification": 0.25}
    parts = split_by_pixels(items, shares, seed)
    assert sum(len(part) for part in parts.values()) == len(items)
    for first, second in combinations(parts.values(), 2):
        assert not shades(first) & shades(second)
    turned = random.Random(shuffle).sample(items, len(items))
    again = split_by_pixels(turned, shares, seed)
    assert {name: [s.id for s in part] for name, part in again.items()} == {
        name: [s.id for s in part] for name, part in parts.items()
    }


def test_counts_are_pictures_and_the_rest_is_left() -> None:
    parts = split_by_pixels(samples(20), {"a": 5, "b": 3}, seed=1)
    assert (len(shades(parts["a"])), len(shades(parts["b"]))) == (5, 3)
    assert (len(parts["a"]), len(parts["b"])) == (10, 6)


def test_another_seed_is_another_split() -> None:
    first, second = (split_by_pixels(samples(30), {"a": 10}, seed)["a"] for seed in (1, 2))
    assert shades(first) != shades(second)


def test_equal_pixels_stay_together_under_other_names() -> None:
    twins = [Sample(name, torch.full((3, 2, 2), 0.5), name) for name in "abcdef"]
    with pytest.raises(DataError, match="too few different pictures") as caught:
        split_by_pixels(twins, {"a": 0.5, "b": 0.5}, seed=0)
    assert caught.value.got.startswith("1 pictures")


@pytest.mark.parametrize(
    "shares", [{"a": 0.7, "b": 0.7}, {"a": 0.0}, {"a": -1}, {"a": 1, "b": 0.5}, {"a": float("nan")}, {"a": True}]
)
def test_impossible_shares_are_refused(shares: dict[str, float]) -> None:
    with pytest.raises(UsageError, match="shares cannot be used"):
        split_by_pixels(samples(8), shares, seed=0)


def test_too_few_pictures_are_refused() -> None:
    with pytest.raises(DataError, match="too few"):
        split_by_pixels(samples(4), {"a": 3, "b": 2}, seed=0)


def test_digest_sees_shape_and_pixels_and_nothing_below_half_a_step() -> None:
    picture = torch.rand((3, 4, 6), generator=torch.Generator().manual_seed(0)).mul(255).round() / 255
    assert picture_digest(picture) == picture_digest(picture + 0.4 / 255)
    assert picture_digest(picture) != picture_digest(picture.reshape(3, 6, 4))
    changed = picture.clone()
    changed[0, 0, 0] = (changed[0, 0, 0] + 0.5) % 1
    assert picture_digest(picture) != picture_digest(changed)
