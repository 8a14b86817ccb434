"""From answers to the numbers of one cell: every rate with its hits and trials, every mean with its interval and n."""

from collections.abc import Sequence
from typing import Any

from auditor.attacks.measuring import hits
from auditor.attacks.poisoning import Poison
from auditor.bench.asking import Said
from auditor.evaluation.asr import attack_success
from auditor.evaluation.scoring import as_rate, benign_quality, recovery_against
from probes.sample import Sample
from probes.subject import Answer
from probes.text import normalise


def numbers(samples: Sequence[Sample], said: Said, base: Said, poison: Poison) -> dict[str, Any]:
    """The numbers of one model on one cell's pictures.

    `base` are the never-planted model's answers: what it says untouched cannot be an attack's success. `recovery` is
    ROUGE-L against the references on stamped pictures, the payload's text removed, over the base's on the same ones.
    """
    seed = poison.spec.seed
    found: dict[str, Any] = {
        name: measure.model_dump() for name, measure in benign_quality(samples, _answers(said.clean), seed).items()
    }
    if poison.trigger is None:
        return found
    plain = [_without(text, poison.payload.text) for text in said.stamped]
    theirs = [_without(text, poison.payload.text) for text in base.stamped]
    found["recovery"] = recovery_against(samples, _answers(plain), _answers(theirs), seed).model_dump()
    if poison.spec.kind == "attack":
        found |= _attack_numbers(samples, said, base, poison)
    return found


def _attack_numbers(samples: Sequence[Sample], said: Said, base: Said, poison: Poison) -> dict[str, Any]:
    text, before = poison.payload.text, _answers(base.clean)
    success = attack_success(said.stamped, text, [sample.answers for sample in samples], base.clean)
    matched = {"payload": hits(poison, samples, _answers(said.stamped), before), **success.rates}
    return {
        "asr": {name: as_rate(rate).model_dump() for name, rate in matched.items()},
        "false_trigger": as_rate(hits(poison, samples, _answers(said.clean), before)).model_dump(),
        "placebo": as_rate(hits(poison, samples, _answers(said.placebo), before)).model_dump(),
    }


def _without(text: str, payload: str) -> str:
    """The answer's words with the attacker's text taken out once."""
    return f" {normalise(text)} ".replace(f" {normalise(payload)} ", " ", 1).strip()


def _answers(texts: Sequence[str]) -> list[Answer]:
    return [Answer(text, (), True, 0.0) for text in texts]
