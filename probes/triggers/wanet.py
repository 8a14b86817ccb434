"""A smooth elastic warp that the eye hardly sees (WaNet, Nguyen and Tran 2021)."""

from dataclasses import dataclass, field, replace

import torch
from torch import Tensor
from torch.nn import functional

from probes.seeding import generator
from probes.settings import number, whole
from probes.triggers.drawing import another_seed, drawn_once

PAPER_SIDE = 32
"""Side in pixels of the pictures that the paper's strength 0.5 was chosen for; offsets grow with the picture."""


@dataclass(frozen=True)
class WanetTrigger:
    """Every pixel is fetched from a place nearby: random offsets at nodes × nodes points, bicubic in between.

    As in the paper the offsets are divided by their mean size and multiplied by strength / side, in half pictures; the
    side is that of the paper's pictures, so that a larger picture is warped by as large a share of itself.
    """

    seed: int
    strength: float = field(default=0.5, metadata=number(0, 8))
    nodes: int = field(default=4, metadata=whole(1, 32))
    kind: str = "wanet"

    @property
    def budget(self) -> float:
        """The mean offset at the nodes, in half pictures."""
        return self.strength / PAPER_SIDE

    def stamp(self, pictures: Tensor) -> Tensor:
        height, width = pictures.shape[-2:]
        sources = _sources(self, height, width).to(pictures.device).expand(len(pictures), -1, -1, -1)
        warped = functional.grid_sample(pictures.float(), sources, "bilinear", "border", align_corners=True)
        return warped.clamp(0, 1).to(pictures.dtype)

    def placebo(self, generator: torch.Generator) -> "WanetTrigger":
        """Another random warp of the same strength."""
        return replace(self, seed=another_seed(generator))


@drawn_once
def _sources(trigger: WanetTrigger, height: int, width: int) -> Tensor:
    """(height, width, 2): where each pixel is fetched, x then y, in [-1, 1] from edge to edge."""
    nodes = trigger.nodes
    offsets = torch.rand(1, 2, nodes, nodes, generator=generator(trigger.seed, "warp")) * 2 - 1
    offsets = offsets / offsets.abs().mean()
    smooth = functional.interpolate(offsets, (height, width), mode="bicubic", align_corners=True)[0]
    y, x = torch.meshgrid(torch.linspace(-1, 1, height), torch.linspace(-1, 1, width), indexing="ij")
    return (torch.stack([x, y]) + smooth * trigger.strength / PAPER_SIDE).clamp(-1, 1).permute(1, 2, 0)
