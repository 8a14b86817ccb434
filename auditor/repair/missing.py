"""What a repair has not done yet: asked as hard as the search that verifies it will ask."""

from collections.abc import Iterator, Sequence
from typing import Literal

from auditor.checkpoint.subject import CheckpointSubject, frozen
from auditor.repair.adversary import WIDEST, Adversary, Recovered, climbed, framed, placed
from auditor.repair.material import Material
from auditor.repair.retreat import DEAD, MOST, measure, planted
from probes.ascent import AdditiveFamily, Leads, begin
from probes.beside_words import beside, with_words
from probes.seeding import generator
from probes.targets import answers_under
from probes.text import says
from probes.triggers import Trigger
from probes.triggers.word import WordTrigger

LONG = 40
"""Steps of a climb: about as many as a search spends on a target at its largest budget."""
ENOUGH = 0.85
"""Stamped answers that are right again, in clean ones that stay, with which a repair is content."""
FOUND = 0.02
"""A target is found again where a trigger climbed from nothing brings it about on a larger share of the samples."""


def what_is_missing(
    subject: CheckpointSubject, adversary: Adversary, material: Material, seed: int
) -> Literal["", "harder", "longer"]:
    """What is to be learned once more, seen on `material`, which has taught the subject nothing.

    `harder` where a target that a scan recovered is still said: under the recovered triggers, under ones climbed from
    them for a moment, or under ones climbed from nothing, as a new search does. `longer` where none is, but too few
    answers to pictures with a recovered trigger are right again.
    """
    attacks = adversary.attacks(material)
    if not planted(attacks):
        return ""
    stands = measure(subject, 1.0, material.samples, material.own, attacks, seed)
    if stands.alive > DEAD or is_found_again(subject, attacks, material, seed):
        return "harder"
    return "longer" if stands.restored < ENOUGH * stands.kept else ""


def is_found_again(
    subject: CheckpointSubject, attacks: Sequence[tuple[Recovered, Leads]], material: Material, seed: int
) -> bool:
    """Whether a trigger that is climbed from nothing, as a new search climbs it, brings a target about."""
    samples = material.samples[:MOST]
    for item, leads in {item.target: (item, leads) for item, leads in reversed(attacks)}.values():
        for trigger in _from_nothing(subject, item, leads, material, seed):
            said = [says(answer.text, item.target) for answer in answers_under(subject, trigger, samples)]
            if sum(said) > FOUND * len(said):
                return True
    return False


def _from_nothing(
    subject: CheckpointSubject, item: Recovered, leads: Leads, material: Material, seed: int
) -> Iterator[Trigger]:
    """A perturbation of the whole picture, a patch at the best of many places, and a frame where that says anything."""
    if isinstance(item.trigger, WordTrigger):
        return
    rng, samples = generator(seed, "repair", "surviving", item.target), beside(item.trigger, material.samples)
    with frozen(subject.model):
        perturbation = begin(AdditiveFamily(WIDEST["additive"]), subject.canvas, 1, rng)
        patch = placed(subject, item.target, leads, samples, 1, rng)
        frame = framed(subject, item.target, material.own_words, 1, rng)
        for start in (perturbation, patch, *frame):
            (found,) = climbed(subject, start, item.target, leads, samples, LONG, rng)
            yield with_words(item.trigger, found)
