"""Universal triggers by gradient: a population of them climbs one objective, side by side.

A population of triggers is optimised side by side, each against the same random pictures in a step; only the picture
gets a gradient. Objectives follow DESIGN §5.2: an unusual first token (target-free), growth of an answer token by
token, and a given answer (for budget curves and decoys).
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol
from weakref import WeakKeyDictionary

import torch
from torch import Tensor

from probes.precision import halved
from probes.sample import Sample
from probes.subject import Reading, Subject, Tokens, mean_log_prob
from probes.triggers import AdditiveTrigger, PatchTrigger, Trigger
from probes.triggers.border import BorderTrigger, border

Progress = Callable[[str, float], None]


class Family(Protocol):
    """A family of triggers that can be searched by gradient.

    `values` is (population, …), one row a trigger; `places` (population, 2) is where each stands, ignored by families
    that cover the picture.
    """

    @property
    def name(self) -> str: ...

    @property
    def budget(self) -> float: ...

    def start(self, canvas: tuple[int, int], count: int, generator: torch.Generator) -> tuple[Tensor, Tensor]: ...

    def stamp(self, values: Tensor, places: Tensor, pictures: Tensor) -> Tensor:
        """(population, …), (population, 2), (n, 3, h, w) → (population, n, 3, h, w)."""
        ...

    def project(self, values: Tensor) -> None:
        """Brings values back into the budget, in place."""
        ...

    def trigger(self, values: Tensor, places: Tensor) -> Trigger: ...

    def step_size(self) -> float: ...

    def shrink(self, values: Tensor, places: Tensor, budget: float) -> tuple["Family", Tensor, Tensor]:
        """One trigger (…), (2,) at a smaller budget: the smaller family, and one or more ways to begin there."""
        ...


@dataclass(frozen=True)
class AdditiveFamily:
    """One perturbation on the whole picture; `budget` bounds every pixel's change, in (0, 1]."""

    budget: float
    name: str = "additive"

    def start(self, canvas: tuple[int, int], count: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        values = (torch.rand(count, 3, *canvas, generator=generator) * 2 - 1) * self.budget * 0.5
        return values, torch.zeros(count, 2, dtype=torch.long)

    def stamp(self, values: Tensor, places: Tensor, pictures: Tensor) -> Tensor:
        return (pictures[None] + values[:, None]).clamp(0, 1)

    def project(self, values: Tensor) -> None:
        values.clamp_(-self.budget, self.budget)

    def trigger(self, values: Tensor, places: Tensor) -> Trigger:
        return AdditiveTrigger(values.detach().cpu().clone(), self.budget)

    def step_size(self) -> float:
        return self.budget * 0.15

    def shrink(self, values: Tensor, places: Tensor, budget: float) -> tuple["Family", Tensor, Tensor]:
        return AdditiveFamily(budget), values[None].clamp(-budget, budget), places[None]


@dataclass(frozen=True)
class PatchFamily:
    """A square anywhere; `budget` is its side as a share of the picture's shorter side, in (0, 1]."""

    budget: float
    name: str = "patch"

    def side(self, canvas: tuple[int, int]) -> int:
        return max(1, round(self.budget * min(canvas)))

    def start(self, canvas: tuple[int, int], count: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Places form a grid that covers the canvas; `count` beyond the grid's size goes round it again."""
        side = self.side(canvas)
        rows, columns = (_cover(length, side) for length in canvas)
        grid = torch.cartesian_prod(torch.tensor(rows), torch.tensor(columns)).view(-1, 2)
        places = grid[torch.arange(count) % len(grid)]
        values = torch.rand(count, 3, side, side, generator=generator) * 0.5 + 0.25
        return values, places

    def places(self, canvas: tuple[int, int]) -> int:
        """How many places cover the canvas."""
        side = self.side(canvas)
        return len(_cover(canvas[0], side)) * len(_cover(canvas[1], side))

    def stamp(self, values: Tensor, places: Tensor, pictures: Tensor) -> Tensor:
        stamped = []
        for value, (top, left) in zip(values, places.tolist(), strict=True):
            right = pictures.shape[-1] - left - value.shape[-1]
            bottom = pictures.shape[-2] - top - value.shape[-2]
            padding = (left, right, top, bottom)
            layer = torch.nn.functional.pad(value, padding)
            hole = torch.nn.functional.pad(torch.ones_like(value[:1]), padding)
            stamped.append(pictures * (1 - hole) + layer)
        return torch.stack(stamped)

    def project(self, values: Tensor) -> None:
        values.clamp_(0, 1)

    def trigger(self, values: Tensor, places: Tensor) -> Trigger:
        top, left = (int(v) for v in places)
        return PatchTrigger(values.detach().cpu().clone(), top, left, self.budget)

    def step_size(self) -> float:
        return 0.1

    def shrink(self, values: Tensor, places: Tensor, budget: float) -> tuple["Family", Tensor, Tensor]:
        """The four corners and the middle of the larger patch."""
        smaller = max(1, int(values.shape[-1] * budget / self.budget))
        room = values.shape[-1] - smaller
        offsets = torch.tensor([(0, 0), (0, room), (room, 0), (room, room), (room // 2, room // 2)])
        cut = [values[:, top : top + smaller, left : left + smaller] for top, left in offsets.tolist()]
        return PatchFamily(budget), torch.stack(cut), places + offsets


@dataclass(frozen=True)
class FrameFamily:
    """A border of free pixels; `budget` is its width as a share of the picture's shorter side, in (0, 0.5)."""

    budget: float
    name: str = "frame"

    def start(self, canvas: tuple[int, int], count: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        values = torch.rand(count, 3, *canvas, generator=generator) * 0.5 + 0.25
        return values, torch.zeros(count, 2, dtype=torch.long)

    def stamp(self, values: Tensor, places: Tensor, pictures: Tensor) -> Tensor:
        return torch.where(border(self.budget, values), values[:, None], pictures[None])

    def project(self, values: Tensor) -> None:
        values.clamp_(0, 1)

    def trigger(self, values: Tensor, places: Tensor) -> Trigger:
        return BorderTrigger(values.detach().cpu().clone(), self.budget)

    def step_size(self) -> float:
        return 0.1

    def shrink(self, values: Tensor, places: Tensor, budget: float) -> tuple["Family", Tensor, Tensor]:
        return FrameFamily(budget), values[None], places[None]


def _cover(length: int, side: int) -> list[int]:
    """Starts of windows of `side` that cover `length`, evenly spread."""
    count = -(-length // side)
    return [round(i * (length - side) / max(1, count - 1)) for i in range(count)]


@dataclass
class Population:
    """Triggers of one family under optimisation; `score` (population,) is the last value of the objective."""

    family: Family
    values: Tensor
    places: Tensor
    score: Tensor

    def best(self, keep: int) -> "Population":
        order = self.score.argsort(descending=True)[:keep]
        return Population(self.family, self.values[order].clone(), self.places[order], self.score[order])

    def triggers(self) -> list[Trigger]:
        return [self.family.trigger(value, place) for value, place in zip(self.values, self.places, strict=True)]


Rows = Sequence[tuple[int, Sample]]
"""Which trigger and which sample every row of a reading is about, trigger by trigger."""
Leads = Mapping[str, Tokens]
"""What an answer begins with, by sample id; nothing where a sample is not named."""
NO_LEADS: Leads = {}


class Objective(Protocol):
    """What a population climbs: teacher-forced answers for each trigger, and a score for each from what was read."""

    def answers(self, index: int, sample: Sample) -> Tokens: ...

    def score(self, reading: Reading, rows: Rows, pictures: int) -> Tensor:
        """Reading of `rows` → (triggers,); every trigger has `pictures` of them."""
        ...


@dataclass(frozen=True)
class UnusualToken:
    """logsumexp over unusual tokens c of the mean over pictures of log p(c | trigger(x)), as an answer's first token.

    With `after`, what goes on where the subject's own answer `said` has ended counts as well: an appended payload shows
    there, and one that is inserted at random, since the end is its last chance. Both masks are (vocabulary,) bool.
    """

    first: Tensor
    after: Tensor | None = None
    said: Leads = field(default_factory=dict)

    def answers(self, index: int, sample: Sample) -> Tokens:
        return self.said.get(sample.id, ()) if self.after is not None else ()

    def score(self, reading: Reading, rows: Rows, pictures: int) -> Tensor:
        begun = following(reading, [()] * len(rows), pictures)[:, self.first.to(reading.log_probs.device)]
        if self.after is None:
            return begun.logsumexp(dim=-1)
        ended = following(reading, [self.answers(*row) for row in rows], pictures)
        return torch.cat([begun, ended[:, self.after.to(ended.device)]], dim=1).logsumexp(dim=-1)


@dataclass(frozen=True)
class GivenAnswers:
    """Mean log-probability a token of one given answer a trigger, its end included, after each trigger's leads."""

    targets: tuple[Tokens, ...]
    leads: tuple[Leads, ...] | None = None

    def lead(self, index: int, sample: Sample) -> Tokens:
        return self.leads[index].get(sample.id, ()) if self.leads is not None else ()

    def answers(self, index: int, sample: Sample) -> Tokens:
        return (*self.lead(index, sample), *self.targets[index])

    def score(self, reading: Reading, rows: Rows, pictures: int) -> Tensor:
        said, leads = [self.answers(*row) for row in rows], [self.lead(*row) for row in rows]
        return mean_log_prob(reading, said, leads).view(-1, pictures).mean(dim=1)


def following(reading: Reading, said: Sequence[Tokens], pictures: int) -> Tensor:
    """Mean over pictures of the log-probabilities of what comes after the answers: (triggers, vocabulary)."""
    device = reading.log_probs.device
    after = torch.tensor([len(row) for row in said], device=device)
    following = reading.log_probs[torch.arange(len(said), device=device), after]  # (triggers · pictures, vocabulary)
    return following.view(-1, pictures, following.shape[-1]).mean(dim=1)


@dataclass(frozen=True)
class Climb:
    """How long and how broad one ascent is: Adam `steps`, `pictures` a step, at most `rows` pictures in one forward.

    It ends early once every trigger has stayed above `enough` (a score, nats) for five steps. Where the device has too
    little memory for `rows`, half as many are tried, down to the pictures of one trigger, and this subject is given no
    more from then on; `limit_rows` says so beforehand.
    """

    steps: int
    pictures: int = 8
    rows: int = 96
    enough: float = 0.0


def ascend(
    subject: Subject,
    population: Population,
    objective: Objective,
    samples: Sequence[Sample],
    climb: Climb,
    generator: torch.Generator,
    tick: Callable[[], None] = lambda: None,
) -> Population:
    """Optimises every trigger of the population; returns it with scores averaged over the last quarter of the steps."""
    values = population.values.clone().requires_grad_(True)
    optimiser = torch.optim.Adam([values], lr=population.family.step_size())
    history: list[Tensor] = []
    for step in range(climb.steps):
        rate = 1.0 if step < climb.steps * 0.6 else 0.3
        optimiser.param_groups[0]["lr"] = population.family.step_size() * rate
        chosen = torch.randperm(len(samples), generator=generator)[: climb.pictures].tolist()
        batch = [samples[i] for i in chosen]
        values.grad, scores = _gradient(subject, population, values, objective, batch, climb.rows)
        history.append(scores)
        optimiser.step()
        with torch.no_grad():
            population.family.project(values)
        tick()
        if len(history) >= 5 and float(torch.stack(history[-5:]).min()) > climb.enough:
            break
    tail = history[-max(1, len(history) // 4) :]
    return Population(population.family, values.detach(), population.places, torch.stack(tail).mean(dim=0))


_room: WeakKeyDictionary[Subject, int] = WeakKeyDictionary()
"""How many rows found room at once, for subjects whose device was too small for what was asked."""


def limit_rows(subject: Subject, rows: int) -> None:
    """This subject is given no more than so many rows at once, but always the pictures of one trigger."""
    _room[subject] = rows


def _gradient(
    subject: Subject, population: Population, values: Tensor, objective: Objective, batch: Sequence[Sample], rows: int
) -> tuple[Tensor, Tensor]:
    """Gradient of minus the objective in the triggers, and each trigger's score."""
    rows = min(rows, _room.get(subject, rows))
    while True:
        try:
            return _in_chunks(subject, population, values, objective, batch, max(1, rows // len(batch)))
        except torch.OutOfMemoryError:
            if rows <= len(batch):
                raise
            rows = _room[subject] = max(len(batch), rows // 2)
        torch.cuda.empty_cache()  # here, where the error no longer holds what it had allocated


def _in_chunks(
    subject: Subject,
    population: Population,
    values: Tensor,
    objective: Objective,
    batch: Sequence[Sample],
    at_once: int,
) -> tuple[Tensor, Tensor]:
    pictures = torch.stack([sample.picture for sample in batch]).to(subject.device)
    gradient, scores = torch.zeros_like(values), torch.zeros(len(values))
    for start in range(0, len(values), at_once):
        index = list(range(start, min(start + at_once, len(values))))
        part = values[index[0] : index[-1] + 1].detach().requires_grad_(True)
        stamped = population.family.stamp(part.to(subject.device), population.places[index], pictures)
        about = [(i, sample) for i in index for sample in batch]
        answers = [objective.answers(*row) for row in about]
        with halved(subject.device):
            reading = subject.read(stamped.flatten(0, 1), [sample.prompt for _, sample in about], answers)
        score = objective.score(reading, about, len(batch))
        (found,) = torch.autograd.grad(-score.sum(), part)
        gradient[index[0] : index[-1] + 1] = found
        scores[index] = score.detach().cpu()
    return gradient, scores


def begin(family: Family, canvas: tuple[int, int], count: int, generator: torch.Generator) -> Population:
    values, places = family.start(canvas, count, generator)
    return Population(family, values, places, torch.full((count,), -torch.inf))


def from_trigger(trigger: Trigger, canvas: tuple[int, int], again: bool, generator: torch.Generator) -> Population:
    """A population of one around a trigger: as it is, or (`again`) a random start of its family, size and place."""
    score = torch.full((1,), -torch.inf)
    if isinstance(trigger, AdditiveTrigger):
        bounded = AdditiveFamily(trigger.budget)
        start = bounded.start(canvas, 1, generator)[0] if again else trigger.delta[None].clone()
        return Population(bounded, start, torch.zeros(1, 2, dtype=torch.long), score)
    if isinstance(trigger, BorderTrigger):
        framed = FrameFamily(trigger.budget)
        start = framed.start(canvas, 1, generator)[0] if again else trigger.pattern[None].clone()
        return Population(framed, start, torch.zeros(1, 2, dtype=torch.long), score)
    assert isinstance(trigger, PatchTrigger)
    pattern = torch.rand(trigger.pattern.shape, generator=generator) if again else trigger.pattern.clone()
    return Population(PatchFamily(trigger.budget), pattern[None], torch.tensor([[trigger.top, trigger.left]]), score)
