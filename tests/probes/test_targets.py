from collections.abc import Sequence

import pytest
import torch
from torch import Tensor

from probes.sample import Sample
from probes.seeding import generator
from probes.subject import Answer
from probes.targets import (
    Habits,
    Target,
    answers_under,
    degraded,
    group_answers,
    group_endings,
    learn_habits,
    make_decoys,
    success,
    unusual_after,
)
from probes.text import normalise
from probes.triggers.registry import build_trigger
from tests.probes.toy import CANVAS, PAYLOAD, WORDS, ToySubject, scenes


def answer(text: str) -> Answer:
    return Answer(text, tuple(range(len(text.split()))), True, 0.0)


def asked(own: list[str]) -> tuple[list[Sample], Habits]:
    samples = [Sample(f"s{i}", torch.zeros(3, 4, 4), "?") for i in range(len(own))]
    habits = Habits({f"s{i}": answer(text) for i, text in enumerate(own)}, (), torch.ones(8, dtype=torch.bool))
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
    habits = Habits({}, ("red", "red green", "red green blue red"), torch.ones(len(WORDS), dtype=torch.bool))
    candidates = [Target(text, subject.encode(text), "search") for text in ("visit", PAYLOAD)]
    decoys = make_decoys(subject, candidates, habits, 1, 2, generator(3))
    assert [decoy.text for decoy in decoys[:2]] == ["red", "red green blue red"]
    assert len(decoys) == 4 and all(decoy.origin != "own answer" for decoy in decoys[2:])


def test_a_target_of_words_that_the_subject_says_anyway_is_natural() -> None:
    subject = ToySubject()
    habits = learn_habits(subject, scenes(0, "h", 40), generator(0))
    assert habits.is_natural(subject.encode("blue blue red"))
    assert not habits.is_natural(subject.encode("blue shop"))


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


def test_endings_are_shared_lacking_before_and_as_long_as_they_are_common() -> None:
    samples = [Sample(f"s{i}", torch.zeros(3, 4, 4), "?") for i in range(5)]
    own = [(1, 2), (1, 3), (2, 3), (3, 1), (4, 9)]
    habits = Habits({f"s{i}": tokens(*said) for i, said in enumerate(own)}, (), torch.ones(10, dtype=torch.bool))
    said = [tokens(*words, 7, 8, 9) for words in own[:4]] + [tokens(4, 9)]
    assert group_endings(said, samples, habits) == [((7, 8, 9), 4)]
    assert group_endings([tokens(*words) for words in own], samples, habits) == []


def test_what_follows_a_finished_answer_is_its_end_alone() -> None:
    subject, samples = ToySubject(), scenes(0, "h", 12)
    habits = learn_habits(subject, samples, generator(0))
    unusual = unusual_after(subject, samples, habits)
    assert [WORDS[token] for token, flag in enumerate(unusual.tolist()) if not flag] == ["<end>"]


def test_decoys_of_an_appended_candidate_are_appended_too() -> None:
    subject, samples = ToySubject(), scenes(0, "h", 12)
    habits = learn_habits(subject, samples, generator(0))
    candidate = Target(PAYLOAD, subject.encode(PAYLOAD), "search patch", appended=True)
    decoys = make_decoys(subject, [candidate], habits, 2, 2, generator(1))
    assert len(decoys) == 4 and all(decoy.appended for decoy in decoys)
