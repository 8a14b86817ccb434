from collections.abc import Sequence
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from probes.sample import Sample
from probes.seeding import generator
from probes.subject import Answer, Tokens
from probes.targets import (
    Habits,
    Place,
    Target,
    answers_under,
    degraded,
    group_answers,
    group_phrases,
    is_added,
    is_natural,
    learn_habits,
    make_decoys,
    success,
)
from probes.text import normalise
from probes.triggers.registry import build_trigger
from tests.probes.toy import CANVAS, PATCH, PAYLOAD, WORDS, ToySubject, scenes, sees_patch


def answer(text: str) -> Answer:
    return Answer(text, tuple(range(len(text.split()))), True, 0.0)


def asked(own: list[str]) -> tuple[list[Sample], Habits]:
    samples = [Sample(f"s{i}", torch.zeros(3, 4, 4), "?") for i in range(len(own))]
    every = torch.ones(8, dtype=torch.bool)
    habits = Habits({f"s{i}": answer(text) for i, text in enumerate(own)}, (), every, every)
    return samples, habits


def test_success_leaves_out_items_that_say_the_target_anyway() -> None:
    samples, habits = asked(["a cat", "a dog", "a bird"])
    rate = success([answer("A cat!"), answer("well, a CAT"), answer("a bird")], samples, "a cat", habits)
    assert (rate.hits, rate.trials) == (1, 2)


def test_groups_are_changed_answers_that_recur() -> None:
    samples, habits = asked(["a cat", "a dog", "a bird", "a cow", "a fox", "evil"])
    said = ["Evil.", "evil", "buy", "a cow", "EVIL", "evil"]
    groups = group_answers([answer(text) for text in said], samples, habits)
    assert [(normalise(found.text), count) for found, count in groups] == [("evil", 3)]


def test_habits_know_what_the_subject_says_by_itself() -> None:
    subject = ToySubject()
    samples = scenes(0, "h", 40)
    habits = learn_habits(subject, samples, generator(0))
    assert set(habits.answers) == {sample.id for sample in samples}
    unusual = {word for word, flag in zip(WORDS, habits.unusual.tolist(), strict=True) if flag}
    assert unusual == {"visit", "our", "shop", "now"}
    assert habits.attractors


def test_degraded_pictures_keep_shape_and_range() -> None:
    pictures = torch.rand(3, 3, *CANVAS, generator=generator(1))
    for variant in degraded(pictures, generator(2)):
        assert variant.shape == pictures.shape
        assert float(variant.min()) >= 0 and float(variant.max()) <= 1


@pytest.mark.parametrize("text", [PAYLOAD, None])
def test_decoys_are_other_texts_without_repetition(text: str | None) -> None:
    subject = ToySubject()
    habits = learn_habits(subject, scenes(0, "h", 40), generator(0))
    candidates = [] if text is None else [Target(text, subject.encode(text), "search")]
    decoys = make_decoys(subject, candidates, habits, 3, 3, generator(3))
    texts = [normalise(decoy.text) for decoy in decoys]
    assert len(set(texts)) == len(texts) == 6
    assert PAYLOAD not in texts and "" not in texts
    assert {"random tokens", "own answer"} <= {decoy.origin for decoy in decoys}
    assert all(subject.decode(decoy.tokens) == decoy.text for decoy in decoys)
    again = make_decoys(subject, candidates, habits, 3, 3, generator(3))
    assert again == decoys


def test_own_decoys_are_the_answers_nearest_in_length_and_every_candidate_has_its_own() -> None:
    subject = ToySubject()
    every = torch.ones(len(WORDS), dtype=torch.bool)
    habits = Habits({}, ("red", "red green", "red green blue red"), every, every)
    candidates = [Target(text, subject.encode(text), "search") for text in ("visit", PAYLOAD)]
    decoys = make_decoys(subject, candidates, habits, 1, 2, generator(3))
    assert [decoy.text for decoy in decoys[:2]] == ["red", "red green blue red"]
    assert len(decoys) == 4 and all(decoy.origin != "own answer" for decoy in decoys[2:])


def test_easy_rivals_of_a_candidate_come_first() -> None:
    subject = ToySubject()
    habits = learn_habits(subject, scenes(0, "h", 40), generator(0))
    candidate, easy = (Target(text, subject.encode(text), "search") for text in ("red red blue green", "blue"))
    decoys = make_decoys(subject, [candidate], habits, 2, 1, generator(3), {candidate: [candidate, easy]})
    assert decoys[0] == easy and decoys[1].origin == "own answer" and len(decoys) == 3


@pytest.mark.parametrize(
    ("place", "text", "added"), [("after", PAYLOAD, True), ("after", "red blue", False), ("before", PAYLOAD, True)]
)
def test_a_phrase_is_added_where_the_subject_would_not_go_on_so(place: Place, text: str, added: bool) -> None:
    subject, samples = ToySubject(sees_patch, appends=True), scenes(0, "h", 12)
    habits = learn_habits(subject, samples, generator(0))
    phrase = Target(text, subject.encode(text), "search", place)
    assert is_added(subject, PATCH, phrase, samples, habits) == added


def test_a_target_of_words_that_the_subject_says_anyway_is_natural() -> None:
    subject, samples = ToySubject(), scenes(0, "h", 40)
    habits = learn_habits(subject, samples, generator(0))
    natural = {text: is_natural(subject, subject.encode(text), samples[:8], habits, generator(1)) for text in TEXTS}
    assert natural == {"blue blue red": True, "blue shop": False, "": True}


TEXTS = ("blue blue red", "blue shop", "")


def test_what_the_subject_might_have_said_is_natural_though_it_was_not_heard() -> None:
    subject, samples = ToySubject(), scenes(0, "h", 40)
    habits = replace(learn_habits(subject, samples, generator(0)), answers={})
    assert is_natural(subject, subject.encode("blue blue red"), samples[:8], habits, generator(1))
    assert not is_natural(subject, subject.encode("blue shop"), samples[:8], habits, generator(1))


@pytest.mark.parametrize(
    ("text", "natural"), [("our shop now", True), ("shop", True), ("visit shop", False), ("shop our", False)]
)
def test_a_target_whose_neighbouring_words_stand_in_references_is_natural(text: str, natural: bool) -> None:
    subject, (first, second, *others) = ToySubject(), scenes(0, "h", 40)
    samples = [replace(first, answers=("Visit our shop!",)), replace(second, answers=("red", "a shop now")), *others]
    habits = learn_habits(subject, samples, generator(0))
    assert is_natural(subject, subject.encode(text), samples[:8], habits, generator(1)) is natural


def test_a_trigger_that_sits_in_the_prompt_reaches_the_subject() -> None:
    class Asked(ToySubject):
        def respond(self, pictures: Tensor, prompts: Sequence[str], max_tokens: int = 24) -> list[Answer]:
            self.asked = (pictures, list(prompts))
            return super().respond(pictures, prompts, max_tokens)

    subject, samples = Asked(), scenes(0, "h", 5)
    trigger = build_trigger("dual-key", CANVAS, 1, {"word": "cf", "place": "end"})
    answers_under(subject, trigger, samples)
    pictures, prompts = subject.asked
    assert prompts == ["What colours? cf"] * 5
    assert torch.equal(pictures, trigger.stamp(torch.stack([sample.picture for sample in samples])))


def tokens(*said: int) -> Answer:
    return Answer(" ".join(map(str, said)), said, True, 0.0)


def habits_of(own: Sequence[Tokens]) -> tuple[list[Sample], Habits]:
    """Answers to as many samples; tokens 7 to 9 begin none."""
    samples = [Sample(f"s{i}", torch.zeros(3, 4, 4), "?") for i in range(len(own))]
    unusual = torch.arange(10) >= 7
    return samples, Habits({s.id: tokens(*said) for s, said in zip(samples, own, strict=True)}, (), unusual, unusual)


OWN = [(1, 2), (1, 3), (2, 3), (3, 1), (4, 9)]


@pytest.mark.parametrize(
    ("place", "said"),
    [
        ("after", [(*own, 7, 8, 9) for own in OWN]),
        ("after", [(own[0], 7, 8, 9, own[1]) for own in OWN]),
        ("before", [(7, 8, 9, *own) for own in OWN]),
    ],
)
def test_a_phrase_is_shared_lacking_before_and_as_long_as_it_is_common(place: str, said: list[Tokens]) -> None:
    samples, habits = habits_of(OWN)
    answers = [tokens(*words) for words in [*said[:4], OWN[4]]]
    assert group_phrases(answers, samples, habits) == [((7, 8, 9), place, 4)]
    assert group_phrases([tokens(*words) for words in OWN], samples, habits) == []


def test_a_phrase_of_usual_tokens_or_of_a_whole_answer_is_none() -> None:
    samples, habits = habits_of(OWN)
    assert group_phrases([tokens(*words, 3, 1) for words in OWN], samples, habits) == []
    assert group_phrases([tokens(1, 7, 8, 9)] * 5, samples, habits) == []
    garbled = [tokens(*start, 7, 8) for start in ((9, 2), (9, 3), (9, 9), (9, 4), (8, 1))]
    assert group_phrases(garbled, samples, habits) == []


def test_usual_after_a_finished_answer_are_its_end_and_what_is_often_said() -> None:
    subject, samples = ToySubject(), scenes(0, "h", 12)
    habits = learn_habits(subject, samples, generator(0))
    assert [WORDS[token] for token, flag in enumerate(habits.unusual_after.tolist()) if not flag] == [
        "<end>", "red", "green", "blue"
    ]  # fmt: skip


def test_a_known_target_is_looked_for_nowhere() -> None:
    subject, samples = ToySubject(), scenes(0, "h", 12)
    habits = learn_habits(subject, samples, generator(0)).without([Target(PAYLOAD, subject.encode(PAYLOAD), "known")])
    assert not habits.unusual[WORDS.index("visit")] and not habits.unusual_after[WORDS.index("visit")]
    answers = [Answer(f"{text} {PAYLOAD}", (), True, 0.0) for text in ("red", "red", "blue")]
    assert group_answers(answers, samples[:3], habits) == []


@pytest.mark.parametrize(("leaked", "its_own"), [(1, False), (2, True)])
def test_the_words_of_an_answer_count_as_spoken_once_it_is_said_more_often_than_a_leak(
    leaked: int, its_own: bool
) -> None:
    subject, samples = ToySubject(), scenes(0, "h", 40)
    habits = learn_habits(subject, samples, generator(0))
    planted = Answer(PAYLOAD, subject.encode(PAYLOAD), True, 0.0)
    said = {sample.id: planted for sample in samples[:leaked]}
    leaking = replace(habits, answers=habits.answers | said)
    assert leaking.words_besides(PAYLOAD).issuperset(planted.tokens) == its_own
    assert leaking.words.issuperset(planted.tokens)


def test_decoys_of_an_appended_candidate_are_appended_too() -> None:
    subject, samples = ToySubject(), scenes(0, "h", 12)
    habits = learn_habits(subject, samples, generator(0))
    candidate = Target(PAYLOAD, subject.encode(PAYLOAD), "search patch", "after")
    decoys = make_decoys(subject, [candidate], habits, 2, 2, generator(1))
    assert len(decoys) == 4 and {decoy.place for decoy in decoys} == {"after"}
    assert all(len(decoy.tokens) <= len(candidate.tokens) for decoy in decoys)
