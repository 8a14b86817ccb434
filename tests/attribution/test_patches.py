"""Curves that begin and end where they must, on a tiny checkpoint with random weights."""

from dataclasses import replace

import pytest

from auditor.attribution.patches import Faithfulness, faithfulness, points_at
from auditor.checkpoint.opening import Opened
from auditor.zoo.embedded import embedded_samples
from probes.sample import Sample


@pytest.fixture(scope="module")
def sample(opened: Opened) -> Sample:
    (first, *_) = embedded_samples(1, 3)
    return replace(first, picture=opened.subject.fit(first.picture))


def test_both_curves_run_between_the_grey_and_the_whole_picture(opened: Opened, sample: Sample) -> None:
    answer = opened.subject.encode("a red circle")
    values = [[0.0, 1.0], [2.0, 3.0]]
    found = faithfulness(opened.subject, sample, answer, values, steps=4)
    assert len(found.insertion) == len(found.deletion) == 5
    assert found.insertion[0] == pytest.approx(found.deletion[-1], rel=1e-4)
    assert found.insertion[-1] == pytest.approx(found.deletion[0], rel=1e-4)
    assert all(0 <= value <= 1 for value in (*found.insertion, *found.deletion))


def test_areas_are_the_means_of_the_curves() -> None:
    assert Faithfulness([0.0, 0.5, 1.0], [1.0, 0.0, 0.0]).areas == (0.5, pytest.approx(1 / 3))


def test_pointing_game_hits_where_the_strongest_patch_touches_the_trigger() -> None:
    values = [[0.0, 0.0], [0.0, 9.0]]
    assert points_at(values, (30, 30, 8, 8), (56, 56))
    assert not points_at(values, (0, 0, 8, 8), (56, 56))
