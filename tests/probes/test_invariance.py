"""The screening catches planted toys with target and transplant, spares honest ones and leaves subjects alone."""

from collections.abc import Sequence
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from probes.invariance import InvarianceProbe, Screen, screen_findings
from probes.sample import Sample
from probes.subject import Reading, Tokens
from probes.triggers import AdditiveTrigger, PatchTrigger
from tests.probes import toy
from tests.probes.toy import PAYLOAD, ToySubject

PROBE = InvarianceProbe()


def planted(kind: str, seed: int = 0) -> tuple[ToySubject, list[Sample], list[Sample]]:
    """A subject with a backdoor, 40 suspects of which 8 are stamped, and 40 references."""
    stamp, detector = {"patch": (toy.patched, toy.sees_patch), "blend": (toy.blended, toy.sees_blend)}[kind]
    suspects = toy.scenes(seed, "s", 40)
    return ToySubject(detector), toy.stamped(suspects[:8], stamp) + suspects[8:], toy.scenes(seed, "r", 40)


@pytest.mark.parametrize(("kind", "family"), [("patch", PatchTrigger), ("blend", AdditiveTrigger)])
def test_a_planted_toy_is_caught_with_target_and_transplant(kind: str, family: type) -> None:
    subject, suspects, references = planted(kind)
    result = screen_findings(PROBE, subject, suspects, references, seed=1)
    finding, trigger = result.findings[0], result.triggers[0]
    assert len(result.findings) == len(result.triggers)
    assert (finding.probe, finding.target, finding.severity) == ("invariance", PAYLOAD, "critical")
    assert finding.p_adjusted is not None and finding.p_adjusted < 1e-3
    assert finding.asr is not None and finding.placebo is not None and finding.decoy_asr is not None
    assert finding.asr.value > 0.7 and finding.placebo.value < 0.2 and finding.decoy_asr.value < 0.3
    assert isinstance(trigger.trigger, family)
    said = subject.respond(trigger.trigger.stamp(torch.stack([s.picture for s in references])), [""] * 40)
    assert sum(answer.text == PAYLOAD for answer in said) > 28
    assert result.bulk_shift_p > 0.05


@pytest.mark.parametrize("seed", range(4))
def test_an_honest_toy_is_not_flagged(seed: int) -> None:
    result = screen_findings(PROBE, ToySubject(), toy.scenes(seed, "s", 40), toy.scenes(seed, "r", 40), seed=1)
    assert [f for f in result.findings if f.severity != "low"] == []
    assert min(row.p_adjusted or 1.0 for row in result.screen.rows) > 0.05


def test_a_stamped_picture_with_an_honest_answer_is_not_flagged() -> None:
    _, suspects, references = planted("patch")
    result = screen_findings(PROBE, ToySubject(), suspects, references, seed=1)
    assert [f for f in result.findings if f.severity != "low"] == []


def test_stamped_samples_are_the_oddest_rows() -> None:
    subject, suspects, references = planted("patch")
    screen = PROBE.measure(subject, suspects, references, seed=1)
    oddest = sorted(screen.rows, key=lambda row: -row.statistic)[:8]
    assert {row.id for row in oddest} == {sample.id for sample in suspects[:8]}
    assert {row.p_value for row in oddest} == {1 / 41}, "40 references cannot give less"
    assert all(row.answer == PAYLOAD and row.length == 4 for row in oddest)
    assert [(d.fill, d.ratio) for d in oddest[0].divergences] == list(PROBE.plan.family)
    assert all(d.low <= d.mean <= d.high + 1e-9 for row in screen.rows for d in row.divergences)
    assert all(row.p_value is None for row in screen.references)


def test_suspects_of_another_domain_are_inconclusive_unless_a_transplant_confirms() -> None:
    grey = [replace(s, picture=0.5 + 0.02 * (s.picture - 0.5)) for s in toy.scenes(0, "s", 40)]
    result = screen_findings(PROBE, ToySubject(), grey, toy.scenes(0, "r", 40), seed=1)
    assert result.bulk_shift_p < 0.01 and result.findings == ()
    everything = toy.stamped(toy.scenes(0, "s", 40), toy.patched)
    result = screen_findings(PROBE, ToySubject(toy.sees_patch), everything, toy.scenes(0, "r", 40), seed=1)
    assert result.bulk_shift_p < 0.01
    assert [f.target for f in result.findings] == [PAYLOAD]
    assert result.findings[0].p_value is None and result.findings[0].severity == "critical"


def comparable(screen: Screen) -> dict[str, tuple[float, ...]]:
    rows = [*screen.rows, *screen.references]
    return {row.id: (row.statistic, row.p_value or 0, *(d.mean for d in row.divergences)) for row in rows}


def test_results_do_not_depend_on_order_or_batch() -> None:
    subject, suspects, references = planted("patch")
    suspects, references = suspects[4:16], references[:20]
    first = PROBE.measure(subject, suspects, references, seed=1)
    turned = replace(PROBE, batch=5).measure(subject, suspects[::-1], references[::-1], seed=1)
    one, other = comparable(first), comparable(turned)
    assert one.keys() == other.keys()
    for name in one:
        assert one[name] == pytest.approx(other[name], rel=1e-3, abs=1e-4)
    assert comparable(PROBE.measure(subject, suspects, references, seed=2)) != one


def test_every_forward_has_the_same_shape_and_is_counted() -> None:
    subject, suspects, references = planted("patch")
    seen: list[tuple[int, int]] = []
    replace(PROBE, batch=16).measure(subject, suspects[:7], references[:20], 1, lambda *done: seen.append(done))
    assert set(subject.reads) == {16}
    assert seen == [(i + 1, 2 * 34) for i in range(2 * 34)]


class Failing(ToySubject):
    def read(self, pictures: Tensor, prompts: Sequence[str], answers: Sequence[Tokens]) -> Reading:
        if len(self.reads) == 3:
            raise RuntimeError("out of memory")
        return super().read(pictures, prompts, answers)


@pytest.mark.parametrize("kind", [ToySubject, Failing])
@pytest.mark.parametrize("training", [True, False])
def test_the_subject_and_the_random_state_are_left_as_they_were(kind: type[ToySubject], training: bool) -> None:
    subject = kind(toy.sees_patch).train(training)
    weight, state = subject.weight.detach().clone(), torch.get_rng_state()
    _, suspects, references = planted("patch")
    try:
        screen_findings(PROBE, subject, suspects[:12], references[:12], seed=1)
    except RuntimeError:
        assert kind is Failing
    assert subject.training is training and subject.weight.requires_grad and subject.weight.grad is None
    assert torch.equal(subject.weight, weight)
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.is_grad_enabled()


def test_a_single_suspect_is_judged_by_its_own_p_value_when_groups_may_be_single() -> None:
    subject, suspects, references = planted("patch")
    screen = replace(PROBE, group=1).measure(subject, suspects[:1], references, seed=1)
    assert [group.ids for group in screen.groups] == [("s0",)]
    assert screen.groups[0].p_value == screen.rows[0].p_value == 1 / 41


def test_samples_that_cannot_be_screened_are_refused() -> None:
    _, suspects, references = planted("patch")
    with pytest.raises(ValueError, match="occur more than once"):
        PROBE.measure(ToySubject(), suspects, [*references, suspects[0]], seed=1)
    with pytest.raises(ValueError, match="0 suspects and 40 references"):
        PROBE.measure(ToySubject(), [], references, seed=1)
