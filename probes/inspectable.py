"""What some probes ask beyond answers: attention, weights, many continuations of one question, a gradient in words.

Optional: a subject that offers one of these simply has the method; `isinstance` tells.
"""

from collections.abc import Mapping, Sequence
from typing import Protocol, runtime_checkable

from torch import Tensor

from probes.subject import Reading, Tokens

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


@runtime_checkable
class Wordable(Protocol):
    """A subject that can be read, differentiably in words that are added to its prompts."""

    def added_tokens(self, prompt: str, words: str) -> Tokens:
        """What the words become where they stand at the end of the prompt."""
        ...

    def read_added(
        self, pictures: Tensor, prompts: Sequence[str], answers: Sequence[Tokens], words: str, weights: Tensor
    ) -> Reading:
        """As `read`, with the words at the end of every prompt.

        `weights` (tokens of the words, vocabulary) stands for them: one-hot where it is the words themselves; a
        gradient reaches it. Raises ValueError where the words are not that many tokens in every prompt.
        """
        ...
