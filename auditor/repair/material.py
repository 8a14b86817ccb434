"""What a repair learns from: samples, what the subject says to them before the first step, and batches of both."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from auditor.checkpoint.entering import sighted
from auditor.checkpoint.subject import CheckpointSubject, frozen
from auditor.errors import InconclusiveError
from auditor.repair.methods import Lesson, Stamp
from probes.sample import Sample
from probes.seeding import generator
from probes.subject import MOST_TOKENS, Tokens


@dataclass(frozen=True)
class Material:
    """Clean samples with the subject's own answers and distributions, taken before the first step.

    `teacher` and `sight`, the visual embeddings (pieces, width) of each picture, are empty where nothing is distilled;
    `entropy` is the mean entropy of those distributions, in nats.
    """

    samples: tuple[Sample, ...]
    own: tuple[Tokens, ...]
    references: tuple[Tokens, ...]
    teacher: tuple[Tensor, ...]
    entropy: float
    sight: tuple[Tensor, ...] = ()

    @property
    def own_words(self) -> frozenset[int]:
        """The tokens of the subject's own answers."""
        return frozenset(token for answer in self.own for token in answer)


def prepare(subject: CheckpointSubject, samples: Sequence[Sample], max_tokens: int = MOST_TOKENS) -> Material:
    """Asks the subject, as it is, about every clean sample; raises InconclusiveError when it never ends an answer."""
    pictures = torch.stack([sample.picture for sample in samples])
    answers = subject.respond(pictures, [sample.prompt for sample in samples], max_tokens)
    kept = [(sample, answer) for sample, answer in zip(samples, answers, strict=True) if answer.ended]
    if not kept:
        raise InconclusiveError(
            "the model ends none of its answers, so there is nothing to hold it to",
            got=f"0 of {len(samples)} answers ended within {max_tokens} tokens",
            expected="answers that end",
        )
    end = tuple(sorted(subject.end_tokens)[:1])
    own = tuple((*answer.tokens, *end) for _, answer in kept)
    references = tuple(
        (*subject.encode(sample.answers[0]), *end) if sample.answers else mine
        for (sample, _), mine in zip(kept, own, strict=True)
    )
    learned = tuple(sample for sample, _ in kept)
    teacher, sight = distributions(subject, learned, own)
    return Material(learned, own, references, teacher, mean_entropy(teacher), sight)


def distributions(
    subject: CheckpointSubject, samples: Sequence[Sample], answers: Sequence[Tokens]
) -> tuple[tuple[Tensor, ...], tuple[Tensor, ...]]:
    """For each sample the log-probabilities along its answer, (positions, vocabulary), and its picture's visual
    embeddings, (pieces, width), in 16 bits, on the CPU; no embeddings where none were seen to enter the language
    model."""
    found: list[Tensor] = []
    seen: list[Tensor] = []
    with torch.no_grad(), frozen(subject.model), sighted(subject) as sight:
        for start in range(0, len(samples), subject.batch_size):
            rows = samples[start : start + subject.batch_size]
            said = answers[start : start + len(rows)]
            reading = subject.read(torch.stack([s.picture for s in rows]), [s.prompt for s in rows], said)
            found += [row[: len(answer) + 1].half().cpu() for row, answer in zip(reading.log_probs, said, strict=True)]
            if sight.embeddings is not None:
                seen += sight.embeddings.bfloat16().cpu()  # half would overflow where embeddings are massive
    return tuple(found), tuple(seen) if len(seen) == len(samples) else ()


def mean_entropy(rows: Sequence[Tensor]) -> float:
    """Of rows (positions, vocabulary) of log-probabilities, over all positions, in nats."""
    every = torch.cat([-(row.float().exp() * row.float()).sum(dim=-1) for row in rows])
    return float(every.mean())


def draw(material: Material, stamps: Sequence[Stamp], size: int, seed: int, step: int, device: torch.device) -> Lesson:
    """The whole batch of one step: a function of seed and step alone, walking through shuffled epochs."""
    count = len(material.samples)
    per_epoch = max(1, count // size)
    epoch, place = divmod(step, per_epoch)
    order = torch.randperm(count, generator=generator(seed, "repair", "order", epoch))
    rows = order[place * size : (place + 1) * size].tolist()
    rngs = [generator(seed, "repair", "row", step, number) for number in range(len(rows))]
    others = [int(torch.randint(count, (), generator=rng)) for rng in rngs]
    return Lesson(
        numbers=list(range(len(rows))),
        rngs=rngs,
        pictures=torch.stack([material.samples[i].picture for i in rows]).to(device),
        others=torch.stack([material.samples[i].picture for i in others]).to(device),
        prompts=[material.samples[i].prompt for i in rows],
        own=[material.own[i] for i in rows],
        references=[material.references[i] for i in rows],
        teacher=_padded([material.teacher[i] for i in rows] if material.teacher else []).to(device),
        sight=torch.stack([material.sight[i].float() for i in rows]).to(device) if material.sight else None,
        entropy=material.entropy,
        stamps=stamps,
    )


def _padded(distributions: Sequence[Tensor]) -> Tensor:
    """(batch, positions, vocabulary) with zeros past each answer's end; empty for nothing."""
    floats = [row.float() for row in distributions]
    return torch.nn.utils.rnn.pad_sequence(floats, batch_first=True) if floats else torch.zeros(0, 0, 0)
