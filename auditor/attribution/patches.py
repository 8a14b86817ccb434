"""Attribution of a teacher-forced answer to the patches of a picture: ablation for the map, gradients for its error."""

from dataclasses import dataclass

import torch
from captum.attr import FeatureAblation, IntegratedGradients
from torch import Tensor

from auditor.checkpoint.subject import CheckpointSubject, frozen
from probes.sample import Sample
from probes.subject import Tokens, answer_log_probs, mean_log_prob
from probes.views import pixel_masks

Grid = tuple[int, int]


@dataclass(frozen=True)
class PatchMap:
    """`values` (rows, columns), nats of the answer's log-probability that a patch carries (grey instead of it costs as
    much); `gradient` the same by integrated gradients; `delta` their convergence error in nats."""

    values: list[list[float]]
    gradient: list[list[float]]
    delta: float


@dataclass(frozen=True)
class Faithfulness:
    """The insertion and the deletion curve of a map (Petsiuk et al. 2018): the answer's probability a token, in [0, 1],
    from no patch joined to (taken from) the picture to all of them, in even steps, strongest first."""

    insertion: list[float]
    deletion: list[float]

    @property
    def areas(self) -> tuple[float, float]:
        """Areas under both curves; a faithful map has a large one and a small one."""
        return sum(self.insertion) / len(self.insertion), sum(self.deletion) / len(self.deletion)


def patch_map(subject: CheckpointSubject, sample: Sample, answer: Tokens, grid: Grid = (7, 7)) -> PatchMap:
    """Maps one answer to one sample. The baseline is the picture's mean colour."""

    def log_probability(pictures: Tensor) -> Tensor:
        count = len(pictures)
        answers = [answer] * count
        return answer_log_probs(subject.read(pictures, [sample.prompt] * count, answers), answers).sum(dim=1)

    picture = sample.picture[None].to(subject.device)
    baseline = picture.mean(dim=(2, 3), keepdim=True).expand_as(picture)
    cells = _cells(grid, subject.canvas).to(subject.device)
    with frozen(subject.model):
        with torch.no_grad():
            ablated = FeatureAblation(log_probability).attribute(
                picture, baselines=baseline, feature_mask=cells, perturbations_per_eval=min(subject.batch_size, 25)
            )
        gradients, delta = IntegratedGradients(log_probability).attribute(
            picture,
            baselines=baseline,
            n_steps=24,
            internal_batch_size=subject.batch_size,
            return_convergence_delta=True,
        )
    return PatchMap(
        values=[
            [float(ablated[0, 0][cells[0, 0] == r * grid[1] + c].mean()) for c in range(grid[1])]
            for r in range(grid[0])
        ],
        gradient=[
            [float(gradients[0][:, cells[0, 0] == r * grid[1] + c].sum()) for c in range(grid[1])]
            for r in range(grid[0])
        ],
        delta=float(delta.abs().max()),
    )


def faithfulness(
    subject: CheckpointSubject, sample: Sample, answer: Tokens, values: list[list[float]], steps: int = 10
) -> Faithfulness:
    """How the answer's probability follows the map; a patch that is not in the picture has its mean colour."""
    rows, columns = len(values), len(values[0])
    order = torch.tensor(values).flatten().argsort(descending=True)
    cells = _cells((rows, columns), subject.canvas)[0, 0]
    rank = torch.empty_like(order)
    rank[order] = torch.arange(len(order))
    shares = torch.linspace(0, 1, steps + 1)
    first = rank[cells][None] < (shares * len(order)).round()[:, None, None]  # (steps + 1, height, width)
    picture, grey = sample.picture, sample.picture.mean(dim=(1, 2), keepdim=True).expand_as(sample.picture)
    inserted = torch.where(first[:, None], picture, grey)
    deleted = torch.where(first[:, None], grey, picture)
    count = 2 * (steps + 1)
    with torch.no_grad():
        reading = subject.read(torch.cat([inserted, deleted]), [sample.prompt] * count, [answer] * count)
        probability = mean_log_prob(reading, [answer] * count).exp().cpu()
    return Faithfulness(probability[: steps + 1].tolist(), probability[steps + 1 :].tolist())


def _cells(grid: Grid, canvas: tuple[int, int]) -> Tensor:
    """(1, 1, height, width) int64: the number of the patch each pixel lies in."""
    count = grid[0] * grid[1]
    masks = torch.eye(count, dtype=torch.bool).view(count, *grid)
    return pixel_masks(masks, canvas).float().argmax(dim=0, keepdim=True)


def points_at(values: list[list[float]], window: tuple[int, int, int, int], canvas: tuple[int, int]) -> bool:
    """The pointing game: whether the strongest patch touches the window (top, left, height, width), in pixels."""
    rows, columns = len(values), len(values[0])
    _, row, column = max((value, r, c) for r, line in enumerate(values) for c, value in enumerate(line))
    top, left = row * canvas[0] / rows, column * canvas[1] / columns
    bottom, right = top + canvas[0] / rows, left + canvas[1] / columns
    return top < window[0] + window[2] and window[0] < bottom and left < window[1] + window[3] and window[1] < right
