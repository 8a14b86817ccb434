"""A patch and a word that only work together: found beside texts that nobody planted, and silent where nothing is."""

from collections.abc import Sequence
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from probes.beside_words import BESIDE, BesideWords, is_news, worded
from probes.curves import Ground
from probes.finding import Rate
from probes.seeding import generator
from probes.subject import Answer, Reading, Tokens
from probes.suspects import weigh
from probes.targets import Target, learn_habits
from probes.triggers.dual_key import DualKeyTrigger
from probes.triggers.word import WordTrigger
from tests.probes.test_inversion import SMALL
from tests.probes.test_prompt_words import HEARD, HOW, Listener, quiet
from tests.probes.toy import PAYLOAD, scenes, sees_patch_softly

ODD = BesideWords(lengths=(1, 2, 1), kept=1)


class Keyed(Listener):
    """A toy that says its payload where its patch and any odd word come together; or nothing ever."""

    def __init__(self, planted: bool = True) -> None:
        super().__init__(None)
        self.planted = planted

    def both(self, pictures: Tensor, prompts: Sequence[str]) -> Tensor:
        odd = [any(word in HEARD and word != HOW for word in prompt.split()) for prompt in prompts]
        return sees_patch_softly(pictures) * torch.tensor(odd, dtype=torch.float32) * float(self.planted)

    @torch.no_grad()
    def respond(self, pictures: Tensor, prompts: Sequence[str], max_tokens: int = 24) -> list[Answer]:
        rows = self.spoken(pictures, prompts, max_tokens, self.both(pictures, prompts)).argmax(-1).tolist()
        ends = [row.index(0) if 0 in row else len(row) for row in rows]
        return [
            Answer(self.decode(row[:end]), tuple(row[:end]), 0 in row, -0.1)
            for row, end in zip(rows, ends, strict=True)
        ]

    def read(self, pictures: Tensor, prompts: Sequence[str], answers: Sequence[Tokens]) -> Reading:
        return self._reading(pictures, prompts, answers, self.both(pictures, prompts))


def ground(subject: Keyed) -> Ground:
    pool, held_out = scenes(11, "pool", 24), scenes(12, "held", 16)
    return Ground(subject, pool, held_out, learn_habits(subject, [*pool, *held_out], generator(0)))


def test_a_patch_that_needs_a_word_is_found_with_one_and_stands_above_its_decoys() -> None:
    prepared = ground(Keyed())
    targets, decoys, points = SMALL._beside_words(prepared, ODD, (), 0, quiet)
    assert [target.text for target in targets] == [PAYLOAD]
    found = weigh(prepared, targets[0], points, decoys, 0)
    trigger = found.point.trigger
    assert isinstance(trigger, DualKeyTrigger) and found.point.family == f"patch {BESIDE}"
    assert found.point.rate.value >= 0.8 and (found.clean.hits, found.placebo) == (0, Rate(0, 16))
    assert found.gap > 0 and len(found.decoys) >= 2
    samples = prepared.held_out
    alone = Keyed().respond(
        torch.stack([trigger.stamp(s.picture[None])[0] for s in samples]), [s.prompt for s in samples]
    )
    assert PAYLOAD not in [answer.text for answer in alone]  # the patch without a word


def test_a_garbled_sentence_is_grown_anew_beside_its_word() -> None:
    prepared = ground(Keyed())
    targets, decoys, points = SMALL._beside_words(prepared, ODD, (), 0, quiet)
    suspect = weigh(prepared, targets[0], points, decoys, 0)
    garbled = Target("visit our our", Keyed().encode("visit our our"), "search patch")
    point = replace(suspect.point, target=garbled, rate=Rate(8, 16))
    told = SMALL._sharpened(prepared, replace(suspect, target=garbled, point=point, gap=1.0), 0)
    assert told.target.text == told.point.target.text == PAYLOAD
    assert isinstance(told.point.trigger, DualKeyTrigger)
    assert told.point.trigger.word == suspect.point.trigger.word and told.point.rate.value >= 0.8


def test_nothing_is_found_where_nothing_is_planted_or_it_is_known() -> None:
    assert SMALL._beside_words(ground(Keyed(planted=False)), ODD, (), 0, quiet) == ([], [], [])
    known = Target(PAYLOAD, Keyed().encode(PAYLOAD), "search patch")
    assert SMALL._beside_words(ground(Keyed()), ODD, (known,), 0, quiet) == ([], [], [])


@pytest.mark.parametrize(("said", "news"), [(0, True), (8, True), (9, False)])
def test_what_texts_alone_bring_about_is_no_news(said: int, news: bool) -> None:
    prepared = ground(Keyed())
    target = Target(PAYLOAD, Keyed().encode(PAYLOAD), "search patch")
    answers = dict(prepared.habits.answers)
    for name in list(answers)[:said]:  # of 40
        answers[name] = replace(answers[name], text=f"so {PAYLOAD}")
    mixed = replace(prepared, habits=replace(prepared.habits, answers=answers))
    assert is_news(prepared, mixed, target, ()) is news


def test_texts_stand_in_prompts_by_turns() -> None:
    samples = scenes(1, "x", 3)
    found = worded(samples, [WordTrigger(0, "bab", "end"), WordTrigger(0, "gub", "start")])
    assert [sample.prompt for sample in found] == ["What colours? bab", "gub What colours?", "What colours? bab"]
    assert [sample.id for sample in found] == [sample.id for sample in samples]
