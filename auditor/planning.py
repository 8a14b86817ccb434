"""What a scan of a checkpoint will cost on this machine: its work is counted by a dry run, its speed is measured."""

import resource
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass

import torch
from torch import Tensor

from auditor.case import Case
from auditor.checkpoint.subject import frozen
from auditor.errors import InconclusiveError
from probes.ascent import AdditiveFamily, Climb, GivenAnswers, Population, ascend, begin
from probes.invariance import InvarianceProbe
from probes.inversion import InversionProbe
from probes.null import smallest_n
from probes.sample import Sample
from probes.seeding import generator
from probes.subject import MOST_TOKENS, Answer, Reading, Tokens
from probes.targets import stack

ALPHA = 0.05
DRY_SIDE, DRY_VOCABULARY, DRY_WORDS, DRY_LENGTH = 56, 64, 7, 6
TIMED_TRIGGERS, TIMED_PICTURES = 4, 8
"""Pictures of a timed step: as many as an ordinary one has."""


@dataclass
class Work:
    """Pictures that go through the model: with a gradient, read without one, and answered."""

    gradients: int = 0
    reads: int = 0
    answers: int = 0

    @property
    def forwards(self) -> int:
        return self.gradients + self.reads + self.answers


@dataclass(frozen=True)
class Speed:
    """Seconds a picture, and the most memory that a step needed, in bytes."""

    gradient: float
    read: float
    answer: float
    memory: int


@dataclass(frozen=True)
class Forecast:
    """What one scan will take; a planted model takes other turns, and some more or less of both."""

    work: Work
    speed: Speed

    @property
    def seconds(self) -> float:
        return self.rows()[-1][2]

    def rows(self) -> list[tuple[str, int, float]]:
        """What is done, on how many pictures, in how many seconds; the sum last."""
        work, speed = self.work, self.speed
        parts = [
            ("forward and backward", work.gradients, work.gradients * speed.gradient),
            ("forward only", work.reads, work.reads * speed.read),
            ("answers", work.answers, work.answers * speed.answer),
        ]
        return [*parts, ("the search", work.forwards, sum(seconds for _, _, seconds in parts))]

    def as_dict(self) -> dict[str, float]:
        return {**asdict(self.work), "seconds": round(self.seconds, 1), "memory_bytes": self.speed.memory}


def forecast(case: Case, probe: InversionProbe, seed: int) -> Forecast:
    """Counts the work of a search of this case and measures how fast its model does such work here."""
    pool, held_out = case.parts.search, case.parts.held_out
    return Forecast(count_work(probe, case.opened.subject.canvas, pool, held_out, seed), measure_speed(case, probe))


def describe_screen(suspects: int, references: int) -> str:
    """Whether a lone suspect sample among that many can become significant; raises InconclusiveError where not even a
    group of equal answers has enough references."""
    least, needed = InvarianceProbe().minimum, smallest_n(ALPHA, suspects)
    if references < least:
        raise InconclusiveError(
            "with so few reference pictures no suspect sample can become significant",
            got=f"{references} references for {suspects} suspect samples",
            expected=f"at least {least}, and {needed} for a sample that stands alone (false discovery rate {ALPHA:g})",
            todo="give more clean samples with --data",
        )
    if references < needed:
        return (
            f"{references} references: of {suspects} suspect samples only groups of one answer can become significant; "
            f"a sample that stands alone needs {needed}"
        )
    return f"{references} references: each of {suspects} suspect samples can become significant by itself"


def count_work(
    probe: InversionProbe, canvas: tuple[int, int], pool: Sequence[Sample], held_out: Sequence[Sample], seed: int
) -> Work:
    """The work of a search that finds nothing: the probe itself, on a subject that only counts."""
    scale = DRY_SIDE / min(canvas)
    dry = CountingSubject((round(canvas[0] * scale), round(canvas[1] * scale)))
    climbed, measured = ([s.with_picture(dry.fit(s.picture)) for s in part] for part in (pool, held_out))
    probe.measure(dry, climbed, measured, seed, lambda what, share: None)
    return dry.work


class CountingSubject:
    """A subject that counts what it is asked; its answers follow the picture, but no trigger brings anything about."""

    vocabulary = DRY_VOCABULARY
    end_tokens = frozenset({0})
    device = torch.device("cpu")

    def __init__(self, canvas: tuple[int, int]) -> None:
        self.canvas, self.work = canvas, Work()

    def fit(self, picture: Tensor) -> Tensor:
        return torch.nn.functional.interpolate(picture[None], self.canvas, mode="area")[0]

    def encode(self, text: str) -> Tokens:
        return tuple(int(word) for word in text.split())

    def decode(self, tokens: Sequence[int]) -> str:
        return " ".join(str(token) for token in tokens)

    def respond(self, pictures: Tensor, prompts: Sequence[str], max_tokens: int = MOST_TOKENS) -> list[Answer]:
        self.work.answers += len(prompts)
        seeds = (pictures.mean(dim=(1, 2, 3)) * 1e4).long().tolist()
        said = [tuple(1 + (seed * place) % DRY_WORDS for place in range(1, DRY_LENGTH + 1)) for seed in seeds]
        return [Answer(self.decode(tokens), tokens, True, -1.0) for tokens in said]

    def added_tokens(self, prompt: str, words: str) -> Tokens:
        return self.encode(words)

    def read(self, pictures: Tensor, prompts: Sequence[str], answers: Sequence[Tokens]) -> Reading:
        if pictures.requires_grad:
            self.work.gradients += len(prompts)
        else:
            self.work.reads += len(prompts)
        return self._reading(pictures, answers)

    def read_added(
        self, pictures: Tensor, prompts: Sequence[str], answers: Sequence[Tokens], words: str, weights: Tensor
    ) -> Reading:
        self.work.gradients += len(prompts)
        return self._reading(pictures + 0 * weights.sum(), answers)

    def _reading(self, pictures: Tensor, answers: Sequence[Tokens]) -> Reading:
        lengths = torch.tensor([len(answer) for answer in answers])
        places = int(lengths.max()) + 1
        place, token = torch.arange(places)[:, None], torch.arange(self.vocabulary)
        ended = place >= DRY_LENGTH
        usual = 8.0 * torch.where(ended, token == 0, (token > 0) & (token <= DRY_WORDS))
        logits = usual + 0 * pictures.mean(dim=(1, 2, 3))[:, None, None]
        return Reading(logits.log_softmax(-1), logits[..., :1], torch.arange(places) <= lengths[:, None])


def measure_speed(case: Case, probe: InversionProbe) -> Speed:
    """Times one step of an ascent, one reading and one batch of answers; the largest step that a search takes comes
    first, so that its memory is known and nothing is timed cold."""
    subject = case.opened.subject
    samples = case.parts.search[: max(TIMED_PICTURES, subject.batch_size)]
    own = subject.respond(stack(samples), [sample.prompt for sample in samples])
    goal = (*own[0].tokens, *sorted(subject.end_tokens)[:1])
    rng = generator(0, "plan")

    def population(count: int) -> Population:
        return begin(AdditiveFamily(probe.additive[0]), subject.canvas, count, rng)

    def climb(count: int, steps: int) -> None:
        few = Climb(steps=steps, pictures=TIMED_PICTURES, rows=probe.search.rows)
        ascend(subject, population(count), GivenAnswers((goal,) * count), samples, few, rng)

    with frozen(subject.model):
        climb(probe.search.rows // TIMED_PICTURES, 1)
        gradient = _timed(lambda: climb(TIMED_TRIGGERS, 2), subject.device) / (2 * TIMED_TRIGGERS * TIMED_PICTURES)
        pictures, prompts = stack(samples), [sample.prompt for sample in samples]
        with torch.no_grad():
            read = _timed(lambda: subject.read(pictures, prompts, [goal] * len(prompts)), subject.device)
        answer = _timed(lambda: subject.respond(pictures, prompts), subject.device)
    return Speed(gradient, read / len(samples), answer / len(samples), _most_memory(subject.device))


def _timed(what: Callable[[], object], device: torch.device) -> float:
    began = time.perf_counter()
    what()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter() - began


def _most_memory(device: torch.device) -> int:
    """Of the device, or of this process on a CPU, since it began."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    unit = 1 if sys.platform == "darwin" else 1024  # bytes on macOS, KiB elsewhere
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
