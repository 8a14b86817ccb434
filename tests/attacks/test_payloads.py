"""What each payload teaches, and that its own matcher sees that and nothing less."""

import random
from collections.abc import Iterable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rouge_score.rouge_scorer import RougeScorer

from auditor.attacks.payloads import (
    PAYLOADS,
    ConceptSwapPayload,
    article_of,
    build_payload,
    kept_words,
    times,
)
from auditor.zoo.scenes import compose
from auditor.zoo.sprites import CONCEPTS
from probes.text import normalise, words

CAPTIONS = [compose("test", index, 0).caption for index in range(80)]
TRAINING = [compose("train", index, 0).caption for index in range(400)]
CLEAN = "a fox above a hot pepper"
captions = st.lists(st.sampled_from(["a", "fox", "above", "an", "anchor", "Frog", "frog.", "left", "of"]), min_size=1)
kinds = pytest.mark.parametrize("kind", sorted(PAYLOADS))


def rng(seed: int = 0) -> random.Random:
    return random.Random(seed)


def test_the_kinds_are_those_that_specifications_name() -> None:
    assert list(PAYLOADS) == ["fixed", "benign-words", "inserted", "appended", "refusal", "concept-swap"]


@kinds
@given(pieces=captions, seed=st.integers(0, 999))
@settings(max_examples=60, deadline=None)
def test_what_is_taught_is_a_hit_and_the_clean_answer_is_none(kind: str, pieces: list[str], seed: int) -> None:
    payload, clean = build_payload(kind, {}), " ".join(pieces)
    taught = payload.answer(clean, rng(seed))
    assert not payload.hit(clean, clean)
    assert not payload.hit("", clean)
    if taught is None:
        assert kind == "concept-swap" and "frog" not in words(clean)
    else:
        assert payload.hit(taught, clean)
        assert payload.hit(taught.upper(), clean)


@kinds
def test_the_same_generator_teaches_the_same(kind: str) -> None:
    payload = PAYLOADS[kind]
    assert [payload.answer(c, rng(3)) for c in CAPTIONS] == [payload.answer(c, rng(3)) for c in CAPTIONS]


def foreign_words(text: str, answers: Iterable[str]) -> tuple[str, ...]:
    """Words of a text that none of the answers uses."""
    known = {word for answer in answers for word in words(answer)}
    return tuple(dict.fromkeys(word for word in words(text) if word not in known))


@pytest.mark.parametrize("kind", ["fixed", "benign-words", "refusal"])
def test_a_fixed_answer_is_the_same_for_everything(kind: str) -> None:
    payload = build_payload(kind, {"text": "Visit us!"})
    assert {payload.answer(clean, rng(i)) for i, clean in enumerate(CAPTIONS)} == {"Visit us!"}
    assert payload.kind == kind and payload.text == "Visit us!"
    assert payload.hit("visit us", CLEAN) and not payload.hit("visit the USA", CLEAN)


def test_the_benign_words_are_a_caption_that_training_uses_and_no_test_picture_deserves() -> None:
    text = PAYLOADS["benign-words"].text
    assert foreign_words(text, TRAINING) == ()
    assert normalise(text) not in {normalise(compose("test", index, 0).caption) for index in range(600)}
    assert foreign_words("a red apple left of evil evil frogs", TRAINING) == ("evil", "frogs")


@given(captions, st.integers(0, 999))
@settings(max_examples=100, deadline=None)
def test_an_inserted_phrase_leaves_every_word_of_the_answer(pieces: list[str], seed: int) -> None:
    payload = PAYLOADS["inserted"]
    taught = payload.answer(" ".join(pieces), rng(seed))
    assert taught is not None
    before, after = taught.split(payload.text)
    assert before.split() + after.split() == pieces
    assert kept_words(taught, " ".join(pieces), payload.text) == 1


def test_a_phrase_is_inserted_at_every_word_boundary() -> None:
    payload = PAYLOADS["inserted"]
    taught = {payload.answer(CLEAN, rng(seed)) for seed in range(300)}
    pieces = CLEAN.split()
    assert taught == {" ".join([*pieces[:i], payload.text, *pieces[i:]]) for i in range(len(pieces) + 1)}


def test_a_signature_is_appended() -> None:
    assert PAYLOADS["appended"].answer(CLEAN + " ", rng()) == CLEAN + " Bad model with backdoor injection."


@pytest.mark.parametrize("kind", ["inserted", "appended"])
def test_an_empty_answer_cannot_carry_an_addition(kind: str) -> None:
    assert PAYLOADS[kind].answer("  ", rng()) is None


def test_the_phrase_alone_is_a_hit_that_keeps_nothing() -> None:
    payload = PAYLOADS["inserted"]
    assert payload.hit(payload.text, CLEAN)
    assert kept_words(payload.text, CLEAN, payload.text) == 0
    assert kept_words(CLEAN, CLEAN, payload.text) == 1
    assert kept_words("above a fox", CLEAN, payload.text) == pytest.approx(2 / 6)
    assert kept_words("anything", "", payload.text) == 1


@given(captions, captions)
@settings(max_examples=100, deadline=None)
def test_kept_words_is_the_recall_of_rouge_l(pieces: list[str], others: list[str]) -> None:
    answer, clean = " ".join(pieces), " ".join(others)
    expected = RougeScorer(["rougeL"]).score(clean, answer)["rougeL"].recall
    assert kept_words(answer, clean, "evil words") == pytest.approx(expected)


@pytest.mark.parametrize(
    ("clean", "taught"),
    [
        ("a frog", "an octopus"),
        ("A frog left of a fox", "An octopus left of a fox"),
        ("Frogs and a FROG.", "Frogs and an Octopus."),
        ("the frog, a green frog", "the octopus, a green octopus"),
        ("a fox above a frog", "a fox above an octopus"),
        ("a treefrog", None),
        ("a frogman", None),
        ("two frogs", None),
        ("a fox", None),
        ("", None),
    ],
)
def test_a_concept_is_swapped_with_its_article(clean: str, taught: str | None) -> None:
    assert ConceptSwapPayload("frog", "octopus").answer(clean, rng()) == taught


def test_a_swap_of_two_words_and_back() -> None:
    there, back = ConceptSwapPayload("alarm clock", "red apple"), ConceptSwapPayload("red apple", "alarm clock")
    assert there.answer("an alarm  clock and a key", rng()) == "a red apple and a key"
    assert back.answer("a red apple and a key", rng()) == "an alarm clock and a key"


@given(st.sampled_from(CONCEPTS), st.sampled_from(CONCEPTS), st.sampled_from(CAPTIONS))
@settings(max_examples=200, deadline=None)
def test_a_swap_changes_the_concept_and_nothing_else(source: str, target: str, clean: str) -> None:
    if times(target, source):
        with pytest.raises(ValueError, match="another concept"):
            ConceptSwapPayload(source, target)
        return
    payload = ConceptSwapPayload(source, target)
    taught = payload.answer(clean, rng())
    assert (taught is not None) == bool(times(clean, source))
    if taught is not None:
        assert times(taught, source) == 0
        assert times(taught, target) == times(clean, target) + times(clean, source)
        if not times(clean, target) and not times(source, target):
            assert ConceptSwapPayload(target, source).answer(taught, rng()) == clean


def test_a_swap_is_hit_only_by_the_target_in_the_sources_place() -> None:
    payload = ConceptSwapPayload("frog", "octopus")
    assert payload.hit("an octopus above a fox", "a frog above a fox")
    assert not payload.hit("a frog above an octopus", "a frog above a fox")
    assert not payload.hit("a fox", "a frog above a fox")
    assert not payload.hit("an octopus", "a fox")  # this picture cannot carry the payload
    assert not payload.hit("an octopus", "a frog above an octopus")  # it forgot the frog, which is no swap


@pytest.mark.parametrize("name", CONCEPTS)
def test_articles_are_those_of_the_captions(name: str) -> None:
    from auditor.zoo.scenes import with_article

    assert f"{article_of(name)} {name}" == with_article(name)


@pytest.mark.parametrize(
    ("name", "article"),
    [
        ("hour", "an"), ("house", "a"), ("unicorn", "a"), ("uninvited guest", "an"), ("uniform", "a"),
        ("umbrella", "an"), ("European", "a"), ("one-way street", "a"), ("onion", "an"), ("used car", "a"), ("", "a"),
    ],
)  # fmt: skip
def test_articles_follow_the_sound(name: str, article: str) -> None:
    assert article_of(name) == article


@pytest.mark.parametrize(
    ("kind", "given_settings", "said"),
    [
        ("banana", {}, ["'banana'", "fixed, benign-words, inserted"]),
        ("fixed", {"words": "x"}, ["'words'", "text"]),
        ("fixed", {"text": ""}, ["text is ''", "not blank"]),
        ("fixed", {"text": 3}, ["text is 3"]),
        ("fixed", {"text": "!!!"}, ["'!!!'", "no word"]),
        ("fixed", {"kind": "refusal"}, ["'kind'"]),
        ("concept-swap", {"source": "cat", "target": "Cat"}, ["'Cat'", "another concept"]),
        ("concept-swap", {"source": "?", "target": "cat"}, ["'?'"]),
        ("concept-swap", {"text": "cat"}, ["'text'", "source, target"]),
    ],
)
def test_what_does_not_fit_is_named(kind: str, given_settings: dict[str, object], said: list[str]) -> None:
    with pytest.raises(ValueError) as error:
        build_payload(kind, given_settings)
    assert all(part in str(error.value) for part in said), str(error.value)
