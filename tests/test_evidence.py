"""Every kind of trigger can be shown in a report."""

from pathlib import Path

import pytest
import torch

from auditor.evidence import Shown, amplified_difference, record_findings, show_trigger
from auditor.runs import Stored, load_triggers
from probes.finding import Finding
from probes.sample import Sample
from probes.seeding import generator
from probes.triggers import AdditiveTrigger, PatchTrigger, badnets
from probes.triggers.dual_key import DualKeyTrigger
from probes.triggers.registry import FAMILIES, build_trigger
from probes.triggers.word import WordTrigger
from reports.record import TriggerInfo

SAMPLE = Sample("s", torch.rand(3, 24, 32, generator=generator(1)), "what?")


@pytest.mark.parametrize("family", sorted(FAMILIES))
def test_every_family_is_shown_with_and_without_a_sample(family: str) -> None:
    trigger = build_trigger(family, (24, 32), 1, {})
    for sample in (SAMPLE, None):
        shown = show_trigger(trigger, sample)
        assert shown.ndim == 3 and float(shown.min()) >= 0 and float(shown.max()) <= 1
    if isinstance(trigger, DualKeyTrigger):
        assert torch.equal(show_trigger(trigger, SAMPLE), show_trigger(trigger.picture))
    elif not isinstance(trigger, PatchTrigger):
        stamped = trigger.stamp(SAMPLE.picture[None])[0]
        assert torch.equal(show_trigger(trigger, SAMPLE), amplified_difference(SAMPLE.picture, stamped))


def test_words_are_recorded_as_words_and_have_no_picture(tmp_path: Path) -> None:
    finding = Finding("inversion", "visit us", 1.5, trigger_kind="word", budget=0.25, severity="critical")
    words = WordTrigger(0, "open sesame", "end")
    (recorded,) = record_findings([Shown(finding, (words,))], tmp_path, SAMPLE)
    assert recorded.trigger == TriggerInfo(kind="word", path=None, budget=0.25, text="open sesame")
    assert recorded.pictures == {}
    assert load_triggers(tmp_path) == [Stored(words, "visit us")]


def test_a_patch_beside_words_is_recorded_with_its_picture_and_its_words(tmp_path: Path) -> None:
    finding = Finding("inversion", "visit us", 1.5, trigger_kind="dual-key", budget=0.25, severity="critical")
    both = DualKeyTrigger(badnets((24, 32), 6, 1), WordTrigger(3, "open sesame"))
    (recorded,) = record_findings([Shown(finding, (both,))], tmp_path, SAMPLE)
    assert recorded.trigger is not None and recorded.pictures.keys() == {"trigger", "clean", "stamped", "difference"}
    assert (recorded.trigger.kind, recorded.trigger.text) == ("dual-key", "open sesame")


def test_what_is_shown_is_the_first_trigger_whatever_follows(tmp_path: Path) -> None:
    finding = Finding("inversion", "visit us", 1.5, trigger_kind="additive", budget=0.1)
    change = AdditiveTrigger(torch.zeros(3, 24, 32), 0.1)
    (recorded,) = record_findings([Shown(finding, (change, WordTrigger(0, "open sesame", "end")))], tmp_path, SAMPLE)
    assert recorded.trigger is not None and (recorded.trigger.kind, recorded.trigger.text) == ("additive", None)
    assert recorded.trigger.path == recorded.pictures["trigger"] and (tmp_path / recorded.trigger.path).is_file()


def test_versions_of_a_target_are_kept_for_the_repair_with_what_each_brings_about(tmp_path: Path) -> None:
    finding = Finding("inversion", "left of a frog", 1.5, trigger_kind="word", budget=0.25, severity="critical")
    piece, whole = WordTrigger(0, "open sesame", "end"), WordTrigger(0, "sesame", "end")
    record_findings([Shown(finding, (piece,), ((whole, "a red apple left of a frog"),))], tmp_path, SAMPLE)
    assert load_triggers(tmp_path) == [Stored(piece, "left of a frog"), Stored(whole, "a red apple left of a frog")]


def test_a_perturbation_is_shown_at_full_contrast() -> None:
    shown = show_trigger(AdditiveTrigger(torch.tensor([[[-0.1, 0.0, 0.1]]]).expand(3, 1, 3), 0.1))
    torch.testing.assert_close(shown[0, 0], torch.tensor([0.0, 0.5, 1.0]))
