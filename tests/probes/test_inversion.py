from collections.abc import Callable
from dataclasses import replace
from itertools import cycle

import pytest
import torch

from probes.ascent import Climb, PatchFamily
from probes.candidates import Candidate, runners_up
from probes.confirmation import confirm
from probes.curves import BudgetCurve, Ground, Point, gap
from probes.finding import Rate
from probes.inversion import InversionProbe
from probes.seeding import generator
from probes.suspects import Searched, weigh
from probes.targets import Place, Target, learn_habits
from tests.probes.toy import PATCH, PAYLOAD, ToySubject, scenes, sees_blend, sees_frame, sees_patch_softly

SMALL = InversionProbe(
    additive=(0.1,),
    patch=(0.25,),
    restarts=2,
    search=Climb(steps=40, pictures=4, enough=-0.2),
    growth=Climb(steps=3, pictures=4),
    growth_restarts=1,
    longest=5,
    screen=Climb(steps=15, pictures=4),
    curve=BudgetCurve(Climb(steps=10, pictures=4), Climb(steps=30, pictures=4, enough=-0.1)),
    candidates=2,
    grown=0,
    own_decoys=1,
    made_up_decoys=2,
    decoded=10,
)
SEED = 5


def search(detector: Callable[[torch.Tensor], torch.Tensor] | None, wanted: list[Target] | None = None) -> Searched:
    pool, held_out = scenes(11, "pool", 24), scenes(12, "held", 16)
    return SMALL.measure(ToySubject(detector), pool, held_out, SEED, lambda what, share: None, wanted or [])


@pytest.fixture(scope="module")
def patch_search() -> Searched:
    return search(sees_patch_softly)


def test_a_planted_patch_is_found_with_its_target(patch_search: Searched) -> None:
    worst = patch_search.suspects[0]
    assert worst.target.text == PAYLOAD
    assert worst.excess >= 0.8
    assert worst.gap > 0
    assert (worst.point.family, worst.point.trigger.kind) == ("patch", "patch")
    assert worst.clean.hits == worst.placebo.hits == 0
    assert worst.point.rate.trials == 16
    assert [answer.text for answer in worst.point.examples] == [PAYLOAD] * 3


def test_the_planted_target_ranks_above_every_decoy(patch_search: Searched) -> None:
    worst = patch_search.suspects[0]
    assert len(worst.decoys) == len(patch_search.decoys) >= 3
    assert max(rate.value for rate in worst.decoys) * 2 < worst.point.rate.value
    assert PAYLOAD not in [decoy.text for decoy in patch_search.decoys]


def test_the_answer_under_the_recovered_trigger_is_steadier_than_under_decoys(patch_search: Searched) -> None:
    subject = ToySubject(sees_patch_softly)
    null = confirm(subject, patch_search, patch_search.suspects[0], scenes(12, "held", 16)[:4], SEED)
    assert null.value >= 0
    assert len(null.null) >= 1


def test_a_planted_blend_is_found_with_its_target() -> None:
    worst = search(sees_blend).suspects[0]
    assert worst.target.text == PAYLOAD
    assert worst.excess >= 0.5
    assert worst.point.family == "additive"


def test_a_frame_that_no_patch_and_no_perturbation_is_like_is_found() -> None:
    found = search(sees_frame)
    worst = found.suspects[0]
    assert (worst.target.text, worst.target.origin) == (PAYLOAD, "search frame")
    assert worst.excess >= 0.8 and worst.gap >= 1
    assert (worst.point.family, worst.point.trigger.kind) == ("frame", "frame")
    assert worst.clean.hits == worst.placebo.hits == 0
    assert len(worst.decoys) >= 3
    assert {point.family for point in found.points if point.target == worst.target} == {"frame"}


def test_a_target_that_is_known_is_held_against_its_own_decoys_under_a_frame() -> None:
    subject = ToySubject()
    wanted = Target(PAYLOAD, subject.encode(PAYLOAD), "asked for")
    found = search(sees_frame, [wanted])
    assert [target.text for target in found.candidates].count(PAYLOAD) == 1
    framed = [point.target for point in found.points if point.family == "frame"]
    assert framed.count(wanted) == len(SMALL.frame) and set(framed) == {wanted, *found.decoys}
    assert found.suspects[0].point.trigger.kind == "frame"


def test_own_words_are_not_looked_for_under_a_frame() -> None:
    pool, held_out = scenes(11, "pool", 24), scenes(12, "held", 16)
    subject = ToySubject(sees_frame, payload="green green green green")
    wanted = Target(subject.payload, subject.encode(subject.payload), "asked for")
    for asked in ([], [wanted]):
        found = SMALL.measure(subject, pool, held_out, SEED, lambda what, share: None, asked)
        assert {point.family for point in found.points} == {"additive", "patch"}


def test_an_honest_subject_gives_no_suspect() -> None:
    found = search(None)
    assert [suspect.target.text for suspect in found.suspects if suspect.excess >= 0.2] == []
    assert {point.family for point in found.points} == {"additive", "patch"}  # nothing was heard under a frame


def test_a_wanted_target_is_measured_even_if_nothing_brings_it_about() -> None:
    subject = ToySubject()
    wanted = Target(PAYLOAD, subject.encode(PAYLOAD), "asked for")
    found = search(None, [wanted])
    rates = [point.rate for point in found.points if point.target == wanted]
    assert [rate.hits for rate in rates] == [0] * len(rates)
    assert {point.family for point in found.points if point.target == wanted} == {"additive", "patch", "frame"}
    assert found.candidates.count(wanted) == 1


def test_an_appended_payload_is_found() -> None:
    pool, held_out = scenes(11, "pool", 24), scenes(12, "held", 16)
    subject = ToySubject(sees_patch_softly, appends=True)
    found = SMALL.measure(subject, pool, held_out, SEED, lambda what, share: None)
    worst = found.suspects[0]
    assert (worst.target.text, worst.target.place) == (PAYLOAD, "after")
    assert worst.excess >= 0.8 and worst.gap > 0 and worst.point.family == "patch"
    assert all(answer.text.endswith(PAYLOAD) and answer.text != PAYLOAD for answer in worst.point.examples)
    assert any(decoy.place == "after" for decoy in found.decoys)


@pytest.mark.parametrize(("gap_found", "expected"), [(1.0, PAYLOAD), (0.2, "visit our our")])
def test_a_garbled_target_that_stands_out_is_grown_anew_from_its_own_trigger(
    patch_search: Searched, gap_found: float, expected: str
) -> None:
    pool, held_out = scenes(11, "pool", 24), scenes(12, "held", 16)
    subject, suspect = ToySubject(sees_patch_softly), patch_search.suspects[0]
    ground = Ground(subject, pool, held_out, patch_search.habits)
    garbled = Target("visit our our", subject.encode("visit our our"), "search patch")
    point = replace(suspect.point, target=garbled, rate=Rate(8, 16))
    told = SMALL._sharpened(ground, replace(suspect, target=garbled, point=point, gap=gap_found), SEED)
    assert told.target.text == told.point.target.text == expected
    assert told.gap == gap_found and told.point.rate.value >= point.rate.value
    assert all(answer.text == PAYLOAD for answer in told.point.examples)


def test_a_sentence_of_own_words_under_a_patch_is_grown_where_that_is_asked_for() -> None:
    own, pool, held_out = "green blue red green", scenes(11, "pool", 24), scenes(12, "held", 16)
    subject = ToySubject(sees_patch_softly, payload=own)
    grows = replace(SMALL, grown=1, begun=3, growth=Climb(steps=8, pictures=4))
    found = grows.measure(subject, pool, held_out, SEED, lambda what, share: None)
    suspect = next(suspect for suspect in found.suspects if suspect.target.text == own)
    assert suspect.natural and suspect.point.family == "patch" and suspect.point.rate.value >= 0.8
    assert len(found.candidates) <= SMALL.candidates + 1


def test_an_own_answer_counts_only_where_nothing_else_is_said() -> None:
    pool, held_out = scenes(11, "pool", 24), scenes(12, "held", 16)
    subject = ToySubject(lambda pictures: torch.ones(len(pictures)), payload="red red red red")
    ground = Ground(subject, pool, held_out, learn_habits(ToySubject(), pool + held_out, generator(SEED)))
    part_of_it = Target("red red", subject.encode("red red"), "search patch")
    family = PatchFamily(0.25)
    for whole, expected in ((False, 1.0), (True, 0.0)):
        curve = replace(SMALL.curve, whole=whole)
        points = curve.measure(ground, [family], [], [part_of_it], generator(SEED))
        assert points[0].rate.value == expected


def test_no_phrase_is_found_where_nothing_is_appended() -> None:
    pool, held_out = scenes(11, "pool", 24), scenes(12, "held", 16)
    found = SMALL.measure(ToySubject(), pool, held_out, SEED, lambda what, share: None)
    assert not [suspect for suspect in found.suspects if suspect.target.place != "alone" and suspect.excess > 0]


def test_what_the_subject_may_say_itself_is_held_against_what_else_came_up() -> None:
    pool, held_out = scenes(11, "pool", 24), scenes(12, "held", 16)
    subject = ToySubject()
    habits = learn_habits(subject, pool, generator(SEED))
    ground = Ground(subject, pool, held_out, habits)
    texts = ("red red red red", PAYLOAD, "blue green blue green", "red red red blue")
    natural, planted, other, near = (Target(text, subject.encode(text), "search patch") for text in texts)
    found = [Candidate(target, 0.5, None) for target in (natural, planted, near, other)]
    easy = runners_up(ground, [natural, planted], found)
    assert {target.text: [rival.text for rival in rivals] for target, rivals in easy.items()} == {
        natural.text: [other.text]
    }


def test_a_whole_answer_is_not_held_against_phrases() -> None:
    pool, held_out = scenes(11, "pool", 24), scenes(12, "held", 16)
    subject = ToySubject()
    ground = Ground(subject, pool, held_out, learn_habits(subject, pool + held_out, generator(SEED)))
    planted = Target(PAYLOAD, subject.encode(PAYLOAD), "search patch")
    whole, phrase = (Target(text, subject.encode(text), "own answer", place) for text, place in RIVALS)
    points = [Point(t, "patch", 0.25, Rate(hits, 16), PATCH) for t, hits in ((planted, 16), (whole, 1), (phrase, 16))]
    suspect = weigh(ground, planted, points, [whole, phrase], SEED)
    assert suspect.decoys == (Rate(1, 16),) and suspect.excess == 1.0 and suspect.gap > 0


def test_the_gap_counts_half_for_what_is_nearly_said_untouched() -> None:
    pool, held_out = scenes(11, "pool", 48), scenes(12, "held", 16)
    subject = ToySubject(lambda pictures: torch.full((len(pictures),), 0.5))
    habits = learn_habits(subject, pool + held_out, generator(SEED))
    target, decoy = Target(PAYLOAD, subject.encode(PAYLOAD), "search"), Target(*RIVAL)
    points = [Point(t, "patch", 0.25, Rate(hits, 16), PATCH) for t, hits in ((target, 16), (decoy, 1))]
    silent = [answer for answer in habits.answers.values() if not set(answer.tokens) & set(target.tokens)]
    habits = replace(habits, answers=dict(zip(habits.answers, cycle(silent), strict=False)))  # none says such a word
    whole = gap(points, target, [decoy], "patch")
    for told, counted in ((frozenset(target.tokens), whole / 2), (frozenset(), whole)):  # its own words, and a leak
        ground = Ground(subject, pool, held_out, replace(habits, told=told))
        suspect = weigh(ground, target, points, [decoy], SEED)
        assert (suspect.natural, suspect.habitual, suspect.gap) == (True, bool(told), counted)
    assert whole > 0


RIVAL = ("red red red red", (1, 1, 1, 1), "own answer")
RIVALS: tuple[tuple[str, Place], ...] = (("red red red red", "alone"), ("red red", "before"))
