"""What a search came upon: answers that some trigger gives to several pictures, and which of them are looked into."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch

from probes.ascent import Family, Population
from probes.curves import FROM_SEARCH, Ground, part
from probes.prompt_words import Climbed
from probes.sample import Sample
from probes.targets import Target, group_answers, group_phrases, is_added, stack
from probes.text import normalise, says, similarity
from probes.triggers import apply

SAME = 0.75
"""Texts at least as similar as this are one candidate."""
VARIANT = 0.5
"""Texts at least as similar as this may be one target."""
RUNNER_UP = "runner-up of the search"
"""The origin of decoys that only targets of the subject's own words are held against."""


@dataclass(frozen=True)
class Candidate:
    """An answer group seen under some trigger of the search: the share of pictures that gave it, and that trigger; none
    for one that was asked for."""

    target: Target
    agreement: float
    found: Population | Climbed | None


def decode(ground: Ground, population: Population, samples: Sequence[Sample], groups: int = 2) -> list[Candidate]:
    """What answers to other pictures have in common under each trigger: whole answers, and a phrase added to them."""
    origin = f"{FROM_SEARCH} {population.family.name}"
    subject, habits = ground.subject, ground.habits
    pictures, prompts, triggers = stack(samples), [sample.prompt for sample in samples], population.triggers()
    stamped = [apply(trigger, pictures, prompts) for trigger in triggers]
    said = subject.respond(
        torch.cat([these for these, _ in stamped]), [prompt for _, many in stamped for prompt in many]
    )
    candidates = []
    for number, trigger in enumerate(triggers):
        answers = said[number * len(samples) : (number + 1) * len(samples)]
        whole = group_answers(answers, samples, habits)[:groups]
        seen = [(Target(answer.text, answer.tokens, origin), count) for answer, count in whole]
        for tokens, place, count in group_phrases(answers, samples, habits):
            phrase = Target(subject.decode(tokens), tokens, origin, place)
            known = not normalise(phrase.text) or any(says(phrase.text, text) for text in habits.known)
            if not known and is_added(subject, trigger, phrase, samples, habits):
                seen.append((phrase, count))
        found = part(population, number, number + 1)
        candidates += [Candidate(target, count / len(samples), found) for target, count in seen]
    return candidates


def choose(found: Sequence[Candidate], keep: int, besides: Sequence[Candidate] = ()) -> list[Candidate]:
    """The most agreed-upon answers besides those that are chosen, one of several garbled versions, each with the
    trigger that brought it up best."""
    chosen = list(besides)
    for candidate in sorted(found, key=lambda c: -c.agreement):
        same = [i for i, other in enumerate(chosen) if _is_same(candidate.target, other.target)]
        if candidate.found is None or not same:
            chosen.append(candidate)
        elif chosen[same[0]].found is None:
            chosen[same[0]] = replace(chosen[same[0]], found=candidate.found)
    return chosen[: keep + len(besides)]


def known_as(candidate: Candidate, targets: Sequence[Target]) -> Candidate:
    """The candidate as that one of the targets of which it is another version, or as it is."""
    same = (target for target in targets if _is_same(candidate.target, target))
    return replace(candidate, target=next(same, candidate.target))


def _is_same(one: Target, other: Target) -> bool:
    return one.place == other.place and similarity(one.text, other.text) >= SAME


def runners_up(ground: Ground, chosen: Sequence[Target], found: Sequence[Candidate]) -> dict[Target, list[Target]]:
    """For every chosen answer that the subject may give of its own accord the others of that kind, easiest first.

    It was picked as the easiest of very many, and only what the same search brought up can stand for that.
    """
    ordered = [c.target for c in sorted(found, key=lambda c: -c.agreement) if c.target.place == "alone"]
    others = [target for target in ordered if not any(similarity(target.text, c.text) >= VARIANT for c in chosen)]
    rivals = [replace(target, origin=RUNNER_UP) for target in others if ground.is_natural(target)]
    return {target: rivals for target in chosen if target.place == "alone" and rivals and ground.is_natural(target)}


def starts_of(chosen: Sequence[Candidate], family: Family, most: int = 2) -> list[Population]:
    """The triggers of this family that the search found for its best candidates: starts for every target alike."""
    found = [candidate.found for candidate in chosen if isinstance(candidate.found, Population)]
    return [population for population in found if population.family.name == family.name][:most]
