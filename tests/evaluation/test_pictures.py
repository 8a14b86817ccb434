"""Items of one picture are one cluster, wherever an interval is drawn."""

import inspect
from dataclasses import replace

import pytest
import torch

from auditor.evaluation import competence, scoring
from auditor.evaluation.pictures import pictures_of
from auditor.evaluation.scoring import Answers, benign_quality, quality_drop, recovery, recovery_against
from probes.sample import Sample
from probes.subject import Answer
from reports.record import Measure

PICTURES = torch.rand(12, 3, 4, 4, generator=torch.Generator().manual_seed(0))


def samples(copies: int) -> list[Sample]:
    """12 pictures with `copies` captions and `copies` questions each, every one with an id of its own."""
    made = []
    for number, picture in enumerate(PICTURES):
        for copy in range(copies):
            made.append(Sample(f"c{number}-{copy}", picture.clone(), "describe it.", (f"a cat number {number}",)))
            made.append(Sample(f"q{number}-{copy}", picture.clone(), "what?", ("yes",)))
    return made


def answers(asked: list[Sample], wrong: int) -> tuple[Answer, ...]:
    """Wrong on the first `wrong` pictures."""
    bad = set(pictures_of(samples(1))[: 2 * wrong])
    said = ["nothing" if picture in bad else s.answers[0] for s, picture in zip(asked, pictures_of(asked), strict=True)]
    return tuple(Answer(text, (1,), True, -0.1) for text in said)


def test_pictures_are_told_apart_by_what_they_show() -> None:
    one, other = samples(1)[0], samples(1)[2]
    renamed = replace(one, id="another", prompt="why?")
    assert pictures_of([one, renamed, other])[0] == pictures_of([renamed])[0] != pictures_of([other])[0]


def widths(copies: int) -> dict[str, float]:
    asked = samples(copies)
    before, after = Answers(answers(asked, 2), {}), Answers(answers(asked, 5), {})
    found: dict[str, Measure] = {
        **benign_quality(asked, after.clean, 1),
        **{f"drop_{name}": drop for name, drop in quality_drop(asked, before, after, 1).items()},
        "recovery": recovery(asked, after.clean, before.clean, 1),
        "recovery_against": recovery_against(asked, after.clean, before.clean, 1),
    }
    return {name: (m.high or 0.0) - (m.low or 0.0) for name, m in found.items() if name != "cider"}


def test_asking_about_a_picture_again_makes_no_interval_narrower() -> None:
    once, often = widths(1), widths(9)
    assert set(once) >= {"bleu4", "rouge_l", "vqa_accuracy", "drop_vqa_accuracy", "recovery", "recovery_against"}
    assert often == pytest.approx(once, rel=0.05)


def test_nobody_clusters_by_the_name_of_a_sample() -> None:
    for room in (scoring, competence):
        for line in inspect.getsource(room).splitlines():
            assert not ("cluster" in line and ".id" in line), line
