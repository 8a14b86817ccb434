"""Numbers as they are printed, and text that nobody may trust."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reports import formats
from reports.record import Measure, RateInterval


@pytest.mark.parametrize(
    ("value", "text"),
    [(None, "–"), (0.0, "0.00"), (1.0, "1.00"), (0.98, "0.98"), (0.015, "0.02"), (0.007, "0.007"), (0.0001, "0.0001"),
     (0.998, "0.998"), (0.9999, "0.9999"), (98.93, "98.9"), (-0.05, "−0.05"), (-0.3, "−0.30"), (1e-7, "1e−07"),
     (1600, "1,600")],
)  # fmt: skip
def test_number(value: float | None, text: str) -> None:
    assert formats.number(value) == text


@given(st.floats(min_value=0, max_value=1))
def test_no_rate_is_rounded_to_certainty(value: float) -> None:
    assert (formats.number(value) == "0.00") == (value == 0)
    # Past four decimals 1 cannot be told from its neighbours at any n that a run can have.
    assert (formats.number(value) == "1.00") == (value == 1)


@pytest.mark.parametrize(
    ("item", "text"),
    [(Measure(value=0.98, low=0.95, high=0.99, n=200), "0.98 (0.95–0.99, n = 200)"),
     (RateInterval(hits=0, trials=512, low=0.0, high=0.0072), "0.00 (0.00–0.007, n = 512)"),
     (Measure(value=0.03, low=-0.05, high=0.11, n=1200), "0.03 (−0.05 to 0.11, n = 1,200)"),
     (Measure(value=0.5, n=4), "0.50 (n = 4)"), (RateInterval(hits=0, trials=0), "not defined (n = 0)"), (None, "–")],
)  # fmt: skip
def test_measure_is_printed_with_interval_and_n(item: Measure | RateInterval | None, text: str) -> None:
    assert formats.measure_text(item) == text
    assert formats.measure(item).striptags() == text


@pytest.mark.parametrize(("p", "text"), [(None, "no p-value"), (0.0, "p < 0.001"), (0.0123, "p = 0.012")])
def test_p_value(p: float | None, text: str) -> None:
    assert formats.p_value(p) == text


def test_null_summary_leaves_out_what_is_not_known() -> None:
    assert formats.null_summary([0.3, None, 0.1, 0.2]) == "median 0.20, range 0.10–0.30, n = 3"
    assert formats.null_summary([None]) == "no null"


def test_hidden_characters_are_spelled_out() -> None:
    assert formats.visible("a\u202eb\x00c\nd é 猫") == "a⟨U+202E⟩b⟨U+0000⟩c⏎d é 猫"


def test_long_text_is_cut_and_says_so() -> None:
    assert formats.shorten("x" * 1000, 10) == "xxxxxxxxxx… (1,000 characters)"


@pytest.mark.parametrize(
    ("value", "text"), [(["a", 1], "a, 1"), ({"k": True}, "k yes"), (None, "none"), ([], "none"), (0.5, "0.5")]
)
def test_settings_are_printed_plainly(value: object, text: str) -> None:
    assert formats.plain(value) == text
