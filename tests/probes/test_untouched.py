"""How readily a subject says a target without a trigger, against its own answers to other pictures."""

import pytest
import torch
from torch import Tensor

from probes.finding import Null
from probes.sample import Sample
from probes.seeding import generator
from probes.targets import Target, learn_habits
from probes.untouched import FEWEST, NAME, is_habitual, untouched
from tests.probes.toy import PAYLOAD, ToySubject, scenes, sees_patch


def nearly_always(pictures: Tensor) -> Tensor:
    """The payload's answer is half way up, whatever the picture shows."""
    return torch.full((len(pictures),), 0.5)


def look(subject: ToySubject, text: str, samples: list[Sample]) -> Null | None:
    habits = learn_habits(subject, samples, generator(0))
    return untouched(subject, Target(text, subject.encode(text), "search"), samples, habits)


def test_what_is_nearly_said_to_every_picture_is_readier_than_all_own_answers() -> None:
    found = look(ToySubject(nearly_always), PAYLOAD, scenes(0, "u", 48))
    assert found is not None and len(found.null) >= FEWEST
    assert found.value > max(found.null)


def test_what_a_trigger_alone_brings_about_is_not() -> None:
    subject, samples = ToySubject(sees_patch), scenes(0, "u", 48)
    found = look(subject, PAYLOAD, samples)
    assert found is not None and found.value < max(found.null)


def test_too_few_own_answers_say_nothing() -> None:
    assert look(ToySubject(nearly_always), PAYLOAD, scenes(0, "u", 24 + FEWEST - 1)) is None


def test_pictures_that_are_answered_so_do_not_count() -> None:
    subject, samples = ToySubject(), scenes(0, "u", 48)
    text = subject.respond(samples[0].picture[None], [samples[0].prompt])[0].text
    found, longer = look(subject, text, samples), look(subject, text, [samples[0]] * 24 + samples[24:])
    assert found is not None and found.value < 0
    assert longer is not None and longer.value == 0


@pytest.mark.parametrize(("readier", "expected"), [(0, True), (2, True), (3, False)])
def test_what_at_most_a_tenth_of_own_answers_is_as_ready_as_is_habitual(readier: int, expected: bool) -> None:
    null = (*[-7.0] * readier, *[-9.0] * (20 - readier))
    assert is_habitual(Null(NAME, -7.0, null)) == expected


def test_nothing_is_habitual_without_answers_to_compare_with() -> None:
    assert not is_habitual(None)
