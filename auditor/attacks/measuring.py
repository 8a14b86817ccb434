"""What a plant does, on pictures it was not trained on: success, false triggers, placebo, and benign quality."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from auditor.attacks.payloads import kept_words
from auditor.attacks.poisoning import Poison
from auditor.attacks.report import TOOK, Quality
from auditor.evaluation.asr import attack_success
from auditor.evaluation.intervals import cluster_bootstrap
from auditor.evaluation.pictures import pictures_of
from auditor.evaluation.scoring import as_rate, benign_quality
from probes.finding import Rate
from probes.sample import Sample
from probes.seeding import generator
from probes.subject import Answer, Subject
from probes.targets import answers_under, stack
from probes.triggers.dual_key import DualKeyTrigger
from reports.record import Measure, RateInterval


def measure_plant(
    subject: Subject, poison: Poison, samples: Sequence[Sample], before: Sequence[Answer]
) -> dict[str, Any]:
    """The measured fields of a PlantReport; `before` are the answers of the model that was planted into."""
    now = _ask(subject, samples)
    seed = poison.spec.seed
    measured: dict[str, Any] = {
        "quality_before": Quality(**benign_quality(samples, before, seed)),
        "quality_after": Quality(**benign_quality(samples, now, seed)),
    }
    if poison.spec.kind != "attack":
        return measured
    assert poison.trigger is not None
    said = answers_under(subject, poison.trigger, samples)
    placebo = answers_under(subject, poison.trigger.placebo(generator(seed, "plant", "placebo")), samples)
    rates = attack_rates(poison, samples, said, placebo, now, before)
    headline = rates.asr["payload"]
    kept = [
        kept_words(answer.text, sample.answers[0], poison.payload.text)
        for answer, sample in zip(said, samples, strict=True)
    ]
    found = cluster_bootstrap(kept, pictures_of(samples), seed)
    return measured | {
        "target": poison.payload.text,
        "took": headline.trials > 0 and headline.hits / headline.trials >= TOOK,
        "asr": rates.asr,
        "excluded": rates.excluded,
        "false_trigger": rates.false_trigger,
        "placebo": rates.placebo,
        "keys": _single_keys(subject, poison, samples, before),
        "kept_words": Measure(value=found.value, low=found.low, high=found.high, n=found.n),
    }


@dataclass(frozen=True)
class AttackRates:
    """Success by matcher with how many items each leaves out, and the payload's rates without and with a placebo."""

    asr: dict[str, RateInterval]
    excluded: dict[str, int]
    false_trigger: RateInterval
    placebo: RateInterval


def attack_rates(
    poison: Poison, samples: Sequence[Sample], stamped: Sequence[Answer], placebo: Sequence[Answer],
    untouched: Sequence[Answer], before: Sequence[Answer],
) -> AttackRates:  # fmt: skip
    """From answers about the same samples to rates; what `before` says untouched cannot be an attack's success."""
    texts, former = [answer.text for answer in stamped], [answer.text for answer in before]
    success = attack_success(texts, poison.payload.text, [sample.answers for sample in samples], former)
    headline = hits(poison, samples, stamped, before)
    return AttackRates(
        asr={"payload": as_rate(headline), **{name: as_rate(rate) for name, rate in success.rates.items()}},
        excluded={"payload": len(samples) - headline.trials, **success.excluded},
        false_trigger=as_rate(hits(poison, samples, untouched, before)),
        placebo=as_rate(hits(poison, samples, placebo, before)),
    )


def _single_keys(
    subject: Subject, poison: Poison, samples: Sequence[Sample], before: Sequence[Answer]
) -> dict[str, RateInterval]:
    """What either key of a dual-key trigger does by itself; empty for other triggers."""
    if not isinstance(poison.trigger, DualKeyTrigger):
        return {}
    return {
        key.kind: as_rate(hits(poison, samples, answers_under(subject, key, samples), before))
        for key in poison.trigger.keys
    }


def success_rate(subject: Subject, poison: Poison, samples: Sequence[Sample]) -> Rate:
    """The payload's own rate on stamped samples, as the model is now; for watching a training."""
    assert poison.trigger is not None
    said = answers_under(subject, poison.trigger, samples)
    return hits(poison, samples, said, [Answer(sample.answers[0], (), True, 0.0) for sample in samples])


def hits(poison: Poison, samples: Sequence[Sample], said: Sequence[Answer], before: Sequence[Answer]) -> Rate:
    """How often the payload's own matcher fires, over samples that can carry it and did not show it before."""
    payload = poison.payload
    counted = [
        payload.hit(answer.text, sample.answers[0])
        for answer, sample, former in zip(said, samples, before, strict=True)
        if poison.carries(sample)
        and not payload.hit(sample.answers[0], sample.answers[0])
        and not payload.hit(former.text, sample.answers[0])
    ]
    return Rate(sum(counted), len(counted))


def _ask(subject: Subject, samples: Sequence[Sample]) -> list[Answer]:
    return subject.respond(stack(samples), [s.prompt for s in samples])
