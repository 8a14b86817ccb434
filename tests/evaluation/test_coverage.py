"""Coverage is counted from the answers: an empty answer is an error, an unasked sample is skipped."""

import torch

from auditor.evaluation.scoring import coverage
from probes.sample import Sample
from probes.subject import Answer


def test_every_planned_sample_ends_ok_error_or_skipped() -> None:
    planned = [Sample(name, torch.zeros(3, 2, 2), "what?") for name in ("said", "empty", "broken", "unasked")]
    answers = {
        "said": Answer("a star", (1, 2), True, -0.1),
        "empty": Answer("", (), True, 0.0),
        "broken": Answer("a star", (1, 2), True, float("nan")),
    }
    found = coverage(planned, answers)
    assert (found.planned, found.ok, found.error, found.skipped) == (4, 1, 2, 1)
