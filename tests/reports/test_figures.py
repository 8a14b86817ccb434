"""Plots: nothing from nothing, real pictures otherwise, and one scale for before and after."""

import base64
import math
from pathlib import Path

import pytest

from reports import drawing, figures
from reports.record import Attribution, AuditRecord, BeforeAfter, Measure, Scores, Statistic
from reports.repair import LossPoint

Runs = dict[str, tuple[AuditRecord, Path]]


def decoded(uri: str) -> bytes:
    return base64.b64decode(uri.partition(",")[2])


def test_nothing_to_draw_gives_nothing() -> None:
    empty = BeforeAfter()
    assert figures.attack_figure(empty) == figures.quality_figure(empty) == figures.evidence_figure([]) == ""
    assert figures.losses_figure([LossPoint(step=0, parts={"total": 1.0})]) == ""
    assert figures.evidence_figure([Statistic(name="no null", value=1.0)]) == ""
    assert figures.curves_figure(Attribution(sample_id="a")) == figures.population_figure(1.0, [], "statistic") == ""
    assert figures.intervals_figure([], "share") == ""


def test_a_value_that_is_not_known_is_no_row() -> None:
    assert figures.attack_figure(BeforeAfter(before=Scores(asr_true=Measure(value=math.nan, n=0)))) == ""


def test_plots_are_vector_drawings_and_the_same_each_time(runs: Runs) -> None:
    scores = runs["repaired"][0].scores
    for draw in (figures.attack_figure, figures.quality_figure):
        assert b"<svg" in decoded(draw(scores))
        assert draw(scores) == draw(scores)


def test_curves_and_populations_are_drawn() -> None:
    item = Attribution(sample_id="a", insertion_curve_before=[0.0, 0.4, 0.9], deletion_curve_before=[0.9, None, 0.1])
    assert b"<svg" in decoded(figures.curves_figure(item))
    assert b"<svg" in decoded(figures.population_figure(2.0, [0.1, None, 0.4], "statistic"))
    assert b"<svg" in decoded(figures.intervals_figure([("high", Measure(value=0.9, low=0.5, high=1.0, n=3))], "share"))


def test_before_and_after_differ_in_more_than_colour() -> None:
    """Readers of every colour vision: the palette is Okabe and Ito's, and markers tell the two apart as well."""
    assert (drawing.BEFORE, drawing.AFTER) == ("#D55E00", "#0072B2")


@pytest.mark.parametrize("name", ["$unclosed_{math", "猫の統計", "\u202eevil", "x" * 500])
def test_any_name_of_a_statistic_can_be_drawn(name: str) -> None:
    assert figures.evidence_figure([Statistic(name=name, value=2.0, null=[0.1, None, 0.2])])
    assert figures.losses_figure([LossPoint(step=step, parts={name: None if step else 1.0}) for step in range(3)])
