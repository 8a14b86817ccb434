"""What some detectors ask beyond answers: attention, weights, and many continuations of one question at once.

Optional: a subject that offers one of these simply has the method; `isinstance` tells.
"""

from collections.abc import Mapping, Sequence
from typing import Protocol, runtime_checkable

from torch import Tensor

from probes.subject import Tokens

Weights = Mapping[str, Tensor]


@runtime_checkable
class Inspectable(Protocol):
    """A subject whose attention and weights can be looked at; no gradient in either."""

    def attention(self, pictures: Tensor, prompts: Sequence[str], layers: int) -> Tensor:
        """How the first `layers` layers of the language model look at the picture from where the answer begins.

        (layers, batch, heads, visual tokens): raw attention weights of the last prompt token, so each row sums to what
        falls on the picture, at most 1. Fewer layers come back from a shallower model.
        """
        ...

    def weights(self) -> Weights:
        """Every parameter by name, a shared one once; views of the weights themselves, not copies."""
        ...


@runtime_checkable
class Branching(Protocol):
    """A subject that continues one question in many ways without reading it again each time."""

    def branch(self, pictures: Tensor, prompts: Sequence[str], continuations: Sequence[Tokens]) -> Tensor:
        """Log-probabilities of what comes after each continuation: (batch, continuations, vocabulary), no gradient.

        All continuations are equally long, at least one token. Raises ValueError otherwise.
        """
        ...
