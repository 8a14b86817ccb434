import copy
import math
from dataclasses import replace
from typing import cast

import pytest
import torch
from torch import Tensor

from auditor.checkpoint.subject import CheckpointSubject
from auditor.errors import InconclusiveError, UsageError
from auditor.repair import adversary
from auditor.repair.adversary import Adversary, Recovered, largest, said_before
from auditor.repair.loop import Aside, Repaired, Schedule, rate_for, repair, seed_everything_else
from auditor.repair.material import Material, draw, prepare
from auditor.repair.methods import METHODS, Editing, Finetune, Guided, Learning, Method, Pcr, Stamp
from auditor.repair.methods.lesson import Lesson
from auditor.repair.variation import vary
from probes.ascent import NO_LEADS, Climb, Population
from probes.prompt_words import Swaps
from probes.sample import Sample
from probes.seeding import generator
from probes.smooth import SmoothFamily
from probes.subject import Answer, Reading
from probes.triggers import AdditiveTrigger, PatchTrigger, Trigger, badnets
from probes.triggers.border import BorderTrigger
from probes.triggers.dual_key import DualKeyTrigger
from probes.triggers.registry import build_trigger
from probes.triggers.word import WordTrigger

PATCH = Recovered(badnets((56, 56), 8, 3), "evil words")
NOISE = AdditiveTrigger(0.1 * (torch.rand(3, 56, 56, generator=generator(1)) * 2 - 1), 0.1)
DELTA = Recovered(NOISE, "evil words")
ONE_STEP = Schedule(steps=1, copies=1, batch=3, refresh=0)


def weights(subject: CheckpointSubject) -> dict[str, Tensor]:
    return {name: value.detach().clone() for name, value in subject.model.state_dict().items()}


def changed(before: dict[str, Tensor], after: dict[str, Tensor]) -> set[str]:
    assert before.keys() == after.keys()
    return {name for name, value in after.items() if not torch.equal(value, before[name])}


def run(
    subject: CheckpointSubject, method: Method, schedule: Schedule, samples: list[Sample], seed: int = 0,
    recovered: tuple[Recovered, ...] = (PATCH,),
) -> Repaired:  # fmt: skip
    return repair(subject, method, schedule, samples, recovered, seed)


def test_every_method_is_known_by_its_name_and_learns_or_edits() -> None:
    for name, method in METHODS.items():
        assert method().name == name
        assert isinstance(method(), Learning | Editing)


@pytest.mark.parametrize("name", sorted(name for name, method in METHODS.items() if isinstance(method(), Learning)))
def test_one_step_of_every_method_that_learns_changes_every_part(
    subject: CheckpointSubject, samples: list[Sample], name: str
) -> None:
    before = weights(subject)
    done = run(subject, METHODS[name](), ONE_STEP, samples)
    moved = changed(before, weights(subject))
    for part in ("language_model", "multi_modal_projector", "vision_tower"):
        assert any(part in entry for entry in moved)
    assert done.steps == 1 and len(done.losses) == 1 and done.seconds > 0
    assert all(value == value for value in done.losses[0][1].values())
    assert all(bool(value.isfinite().all()) for value in weights(subject).values())


def test_only_the_named_parts_are_trained_and_flags_come_back(
    subject: CheckpointSubject, samples: list[Sample]
) -> None:
    before, flags = weights(subject), [p.requires_grad for p in subject.model.parameters()]
    run(subject, Finetune(), Schedule(steps=1, batch=3, refresh=0, parts=("projector",)), samples)
    assert changed(before, weights(subject))
    assert all("multi_modal_projector" in name for name in changed(before, weights(subject)))
    assert [p.requires_grad for p in subject.model.parameters()] == flags


def test_fine_tuning_learns_the_answers(subject: CheckpointSubject, samples: list[Sample]) -> None:
    taught = [replace(sample, answers=("nothing at all",)) for sample in samples]
    done = run(subject, Finetune(), Schedule(steps=10, batch=4, refresh=0, rate=2e-3), taught)
    assert done.losses[-1][1]["answer"] < done.losses[0][1]["answer"] - 0.5


def test_the_same_seed_gives_the_same_weights(subject: CheckpointSubject, samples: list[Sample]) -> None:
    twins = [
        CheckpointSubject(copy.deepcopy(subject.model), subject.preprocessor, subject.writer, subject.end_tokens, 4)
        for _ in range(3)
    ]
    schedule, few = Schedule(steps=2, copies=1, batch=2, refresh=2, refresh_steps=1), samples[:3]
    torch.manual_seed(1)
    run(twins[0], Guided(), schedule, few, seed=4)
    torch.manual_seed(2)
    run(twins[1], Guided(), schedule, few, seed=4)
    run(twins[2], Guided(), schedule, few, seed=5)
    assert not changed(weights(twins[0]), weights(twins[1]))
    assert changed(weights(twins[0]), weights(twins[2]))


def test_guided_without_triggers_is_refused_before_anything_happens(
    subject: CheckpointSubject, samples: list[Sample]
) -> None:
    before = weights(subject)
    with pytest.raises(UsageError, match="guided") as error:
        run(subject, Guided(), ONE_STEP, samples, recovered=())
    assert "pcr" in error.value.todo
    assert not changed(before, weights(subject))


def test_weights_in_16_bits_are_trained_through_adapters_alone(
    subject: CheckpointSubject, samples: list[Sample]
) -> None:
    subject.model.to(torch.bfloat16)
    before = weights(subject)
    with pytest.raises(UsageError, match="16 bits") as error:
        run(subject, Finetune(), ONE_STEP, samples)
    assert error.value.got == "bfloat16" and "--lora-rank" in error.value.todo
    assert not changed(before, weights(subject))
    seed_everything_else(0)
    done = run(subject, Finetune(), Schedule(steps=1, batch=3, refresh=0, lora_rank=2, rate=1e-2), samples)
    assert done.steps == 1 and changed(before, weights(subject))


@pytest.mark.parametrize(
    ("width", "rank", "rate"),
    [(128, 0, 1.5e-4), (4096, 0, 4.6875e-6), (4096, 8, 1.265625e-4), (64, 0, 3e-4), (8, 0, 1e-3), (128, 8, 1e-3)],
)
def test_the_learning_rate_falls_with_the_width_unless_one_is_named(
    subject: CheckpointSubject, width: int, rank: int, rate: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(subject.model.config.get_text_config(), "hidden_size", width)
    assert rate_for(subject, Schedule(lora_rank=rank)) == pytest.approx(rate)
    assert rate_for(subject, Schedule(lora_rank=rank, rate=0.25)) == 0.25


@pytest.mark.parametrize(
    ("missing", "expected", "pressed"),
    [("", [1e-3], 0), ("longer", [1e-3, 1e-3], 0), ("harder", [1e-3, 2e-3], 1)],
)
def test_what_is_missing_after_the_steps_is_learned_once_more_and_harder_where_the_backdoor_lives(
    subject: CheckpointSubject,
    samples: list[Sample],
    missing: str,
    expected: list[float],
    pressed: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rates: list[float] = []
    presses: list[Adversary] = []
    step = torch.optim.AdamW.step
    monkeypatch.setattr("auditor.repair.loop.what_is_missing", lambda *about: missing)
    monkeypatch.setattr(Adversary, "press", lambda self: presses.append(self))
    monkeypatch.setattr(
        torch.optim.AdamW, "step", lambda self: (rates.append(self.param_groups[0]["lr"]), step(self))[1]
    )
    done = run(subject, Guided(), Schedule(steps=1, copies=1, batch=3, refresh=0, rate=1e-3), samples)
    assert rates == pytest.approx(expected)
    assert done.steps == len(done.losses) == len(expected) and len(presses) == pressed


@pytest.mark.parametrize(("recovered", "path"), [((PATCH,), [0.7, 1.0]), ((PATCH, DELTA), [1.0])])
def test_guided_goes_back_where_only_patches_were_recovered(
    subject: CheckpointSubject, samples: list[Sample], recovered: tuple[Recovered, ...], path: list[float]
) -> None:
    schedule = Schedule(steps=1, copies=1, batch=3, refresh=1, refresh_steps=1)
    done = run(subject, Guided(), schedule, samples[:4], recovered=recovered)
    assert sorted(step.share for step in done.path) == path
    assert all(0 <= share <= 1 for step in done.path for share in (step.kept, step.restored))


def test_guided_does_not_go_back_where_a_new_search_would_find_the_target(
    subject: CheckpointSubject, samples: list[Sample], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("auditor.repair.loop.is_found_again", lambda *about: True)
    schedule = Schedule(steps=1, copies=1, batch=3, refresh=1, refresh_steps=1)
    assert run(subject, Guided(), schedule, samples[:4], recovered=(PATCH,)).path[0].share == 1.0


@pytest.mark.parametrize("method", [Pcr(), Finetune()], ids=lambda method: method.name)
def test_methods_that_need_no_triggers_do_without(
    subject: CheckpointSubject, samples: list[Sample], method: Method
) -> None:
    done = run(subject, method, ONE_STEP, samples, recovered=())
    assert (done.steps, done.path) == (1, ())


def test_adapters_are_merged_and_leave_no_trace(subject: CheckpointSubject, samples: list[Sample]) -> None:
    before, flags = weights(subject), [p.requires_grad for p in subject.model.parameters()]
    seed_everything_else(0)
    run(subject, Finetune(), Schedule(steps=2, batch=3, refresh=0, lora_rank=2, parts=("language",)), samples)
    moved = changed(before, weights(subject))
    assert moved and all("language_model" in name for name in moved)
    assert not any("lora" in name for name in subject.model.state_dict())
    assert [p.requires_grad for p in subject.model.parameters()] == flags


@pytest.mark.parametrize("rank", [0, 2])
def test_a_loop_that_breaks_off_leaves_no_adapters_and_no_flags(
    subject: CheckpointSubject, samples: list[Sample], rank: int
) -> None:
    before, flags = weights(subject), [p.requires_grad for p in subject.model.parameters()]

    def interrupted(step: int, parts: dict[str, float]) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        repair(subject, Finetune(), Schedule(steps=2, batch=3, lora_rank=rank), samples, (), 0, Aside(interrupted))
    assert subject.model.state_dict().keys() == before.keys()
    assert [p.requires_grad for p in subject.model.parameters()] == flags


def test_a_model_that_never_ends_an_answer_cannot_be_held_to_anything(
    subject: CheckpointSubject, samples: list[Sample], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(subject, "_end_tokens", frozenset())
    with pytest.raises(InconclusiveError, match="ends none") as error:
        prepare(subject, samples[:2], max_tokens=2)
    assert error.value.exit_code == 3


def test_variations_stay_triggers_of_the_canvas() -> None:
    pictures = torch.rand(1, 3, 56, 56, generator=generator(2))
    rng = generator(3)
    frame = BorderTrigger(torch.rand(3, 56, 56, generator=rng), 1 / 14)
    for given in (PATCH.trigger, DELTA.trigger, frame):
        varied = [vary(given, (56, 56), rng) for _ in range(40)]
        assert any(trigger is given for trigger in varied)
        assert any(trigger is not given for trigger in varied)
        for trigger in varied:
            stamped = trigger.stamp(pictures)
            assert stamped.shape == pictures.shape
            assert float(stamped.min()) >= 0 and float(stamped.max()) <= 1
            if isinstance(trigger, BorderTrigger):
                assert 0.5 <= trigger.budget / frame.budget <= 1.5
            if isinstance(trigger, PatchTrigger):
                side = trigger.pattern.shape[-1]
                assert 0 <= trigger.top <= 56 - side and 0 <= trigger.left <= 56 - side


def test_words_are_varied_in_place_and_wording() -> None:
    rng, trigger = generator(3), WordTrigger(0, "open sesame", "end")
    varied = [cast(WordTrigger, vary(trigger, (56, 56), rng)) for _ in range(60)]
    assert {item.place for item in varied} == {"random", "start", "end"}
    assert 15 < sum(item.word != trigger.word for item in varied) * 2 < 45
    assert all(len(item.word) == len(trigger.word) for item in varied)


def test_an_adversary_finds_other_words_and_stays_in_the_prompt(
    subject: CheckpointSubject, samples: list[Sample], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(adversary, "SWAPS", Swaps(steps=1, pictures=2, judged=2, tried=4))
    known = Recovered(WordTrigger(0, "open left", "end"), "evil words")
    against = Adversary(subject, [known], prepare(subject, samples[:4]), steps=1, seed=0)
    for turn in range(2):
        against.refresh(turn)
    climbed = [stamp.trigger for stamp in against.stamps[1:]]
    assert [trigger.kind for trigger in climbed] == ["word", "word"]
    assert all(len(subject.added_tokens("what?", cast(WordTrigger, trigger).word)) <= 4 for trigger in climbed)
    assert cast(WordTrigger, climbed[0]).word != cast(WordTrigger, climbed[1]).word
    assert not any(stamp.trigger.budget > stamp.readable for stamp in against.stamps[:1])


@pytest.mark.parametrize("picture", [PATCH.trigger, NOISE], ids=lambda trigger: trigger.kind)
def test_what_works_beside_a_word_is_climbed_and_varied_beside_it(
    subject: CheckpointSubject, samples: list[Sample], picture: Trigger
) -> None:
    heard: list[str] = []
    both = DualKeyTrigger(picture, WordTrigger(0, "gob", "end"))
    against = Adversary(subject, [Recovered(both, "evil words")], prepare(subject, samples[:4]), steps=1, seed=0)
    read = subject.read
    subject.read = lambda p, prompts, answers: (heard.extend(prompts), read(p, prompts, answers))[1]  # type: ignore[method-assign, assignment, func-returns-value]
    for turn in range(2):
        against.refresh(turn)
    assert heard and all(prompt.endswith(" gob") for prompt in heard)
    stamps = [(stamp, cast(DualKeyTrigger, stamp.trigger)) for stamp in against.stamps]
    assert all(trigger.kind == "dual-key" and trigger.word.word == "gob" for _, trigger in stamps)
    assert stamps[0][0].readable >= 1.6 * max(picture.budget, 0.1)
    assert all(s.readable < 0.2 for s, trigger in stamps[1:] if trigger.picture.kind == "additive")
    rng = generator(4)
    varied = [cast(DualKeyTrigger, vary(both, (56, 56), rng)) for _ in range(40)]
    assert 2 < sum(item.word.word != "gob" for item in varied) < 25
    assert any(item.picture is not picture for item in varied)


def test_words_are_unlearned_and_the_way_back_attacks_with_words(
    subject: CheckpointSubject, samples: list[Sample], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(adversary, "SWAPS", Swaps(steps=1, pictures=2, judged=2, tried=4))
    schedule = Schedule(steps=1, copies=1, batch=3, refresh=1, refresh_steps=1)
    recovered = Recovered(WordTrigger(0, "open left", "end"), "evil")
    done = run(subject, Guided(), schedule, samples[:4], recovered=(recovered,))
    assert sorted(step.share for step in done.path) == [0.7, 1.0]
    assert all(step.asked > 0 and step.asked % 2 == 0 for step in done.path)  # recovered words and climbed ones


@pytest.mark.parametrize(("said", "follows"), [("a red cat evil words", True), ("Evil words!", False), ("no", False)])
def test_a_target_is_refreshed_after_what_it_follows(
    subject: CheckpointSubject, samples: list[Sample], monkeypatch: pytest.MonkeyPatch, said: str, follows: bool
) -> None:
    material = prepare(subject, samples[:4])
    monkeypatch.setattr(adversary, "answers_under", lambda *asked: [Answer(said, (), True, 0.0)] * 4)
    leads = said_before(subject, PATCH, material)
    answers = zip(material.samples, material.own, strict=True)
    assert leads == ({sample.id: own[:-1] for sample, own in answers} if follows else {})


def test_smooth_perturbations_are_of_the_grids_that_can_draw_what_is_looked_for(
    subject: CheckpointSubject, samples: list[Sample], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(adversary, "GRIDS", ((2, 2), (1, 4), (4, 1)))
    monkeypatch.setattr(adversary, "NEAREST", 1)
    upright = {(1, 4): -0.1}

    def ascended(subject: object, start: Population, *asked: object) -> Population:
        assert isinstance(start.family, SmoothFamily)
        return replace(start, score=torch.full((len(start.values),), upright.get(start.family.grid, -2.0)))

    monkeypatch.setattr(adversary, "ascend", ascended)
    found = adversary.smoothed(subject, DELTA, NO_LEADS, samples, 0)
    assert len(found) == adversary.SMOOTH + 1
    for trigger in found:
        assert isinstance(trigger, AdditiveTrigger)
        torch.testing.assert_close(trigger.delta, trigger.delta[:, :1].expand_as(trigger.delta))  # stripes


def test_an_adversary_climbs_one_trigger_a_target_and_kind_within_larger_budgets(
    subject: CheckpointSubject, samples: list[Sample], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(adversary, "GRIDS", ((2, 2), (1, 4), (4, 1)))
    small = Recovered(AdditiveTrigger(NOISE.delta / 4, 0.025), "evil words")
    other = Recovered(small.trigger, "other words")
    assert largest([small, DELTA, PATCH, other]) == [DELTA, PATCH, other]
    against = Adversary(subject, [small, DELTA, PATCH], prepare(subject, samples[:4]), steps=1, seed=0)
    assert [stamp.trigger for stamp in against.stamps[:2]] == [DELTA.trigger, PATCH.trigger]
    smooth = against.stamps[2:]
    assert [(stamp.trigger.kind, stamp.trigger.budget) for stamp in smooth] == [
        ("additive", adversary.WIDEST["additive"])
    ] * (adversary.NEAREST * (adversary.SMOOTH + 1))
    assert all(stamp.trigger.budget <= stamp.readable and stamp.forbidden == smooth[0].forbidden for stamp in smooth)
    found = []
    for turn in range(4):
        against.refresh(turn)
        found += [stamp.trigger for stamp in against.stamps[-3:]]
    assert [trigger.budget for trigger in found[::3]] == pytest.approx([0.2, 0.3, 0.15, 0.2])
    assert {trigger.budget for trigger in found[1::3]} == {PATCH.trigger.budget}
    assert [trigger.kind for trigger in found[2::3]] == ["additive", "patch", "additive", "patch"]
    assert [trigger.budget for trigger in found[2::3]] == pytest.approx([0.2, 0.25, 0.15, 0.25])
    assert len(against.stamps) == 2 + len(smooth) + against.strength.kept
    for trigger in [stamp.trigger for stamp in against.stamps[2:]]:
        if isinstance(trigger, AdditiveTrigger):
            assert float(trigger.delta.abs().max()) <= trigger.budget + 1e-6


def test_patches_elsewhere_may_hide_what_is_asked_about(subject: CheckpointSubject, samples: list[Sample]) -> None:
    """They are not to be seen through; and a target that begins as own answers do is forbidden as a whole."""
    material = prepare(subject, samples[:4])
    begun = subject.decode(material.own[0][:2])
    against = Adversary(subject, [PATCH, replace(DELTA, target=f"{begun} {begun}")], material, steps=1, seed=0)
    there = replace(cast(PatchTrigger, PATCH.trigger), pattern=1 - cast(PatchTrigger, PATCH.trigger).pattern)
    against.smooth, against.climbed = [], [(0, there), (0, replace(there, top=0, left=0)), (1, there)]
    first, additive, again, moved, unknown = against.stamps
    assert [stamp.readable > 0.25 for stamp in (first, again, moved, unknown)] == [True, True, False, False]
    assert additive.readable > 0.1
    assert first.forbidden == subject.encode("evil words")[:2]
    assert additive.forbidden == subject.encode(f"{begun} {begun}") and len(additive.forbidden) > 2


def test_a_pressed_adversary_places_several_patches_and_frames_each_time(
    subject: CheckpointSubject, samples: list[Sample], monkeypatch: pytest.MonkeyPatch
) -> None:
    climbs: list[int] = []
    monkeypatch.setattr(adversary, "Climb", lambda steps, pictures: (climbs.append(steps), Climb(1, 2))[1])
    against = Adversary(subject, [PATCH], prepare(subject, samples[:4]), steps=5, seed=0)
    against.press()
    climbs.clear()
    found = []
    for turn in (0, 1):
        against.refresh(turn)
        found.append([stamp.trigger for stamp in against.stamps])
    assert [[trigger.kind for trigger in stamps] for stamps in found] == [
        ["patch", "patch", "additive", *["patch"] * 3, "frame", "frame"],
        ["patch", "additive", *["patch"] * 3, "frame", "frame", "patch", *["patch"] * 3, "frame", "frame"],
    ]
    places = [(patch.top, patch.left) for patch in found[0][3:6] if isinstance(patch, PatchTrigger)]
    assert len(set(places)) == 3
    assert sorted(climbs) == [4, 4, *[10] * 7]  # the choice of places, and twice five steps for the rest
    for turn in range(2, 6):
        against.refresh(turn)
    assert len(against.stamps) == 1 + against.strength.kept == 13


def test_own_words_are_pressed_without_frames(
    subject: CheckpointSubject, samples: list[Sample], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(adversary, "Climb", lambda steps, pictures: Climb(1, 2))
    material = prepare(subject, samples[:4])
    own = replace(PATCH, target=subject.decode(material.own[0]))
    against = Adversary(subject, [own], material, steps=5, seed=0)
    against.press()
    against.refresh(1)
    assert {stamp.trigger.kind for stamp in against.stamps} == {"patch"}


@pytest.mark.parametrize(("item", "stays"), [(PATCH, False), (DELTA, True), (replace(DELTA, recovered=False), False)])
def test_what_lies_over_the_whole_picture_is_pressed_with_smooth_perturbations_too(
    subject: CheckpointSubject, samples: list[Sample], item: Recovered, stays: bool
) -> None:
    against = Adversary(subject, [item], prepare(subject, samples[:4]), steps=1, seed=0)
    smooth = against.smooth
    against.press()
    assert smooth and against.smooth == (smooth if stays else [])


def test_a_trigger_in_the_prompt_is_unlearned_where_it_sits(samples: list[Sample]) -> None:
    class Read(Exception):
        pass

    class Listening:
        canvas = (56, 56)

        def read(self, pictures: Tensor, prompts: list[str], answers: list[tuple[int, ...]]) -> None:
            raise Read(prompts)

    pictures, trigger = torch.stack([s.picture for s in samples[:4]]), {"word": "cf", "place": "end"}
    lesson = Lesson(
        numbers=[0, 1, 2, 3], rngs=[generator(row) for row in range(4)], pictures=pictures, others=pictures,
        prompts=[f"{s.prompt} {row}" for row, s in enumerate(samples[:4])], own=[()] * 4, references=[()] * 4,
        teacher=torch.zeros(4, 1, 1), entropy=0.0, sight=None,
        stamps=[Stamp(build_trigger("word", (56, 56), 1, trigger), (), False, 1.0)],
    )  # fmt: skip
    with pytest.raises(Read) as stopped:
        Guided().loss(cast(CheckpointSubject, Listening()), lesson)
    (prompts,) = stopped.value.args
    assert prompts[:4] == lesson.prompts
    stamped, asked = prompts[4:], (*lesson.prompts, *lesson.prompts[::2])
    assert [len(prompt.split()) for prompt in stamped] == [len(prompt.split()) + 1 for prompt in asked]
    assert any(prompt == f"{own} cf" for prompt, own in zip(stamped, asked, strict=True))  # as it was recovered
    assert all(set(own.split()) <= set(prompt.split()) for prompt, own in zip(stamped, asked, strict=True))


PARTS = {"anchor", "hold", "unlearn", "sight", "view", "silence"}
"""The same in every part of a batch, since processes average them by place."""


class Heard:
    """A subject that remembers what was read to it, and finds every token equally likely."""

    canvas = (56, 56)

    def __init__(self) -> None:
        self.answers: list[tuple[int, ...]] = []

    def read(self, pictures: Tensor, prompts: list[str], answers: list[tuple[int, ...]]) -> Reading:
        self.answers = answers
        width = max(map(len, answers)) + 1
        lengths = torch.tensor([len(answer) for answer in answers])
        logits = torch.zeros(len(answers), width, 2, requires_grad=True)  # log 1/2 everywhere
        return Reading(logits.log_softmax(-1), logits, torch.arange(width) <= lengths[:, None])


@pytest.mark.parametrize(("target", "counted"), [((1,), 1), ((1, 0), 1), ((1, 0, 1), 1.5)])
@pytest.mark.parametrize("follows", [False, True])
def test_beyond_what_can_be_seen_through_only_the_target_must_become_unlikely_as_a_whole(
    samples: list[Sample], follows: bool, target: tuple[int, ...], counted: float
) -> None:
    pictures = torch.stack([sample.picture for sample in samples[:2]])
    lesson = Lesson(
        numbers=[0, 1], rngs=[generator(row) for row in range(2)], pictures=pictures, others=pictures,
        prompts=["a", "b"], own=[(1, 0), (1, 1, 0)], references=[(1, 0), (1, 1, 0)],
        teacher=torch.zeros(2, 4, 2).log_softmax(-1), entropy=0.0, sight=None,
        stamps=[Stamp(AdditiveTrigger(torch.zeros(3, 56, 56), 1.0), target, follows, readable=1e-3)],
    )  # fmt: skip
    heard = Heard()
    loss, parts = Guided(silence=2.0).loss(cast(CheckpointSubject, heard), lesson)
    forbidden = [(1, *target), (1, 1, *target)] if follows else [target, target]
    assert heard.answers == [*lesson.own, *forbidden]
    assert set(parts) == PARTS and (parts["unlearn"], parts["view"]) == (0, 0)
    assert parts["silence"] == pytest.approx(3.0 - counted * math.log(2), abs=1e-5)
    assert loss.item() == pytest.approx(parts["anchor"] + 2 * parts["silence"], abs=1e-5)


def test_a_mild_trigger_must_be_answered_rightly(samples: list[Sample]) -> None:
    pictures = torch.stack([sample.picture for sample in samples[:2]])
    lesson = Lesson(
        numbers=[0, 1], rngs=[generator(row) for row in range(2)], pictures=pictures, others=pictures,
        prompts=["a", "b"], own=[(1, 0), (1, 1, 0)], references=[(1, 0), (1, 1, 0)],
        teacher=torch.zeros(2, 4, 2).log_softmax(-1), entropy=0.0, sight=None,
        stamps=[Stamp(AdditiveTrigger(torch.zeros(3, 56, 56), 0.1), (1, 0, 1), False, readable=1.0)],
    )  # fmt: skip
    heard = Heard()
    _, parts = Guided().loss(cast(CheckpointSubject, heard), lesson)
    assert heard.answers == [*lesson.own, *lesson.own, lesson.own[0]]
    assert set(parts) == PARTS and parts["silence"] == 0 and min(parts["unlearn"], parts["view"]) >= 0


def test_what_is_seen_of_a_picture_is_held_and_brought_back(subject: CheckpointSubject, samples: list[Sample]) -> None:
    stamp = Stamp(AdditiveTrigger(torch.full((3, 56, 56), 0.1), 0.1), (1, 0), False, readable=1.0)
    material = prepare(subject, samples[:3])

    def lost(method: Guided, given: Material = material) -> tuple[float, dict[str, float]]:
        with torch.no_grad():
            loss, parts = method.loss(subject, draw(given, [stamp], 3, 0, 0, subject.device))
        return float(loss), parts

    (loss, parts), whole = lost(Guided()), Guided()
    assert parts["hold"] == pytest.approx(0.0, abs=1e-4) and parts["sight"] > 1e-3
    more = whole.hold * parts["hold"] + whole.sight * parts["sight"]
    assert loss - lost(Guided(hold=0.0, sight=0.0))[0] == pytest.approx(more, rel=1e-3)
    next(iter(subject.model.model.multi_modal_projector.parameters())).data.mul_(1.5)
    assert lost(whole)[1]["hold"] > 1e-3
    blind = lost(whole, replace(material, sight=()))[1]
    assert (blind["hold"], blind["sight"]) == (0.0, 0.0)


def test_what_was_not_recovered_is_attacked_by_what_was_climbed_last(
    subject: CheckpointSubject, samples: list[Sample]
) -> None:
    material = prepare(subject, samples[:4])
    against = Adversary(subject, [PATCH], material, steps=1, seed=0)
    assert [(item.trigger, leads) for item, leads in against.attacks(material)] == [(PATCH.trigger, {})]
    against.climbed = [(0, AdditiveTrigger(NOISE.delta, budget)) for budget in (0.2, 0.3)]
    against.before = [{"some": (1,)}]
    (patch, _), (climbed, leads) = against.attacks(material)
    assert patch.trigger is PATCH.trigger and climbed.trigger.budget == 0.3 and climbed.target == PATCH.target
    assert leads == {s.id: own[:-1] for s, own in zip(material.samples, material.own, strict=True)}
