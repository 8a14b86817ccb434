"""Plots: nothing from nothing, real pictures otherwise, and one scale for before and after."""

import base64
import io
import math
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from reports import figures
from reports.record import Attribution, AuditRecord, BeforeAfter, LossPoint, Measure, Scores, Statistic

Runs = dict[str, tuple[AuditRecord, Path]]


def decoded(uri: str) -> bytes:
    return base64.b64decode(uri.partition(",")[2])


def test_nothing_to_draw_gives_nothing() -> None:
    empty = BeforeAfter()
    assert figures.attack_figure(empty) == figures.quality_figure(empty) == figures.evidence_figure([]) == ""
    assert figures.losses_figure([LossPoint(step=0, parts={"total": 1.0})]) == ""
    assert figures.evidence_figure([Statistic(name="no null", value=1.0)]) == ""
    assert figures.attribution_figure(Attribution(sample_id="a", values_before=[[1.0], [1.0, 2.0]]), None, None) == ""


def test_a_value_that_is_not_known_is_no_row() -> None:
    assert figures.attack_figure(BeforeAfter(before=Scores(asr_true=Measure(value=math.nan, n=0)))) == ""


def test_plots_are_vector_drawings_and_the_same_each_time(runs: Runs) -> None:
    scores = runs["repaired"][0].scores
    for draw in (figures.attack_figure, figures.quality_figure):
        assert b"<svg" in decoded(draw(scores))
        assert draw(scores) == draw(scores)


@pytest.mark.parametrize("name", ["$unclosed_{math", "猫の統計", "\u202eevil", "x" * 500])
def test_any_name_of_a_statistic_can_be_drawn(name: str) -> None:
    assert figures.evidence_figure([Statistic(name=name, value=2.0, null=[0.1, None, 0.2])])
    assert figures.losses_figure([LossPoint(step=step, parts={name: None if step else 1.0}) for step in range(3)])


def test_maps_share_one_scale_with_a_zero_that_stays() -> None:
    norm, colours = figures._scale(np.array([0.0, 0.2, 4.0, math.nan]))
    assert (norm.vmin, norm.vmax, colours) == (0.0, 4.0, "inferno")
    norm, colours = figures._scale(np.array([-3.0, 1.0]))
    assert (norm.vmin, norm.vmax, colours) == (-3.0, 3.0, "PuOr_r")


def test_a_weaker_map_is_drawn_darker(runs: Runs) -> None:
    grid = [[0.0, 1.0], [0.0, 0.0]]
    weak = [[0.0, 0.1], [0.0, 0.0]]
    item = Attribution(sample_id="a", values_before=grid, values_after=weak)
    picture = Image.open(io.BytesIO(decoded(figures.attribution_figure(item, None, None)))).convert("L")
    brightness = np.asarray(picture, dtype=float)[picture.height // 4 : picture.height // 2]
    third = picture.width // 3
    before, after = brightness[:, :third], brightness[:, third + 40 : 2 * third - 40]
    assert (before > 150).mean() > (after[:, after.shape[1] // 2 :] > 150).mean()
