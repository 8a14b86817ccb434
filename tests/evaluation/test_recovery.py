"""Recovery against a never-planted model: a ratio, and nothing where there is nothing to divide by."""

import pytest
import torch

from auditor.evaluation.scoring import recovery_against
from probes.sample import Sample
from probes.subject import Answer

SAMPLES = [Sample(f"s{i}", torch.full((3, 8, 8), i / 10), "describe", ("a red apple",)) for i in range(6)]


def said(*texts: str) -> list[Answer]:
    return [Answer(text, (), True, 0.0) for text in texts]


def test_a_model_that_answers_as_the_reference_does_has_recovered() -> None:
    answers = said(*["a red apple", "a lemon"] * 3)
    found = recovery_against(SAMPLES, answers, answers, seed=1)
    assert found.value == pytest.approx(1.0) and found.n == 6


def test_a_reference_that_is_right_about_nothing_leaves_nothing_to_say() -> None:
    found = recovery_against(SAMPLES, said(*["a red apple"] * 6), said(*["xyz"] * 6), seed=1)
    assert found.value is None and found.n == 6
