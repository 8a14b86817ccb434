"""Patch-perturbed views: the same picture with a share of its patches disturbed."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import torch
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d, interpolate

Fill = Literal["noise", "mean", "blur", "swap"]
FILLS: tuple[Fill, ...] = get_args(Fill)
Grid = tuple[int, int]


@dataclass(frozen=True)
class ViewPlan:
    """Which views every sample gets: `views` of them for each fill and ratio, on one patch grid (rows, columns).

    Raises ValueError for an unknown fill, a ratio outside (0, 1), no views, or a grid without patches.
    """

    fills: tuple[Fill, ...] = FILLS
    ratios: tuple[float, ...] = (0.3, 0.6)
    views: int = 4
    grid: Grid = (7, 7)

    def __post_init__(self) -> None:
        unknown = set(self.fills) - set(FILLS)
        if unknown or not self.fills:
            raise ValueError(f"fills are {list(self.fills)}; give one or more of {', '.join(FILLS)}")
        if not self.ratios or not all(0 < ratio < 1 for ratio in self.ratios):
            raise ValueError(f"ratios are {list(self.ratios)}; each must lie strictly between 0 and 1")
        if self.views < 1 or min(self.grid) < 1:
            raise ValueError(f"{self.views} views on a grid of {self.grid}; both need to be at least 1")

    @property
    def family(self) -> tuple[tuple[Fill, float], ...]:
        """Every (fill, ratio), in the order in which results are kept."""
        return tuple((fill, ratio) for fill in self.fills for ratio in self.ratios)


def patch_masks(count: int, grid: Grid, ratio: float, generator: torch.Generator) -> Tensor:
    """Masks (count, grid_h, grid_w) bool with exactly round(ratio · patches) patches True, drawn uniformly."""
    patches = grid[0] * grid[1]
    ranks = torch.rand(count, patches, generator=generator).argsort(dim=1).argsort(dim=1)
    return (ranks < round(ratio * patches)).view(count, *grid)


def pixel_masks(masks: Tensor, size: tuple[int, int]) -> Tensor:
    """Patch masks (b, gh, gw) at pixel resolution: (b, 1, h, w) bool; pixel row y lies in patch row ⌊y · gh / h⌋."""
    rows = torch.arange(size[0], device=masks.device) * masks.shape[1] // size[0]
    columns = torch.arange(size[1], device=masks.device) * masks.shape[2] // size[1]
    return masks[:, rows][:, :, columns].unsqueeze(1)


def perturb(
    pictures: Tensor, masks: Tensor, fill: Fill, generator: torch.Generator, others: Tensor | None = None
) -> Tensor:
    """Views (b, 3, h, w) in [0, 1]: outside `masks` (b, gh, gw) exactly the picture, with gradient; inside, the fill.

    No gradient flows through the fill. `others` (b, 3, h, w) are the clean pictures that "swap" takes patches from; it
    raises ValueError without them, and when pictures and masks differ in number.
    """
    if len(pictures) != len(masks):
        raise ValueError(f"{len(pictures)} pictures but {len(masks)} masks; give one mask a picture")
    hidden = pixel_masks(masks.to(pictures.device), (pictures.shape[-2], pictures.shape[-1]))
    content = _content(pictures.detach(), (masks.shape[1], masks.shape[2]), fill, generator, others)
    return torch.where(hidden, content, pictures)


def _content(pictures: Tensor, grid: Grid, fill: Fill, generator: torch.Generator, others: Tensor | None) -> Tensor:
    size = (pictures.shape[-2], pictures.shape[-1])
    if fill == "noise":
        return torch.rand(pictures.shape, generator=generator).to(pictures)
    if fill == "mean":
        return pictures.mean(dim=(-2, -1), keepdim=True).expand_as(pictures)
    if fill == "blur":
        coarse = adaptive_avg_pool2d(pictures, grid)  # (b, 3, gh, gw): nothing finer than a patch survives
        return interpolate(coarse, size=size, mode="bilinear", align_corners=False).clamp(0, 1)
    if others is None or others.shape != pictures.shape:
        got = None if others is None else tuple(others.shape)
        raise ValueError(f'fill "swap" got others {got}; it needs clean pictures of shape {tuple(pictures.shape)}')
    return others.detach().to(pictures)


def draw_views(
    picture: Tensor, fill: Fill, ratio: float, plan: ViewPlan, generator: torch.Generator, pool: Sequence[Tensor] = ()
) -> Tensor:
    """The plan's views of one picture (3, h, w) for one fill and ratio: (views, 3, h, w).

    `pool` holds clean pictures of the same shape, the picture itself not among them; only "swap" draws from it.
    """
    masks = patch_masks(plan.views, plan.grid, ratio, generator)
    others = None
    if fill == "swap" and pool:
        picks = torch.randint(len(pool), (plan.views,), generator=generator)
        others = torch.stack([pool[int(pick)] for pick in picks])
    return perturb(picture.expand(plan.views, -1, -1, -1), masks, fill, generator, others)


def padded_batches(count: int, size: int) -> Iterator[tuple[list[int], int]]:
    """Indices of `count` items in batches of one length, the last padded by its last item; and how many are real.

    The length is min(size, count), because an answer may change in its last digits with the shape of its batch.
    """
    length = min(size, count)
    for start in range(0, count, max(1, length)):
        real = list(range(start, min(start + length, count)))
        yield real + real[-1:] * (length - len(real)), len(real)
