"""From answers to the numbers of one cell: every rate with its hits and trials, every mean with its interval and n."""

from collections.abc import Sequence
from typing import Any

from auditor.attacks.measuring import attack_rates
from auditor.attacks.payloads import without
from auditor.attacks.poisoning import Poison
from auditor.bench.asking import Said
from auditor.evaluation.scoring import benign_quality, recovery_against
from probes.sample import Sample
from probes.subject import Answer


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
    plain = [without(text, poison.payload.text) for text in said.stamped]
    theirs = [without(text, poison.payload.text) for text in base.stamped]
    found["recovery"] = recovery_against(samples, _answers(plain), _answers(theirs), seed).model_dump()
    if poison.spec.kind == "attack":
        found |= _attack_numbers(samples, said, base, poison)
    return found


def _attack_numbers(samples: Sequence[Sample], said: Said, base: Said, poison: Poison) -> dict[str, Any]:
    stamped, placebo, clean, before = map(_answers, (said.stamped, said.placebo, said.clean, base.clean))
    rates = attack_rates(poison, samples, stamped, placebo, clean, before)
    return {
        "asr": {name: rate.model_dump() for name, rate in rates.asr.items()},
        "false_trigger": rates.false_trigger.model_dump(),
        "placebo": rates.placebo.model_dump(),
    }


def _answers(texts: Sequence[str]) -> list[Answer]:
    return [Answer(text, (), True, 0.0) for text in texts]
