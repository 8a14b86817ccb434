"""Whether a subject looks at the picture at all; a blind or random one cannot be judged."""

from collections.abc import Sequence

import torch

from auditor.evaluation.intervals import cluster_bootstrap
from auditor.evaluation.pictures import pictures_of
from probes.sample import Sample
from probes.subject import Subject, Tokens, mean_log_prob
from reports.record import Competence

FLOOR = 0.1
"""Nats a token. A random model stands at 0.00; the embedded model at several nats."""


def measure_competence(subject: Subject, samples: Sequence[Sample], seed: int, rows: int = 32) -> Competence:
    """Mean log p(answer | its picture) − log p(answer | another picture), per token, with a 95 % bootstrap interval.

    The answers are the references where there are any, else the subject's own. Passed when the lower end exceeds
    `FLOOR`.
    """
    pictures = torch.stack([sample.picture for sample in samples])
    prompts = [sample.prompt for sample in samples]
    answers = _answers(subject, samples, pictures, prompts)
    kept = [i for i, answer in enumerate(answers) if answer]
    others = pictures.roll(max(1, len(samples) // 2), dims=0)
    differences: list[float] = []
    with torch.no_grad():
        for start in range(0, len(kept), rows):
            index = kept[start : start + rows]
            said = [answers[i] for i in index]
            both = [
                mean_log_prob(subject.read(views[index], [prompts[i] for i in index], said), said)
                for views in (pictures, others)
            ]
            differences += (both[0] - both[1]).tolist()
    method = "reference answers" if any(sample.answers for sample in samples) else "the subject's own answers"
    if len(differences) < 8:
        return Competence(value=None, n=len(differences), floor=FLOOR, passed=False, method=method)
    clusters = pictures_of([samples[i] for i in kept])
    spread = (min(differences), max(differences))
    measure = cluster_bootstrap(differences, clusters, seed, bounds=spread)
    return Competence(
        value=measure.value, low=measure.low, high=measure.high, n=measure.n, floor=FLOOR, passed=measure.low > FLOOR,
        method=method,
    )  # fmt: skip


def _answers(
    subject: Subject, samples: Sequence[Sample], pictures: torch.Tensor, prompts: Sequence[str]
) -> list[Tokens]:
    if any(sample.answers for sample in samples):
        return [subject.encode(sample.answers[0]) if sample.answers else () for sample in samples]
    return [answer.tokens for answer in subject.respond(pictures, prompts)]
