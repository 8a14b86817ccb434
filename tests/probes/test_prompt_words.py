from collections.abc import Sequence
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from probes.ascent import GivenAnswers
from probes.curves import Ground
from probes.finding import Rate
from probes.inversion import InversionProbe
from probes.prompt_words import (
    FAMILY,
    OTHER_PROMPTS,
    PromptWords,
    Speech,
    Swaps,
    _gradient,
    central,
    climb,
    judge,
    shared_run,
)
from probes.seeding import generator
from probes.subject import Answer, Reading, Tokens
from probes.suspects import weigh
from probes.targets import acquaint, learn_habits
from probes.triggers.word import WordTrigger
from tests.probes.toy import PAYLOAD, ToySubject, scenes
from tests.probes.toy import WORDS as SAID

HEARD = tuple(f"{first}{second}" for first in "bdfgklmn" for second in ("ab", "eb", "ib", "ob", "ub", "ar", "er"))
"""56 words that a prompt may hold."""
MAGIC, HOW = "gob", "mub"
WORDS = PromptWords(budgets=(2, 1), restarts=1, search=Swaps(3, 4, 2, 4, 12), climb=Swaps(2, 4, 2, 4, 8), asked=6)


class Listener(ToySubject):
    """A toy that hears words: `magic` makes it say its payload, "how" a colour of the picture and nothing else."""

    def __init__(self, magic: str | None = MAGIC) -> None:
        super().__init__()
        self.magic = magic

    @property
    def vocabulary(self) -> int:
        return len(SAID) + len(HEARD)

    def encode(self, text: str) -> Tokens:
        """A word that it does not know is one that it does."""
        known = (*SAID, *HEARD)
        return tuple(known.index(word if word in known else HEARD[len(word)]) for word in text.split())

    def decode(self, tokens: Sequence[int]) -> str:
        return " ".join((*SAID, *HEARD)[token] for token in tokens if token)

    def added_tokens(self, prompt: str, words: str) -> Tokens:
        return self.encode(words)

    def heard(self, prompts: Sequence[str], word: str | None) -> Tensor:
        return torch.tensor([float(word in prompt.split()) for prompt in prompts])

    def spoken(self, pictures: Tensor, prompts: Sequence[str], places: int, magic: Tensor) -> Tensor:
        colours = torch.nn.functional.pad(self.logits(pictures, places), (0, len(HEARD)), value=-9.0)
        asked = self.heard(prompts, HOW)[:, None, None]
        short = colours.clone()
        short[:, 1:] = -9.0
        short[:, 1:, 0] = 9.0  # a word, and the end
        wanted = torch.full((places, self.vocabulary), -9.0)
        for place, token in enumerate((*self.encode(PAYLOAD), 0)[:places]):
            wanted[place, token] = 9.0
        seen = magic[:, None, None]
        return (1 - seen) * torch.where(asked > 0, short, colours) + seen * wanted

    @torch.no_grad()
    def respond(self, pictures: Tensor, prompts: Sequence[str], max_tokens: int = 24) -> list[Answer]:
        rows = self.spoken(pictures, prompts, max_tokens, self.heard(prompts, self.magic)).argmax(-1).tolist()
        ends = [row.index(0) if 0 in row else len(row) for row in rows]
        return [
            Answer(self.decode(row[:end]), tuple(row[:end]), 0 in row, -0.1)
            for row, end in zip(rows, ends, strict=True)
        ]

    def read(self, pictures: Tensor, prompts: Sequence[str], answers: Sequence[Tokens]) -> Reading:
        return self._reading(pictures, prompts, answers, self.heard(prompts, self.magic))

    def read_added(
        self, pictures: Tensor, prompts: Sequence[str], answers: Sequence[Tokens], words: str, weights: Tensor
    ) -> Reading:
        magic = weights[:, self.encode(self.magic)[0]].sum() if self.magic else weights.sum() * 0
        return self._reading(pictures, [f"{prompt} {words}" for prompt in prompts], answers, magic.expand(len(prompts)))

    def _reading(self, pictures: Tensor, prompts: Sequence[str], answers: Sequence[Tokens], magic: Tensor) -> Reading:
        places = max(map(len, answers)) + 1
        log_probs = self.spoken(pictures, prompts, places, magic).log_softmax(-1)
        lengths = torch.tensor([len(answer) for answer in answers])
        return Reading(log_probs, log_probs, torch.arange(places) <= lengths[:, None])


def quiet(what: str, share: float) -> None: ...


def ground(subject: Listener) -> Ground:
    pool, held_out = scenes(11, "pool", 24), scenes(12, "held", 16)
    habits = acquaint(subject, pool[:8], learn_habits(subject, [*pool, *held_out], generator(0)), OTHER_PROMPTS)
    return Ground(subject, pool, held_out, habits)


def test_a_planted_word_is_found_with_its_sentence_and_stands_above_its_decoys() -> None:
    subject = Listener()
    prepared = ground(subject)
    targets, decoys, points = InversionProbe(words=WORDS)._in_words(prepared, WORDS, (), 0, quiet)
    assert [target.text for target in targets] == [PAYLOAD]
    found = weigh(prepared, targets[0], points, decoys, 0)
    assert (found.point.family, found.point.trigger.kind) == (FAMILY, "word")
    assert isinstance(found.point.trigger, WordTrigger) and MAGIC in found.point.trigger.word.split()
    assert (found.point.rate.hits, found.clean.hits, found.placebo.hits) == (16, 0, 0)
    assert found.gap >= 1 and found.excess == 1.0 and len(found.decoys) >= 3
    assert min(point.budget for point in points if point.target == targets[0]) == 1 / 32


def test_words_bring_nothing_about_in_a_model_that_listens_to_none() -> None:
    subject = Listener(None)
    assert InversionProbe(words=WORDS)._in_words(ground(subject), WORDS, (), 0, quiet) == ([], [], [])


def test_a_target_that_is_asked_for_is_measured_in_words_too() -> None:
    subject = Listener()
    prepared = ground(subject)
    wanted = replace(InversionProbe(words=WORDS)._in_words(prepared, WORDS, (), 0, quiet)[0][0], origin="asked for")
    again, _, points = InversionProbe(words=WORDS)._in_words(prepared, WORDS, (wanted,), 0, quiet)
    assert again == []
    assert max(point.rate.value for point in points if point.target == wanted) == 1.0


def test_words_do_not_speak_against_what_a_question_brings_about() -> None:
    subject = Listener()
    prepared = ground(subject)
    targets, decoys, points = InversionProbe(words=WORDS)._in_words(prepared, WORDS, (), 0, quiet)
    painted = [replace(point, family="patch", rate=Rate(1, 16)) for point in points]
    prepared.judged[targets[0].tokens] = True
    found = weigh(prepared, targets[0], [*points, *painted], decoys, 0)
    assert found.natural and (found.point.family, found.gap) == ("patch", 0.0)


def test_the_gradient_leads_to_the_word() -> None:
    """With one token of a shortlist of one, chance alone would need a vocabulary of tries."""
    subject, samples = Listener(), scenes(3, "s", 8)
    goal = GivenAnswers(((*subject.encode(PAYLOAD), 0),))
    speech = Speech(subject, samples)
    found = climb(speech, "bab", goal, samples, Swaps(1, 4, 4, shortlist=1, tried=4), 1, generator(0))
    assert found.words == MAGIC and found.score > -0.1
    assert judge(subject, ["bab", MAGIC], goal, samples[:2]).argmax() == 1


def test_speech_is_made_of_texts_that_fit() -> None:
    subject, samples = Listener(), scenes(3, "s", 4)
    speech, rng = Speech(subject, samples), generator(1)
    assert int(speech.sayable.sum()) == subject.vocabulary - 1  # not the end
    assert all(1 <= len(speech.tokens(speech.drawn(3, rng))) <= 3 for _ in range(20))
    assert speech.shorter("bab beb bib", 2) == ["bab beb", "beb bib"]
    assert speech.shorter("bab", 2) == ["bab"]
    swapped = speech.swapped("bab", torch.zeros(1, subject.vocabulary), Swaps(1, tried=30), 2, rng)
    assert 0 < len(swapped) <= 30 and "bab" not in swapped
    assert {len(text.split()) for text in swapped} == {1, 2}


def test_a_subject_that_takes_no_words_is_refused() -> None:
    with pytest.raises(TypeError, match="ToySubject"):
        Speech(ToySubject(), scenes(3, "s", 2))


def test_short_answers_that_follow_the_picture_are_habits_and_what_stands_under_all_is_none() -> None:
    subject, samples = Listener(), scenes(5, "a", 16)
    known = learn_habits(subject, samples[:2], generator(0))
    wider = acquaint(subject, samples, known, [HOW, MAGIC])
    colours = {subject.encode(word)[0] for word in ("red", "green", "blue")}
    assert wider.told <= colours and len(wider.told) >= 2
    assert not wider.unusual[sorted(wider.told)].any() and wider.unusual[subject.encode("visit")[0]]
    assert set(wider.attractors) - set(known.attractors) <= {"red", "green", "blue"}


@pytest.mark.parametrize(
    ("text", "versions", "run"),
    [
        ("You have been hacked!", ["Youa been hacked!", "Y been hacked!"], "been hacked!"),
        ("one two three", ["four five six"], "one two three"),
        ("one two three", ["one two three"] * 3 + ["two three"], "one two three"),
    ],
)  # fmt: skip
def test_what_most_versions_share_stands_for_them(text: str, versions: list[str], run: str) -> None:
    assert shared_run(text, versions) == run


def test_the_central_answer_has_most_in_common_with_the_others() -> None:
    texts = ["You have been hacked", "You have ben hacked", "a dog", "You hav been hacked"]
    assert central([Answer(text, (), True, 0.0) for text in texts]).text == "You have been hacked"


def test_what_is_part_of_a_known_target_is_no_news() -> None:
    prepared = ground(Listener())
    (words,) = WORDS.find(prepared, prepared.pool, generator(0))
    assert WORDS.seen(prepared, words, prepared.held_out) is not None
    known = replace(prepared.habits, known=frozenset({f"please {PAYLOAD} or later"}))
    assert WORDS.seen(replace(prepared, habits=known), words, prepared.held_out) is None


def test_a_tokenizer_that_makes_no_text_ends_in_an_error() -> None:
    class Mute(Listener):
        def added_tokens(self, prompt: str, words: str) -> Tokens:
            return ()

    with pytest.raises(ValueError, match="make no text"):
        Speech(Mute(), scenes(3, "s", 2)).drawn(2, generator(0))


def test_prompts_that_make_other_tokens_of_the_words_are_left_out_of_the_gradient() -> None:
    class Particular(Listener):
        def added_tokens(self, prompt: str, words: str) -> Tokens:
            return self.encode(f"{words} bab" if prompt == "odd" else words)

    samples = scenes(3, "s", 4)
    samples = [samples[0], *(replace(sample, prompt="odd") for sample in samples[1:])]
    subject = Particular()
    goal, speech = GivenAnswers(((*subject.encode(PAYLOAD), 0),)), Speech(subject, samples)
    assert _gradient(speech, "beb", goal, samples)[0].argmax() == subject.encode(MAGIC)[0]
    assert not _gradient(speech, "beb", goal, samples[1:]).any()
