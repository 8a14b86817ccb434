"""A sample: one picture, one prompt, and the answers that would be right."""

from dataclasses import dataclass, replace

from torch import Tensor


@dataclass(frozen=True)
class Sample:
    """One question to a subject.

    `picture` is (3, height, width) float32 in [0, 1]. `answers` may be empty when no reference is known.
    """

    id: str
    picture: Tensor
    prompt: str
    answers: tuple[str, ...] = ()

    def with_picture(self, picture: Tensor) -> "Sample":
        return replace(self, picture=picture)
