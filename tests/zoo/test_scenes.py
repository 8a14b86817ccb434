import numpy as np
import pytest

from auditor.zoo.embedded import embedded_samples, samples_digest
from auditor.zoo.scenes import SIDE, Scene, Split, Thing, compose, is_held_out, with_article, write_caption
from auditor.zoo.sprites import CONCEPTS, HELD_OUT_VENDOR

SEED = 3


def several(split: Split, count: int = 60) -> list[Scene]:
    return [compose(split, index, SEED) for index in range(count)]


def pairs(scene: Scene) -> list[bool]:
    concepts = [thing.concept for thing in scene.things]
    return [is_held_out(a, b) for i, a in enumerate(concepts) for b in concepts[i + 1 :]]


def test_a_held_out_pair_is_never_trained_on_and_always_tested_on() -> None:
    assert not any(held_out for scene in several("train") for held_out in pairs(scene))
    tested = [pairs(scene) for scene in several("test") if len(scene.things) > 1]
    assert tested and all(any(found) for found in tested)


def test_about_a_seventh_of_all_pairs_is_held_out_in_either_order() -> None:
    count = len(CONCEPTS)
    held_out = [is_held_out(a, b) for a in range(count) for b in range(a)]
    assert 0.11 <= sum(held_out) / len(held_out) <= 0.17
    assert all(is_held_out(a, b) == is_held_out(b, a) for a in range(0, count, 5) for b in range(a))


def test_only_the_vendor_split_shows_the_held_out_vendor() -> None:
    assert {thing.vendor for scene in several("vendor", 20) for thing in scene.things} == {HELD_OUT_VENDOR}
    for split in ("train", "test"):
        assert HELD_OUT_VENDOR not in {thing.vendor for scene in several(split, 20) for thing in scene.things}


@pytest.mark.parametrize("split", ["train", "test", "vendor"])
def test_the_same_arguments_give_the_same_pixels(split: Split) -> None:
    first, again, other = compose(split, 4, SEED), compose(split, 4, SEED), compose(split, 4, SEED + 1)
    assert first.picture.shape == (SIDE, SIDE, 3) and first.picture.dtype == np.uint8
    assert np.array_equal(first.picture, again.picture)
    assert (first.things, first.caption, first.questions) == (again.things, again.caption, again.questions)
    assert not np.array_equal(first.picture, other.picture)


def test_captions_and_questions_say_what_is_there() -> None:
    for scene in several("test"):
        names = [with_article(thing.name) for thing in scene.things]
        positions = [scene.caption.index(name) for name in names]
        assert positions == sorted(positions)
        asked = dict(scene.questions)
        assert asked.pop("how many things are there?") == ("one", "two", "three")[len(names) - 1]
        assert list(asked.values()) == names
        assert not any(question.startswith("is there") for question in asked)


@pytest.mark.parametrize(
    ("places", "between", "question"),
    [(((0, 20), (30, 20)), "left of", "on the left"), (((20, 0), (20, 30)), "above", "at the top")],
)
def test_two_things_are_named_by_how_they_lie(
    places: tuple[tuple[int, int], tuple[int, int]], between: str, question: str
) -> None:
    things = tuple(Thing(number, 0, left, top, 20) for number, (left, top) in enumerate(places))
    first, second = (with_article(thing.name) for thing in things)
    assert write_caption(things) == f"{first} {between} {second}"
    found = [scene for scene in several("test") if between in scene.caption]
    assert found
    for scene in found:
        assert dict(scene.questions)[f"what is {question}?"] == with_article(scene.things[0].name)


def test_things_lie_in_the_picture_apart_from_each_other() -> None:
    for scene in several("test"):
        covered = np.zeros((SIDE, SIDE), dtype=int)
        for thing in scene.things:
            covered[thing.top : thing.top + thing.side, thing.left : thing.left + thing.side] += 1
        assert covered.max() == 1
        assert covered.sum() == sum(thing.side**2 for thing in scene.things)


def test_embedded_samples_are_a_caption_and_a_question_of_every_scene() -> None:
    samples = embedded_samples(5, SEED)
    assert [sample.id.rsplit("-", 1)[1] for sample in samples] == ["caption", "question"] * 5
    for index, (captioned, questioned) in enumerate(zip(samples[::2], samples[1::2], strict=True)):
        scene = compose("test", index, SEED)
        assert captioned.answers == (scene.caption,)
        assert (questioned.prompt, questioned.answers[0]) in scene.questions
    assert samples_digest(samples) == samples_digest(embedded_samples(5, SEED))
    assert samples_digest(samples) != samples_digest(embedded_samples(5, SEED + 1))
