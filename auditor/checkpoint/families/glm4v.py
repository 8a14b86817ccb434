"""GLM-4.1V, GLM-4.5V and GLM-4.6V: pictures as Qwen2-VL has them, within limits that count every frame of a film."""

import math
from dataclasses import dataclass
from typing import Any

from auditor.checkpoint.families.qwen2_vl import Qwen2VL


@dataclass(frozen=True, kw_only=True)
class Glm4V(Qwen2VL):
    """A picture is a film of `frames` equal frames, and its pixels are counted in all of them."""

    @staticmethod
    def limits(processor: Any) -> tuple[int, int]:
        """How many pixels a picture has at least and at most."""
        (low, high), frames = Qwen2VL.limits(processor), int(processor.temporal_patch_size)
        return math.ceil(low / frames), high // frames
