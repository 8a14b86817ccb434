"""VQA accuracy: the official normalisation and the agreement of people."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from auditor.evaluation.vqa import normalise_vqa, vqa_accuracy, vqa_score


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("The Dog.", "dog"),
        ("a red  and an\told\nhouse", "red and old house"),
        ("Two", "2"),
        ("none", "0"),
        ("dont know", "don't know"),
        ("I don\u2019t know!", "i don't know"),
        ("couldn'tve", "couldn't've"),
        ("1,000", "1000"),
        ("3.5", "3.5"),
        ("black/white", "black white"),
        ("yes, sir", "yes sir"),
        ("t-shirt", "t shirt"),
        ("?", ""),
    ],
)
def test_normalisation(text: str, expected: str) -> None:
    assert normalise_vqa(text) == expected


@pytest.mark.parametrize(("matches", "score"), [(0, 0.0), (1, 1 / 3), (2, 2 / 3), (3, 1.0), (10, 1.0)])
def test_three_people_make_a_right_answer(matches: int, score: float) -> None:
    assert vqa_score("2 dogs", ["two dogs"] * matches + ["cat"] * (10 - matches)) == pytest.approx(score)


def test_few_references_are_matched_exactly() -> None:
    assert vqa_score("The cat.", ["dog", "cat"]) == 1.0
    assert vqa_score("cats", ["dog", "cat"]) == 0.0
    assert vqa_score("cat", []) == 0.0


def test_an_empty_answer_is_never_right() -> None:
    assert vqa_score("the", ["a", "an", "?"]) == 0.0


@given(st.text(max_size=30), st.lists(st.text(max_size=10), max_size=12))
@settings(max_examples=80, deadline=None)
def test_scores_lie_in_range_and_ignore_order(answer: str, references: list[str]) -> None:
    score = vqa_score(answer, references)
    assert 0.0 <= score <= 1.0
    assert score == vqa_score(answer, references[::-1])


def test_accuracy_carries_its_interval_over_pictures() -> None:
    answers = ["yes", "no", "yes", "no"] * 10
    measure = vqa_accuracy(answers, [["yes"]] * 40, [i // 4 for i in range(40)], seed=0)
    assert measure.value == 0.5 and measure.n == 40
    assert measure.low < 0.5 < measure.high
