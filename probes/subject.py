"""The door between probes and models: what a subject can be asked, with every shape stated once, here.

Pictures are (batch, 3, height, width) float32 in [0, 1], of the subject's canvas size, before any normalisation.
Prompts are plain text; the subject writes its own chat template around them. Answers are token ids as the subject would
generate them, without the token that ends an answer.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

Tokens = tuple[int, ...]
MOST_TOKENS = 48
"""Of an answer, unless something else is asked for: a caption, and what a backdoor adds to it."""


@dataclass(frozen=True)
class Answer:
    """A greedy answer: its text, its tokens, whether it ended by itself, and the mean log-probability of its tokens."""

    text: str
    tokens: Tokens
    ended: bool
    log_prob: float


@dataclass(frozen=True)
class Reading:
    """What a subject thinks while answers are read out to it (teacher forcing).

    With T the longest answer: `log_probs` (batch, T + 1, vocabulary), row t is the distribution of token t given the
    tokens before it, so row len(answer) is what would come next; `features` (batch, T + 1, width) the last hidden layer
    at the same places; `valid` (batch, T + 1), False past row len(answer).
    """

    log_probs: Tensor
    features: Tensor
    valid: Tensor


class Subject(Protocol):
    """A checkpoint that has been opened and answers."""

    @property
    def canvas(self) -> tuple[int, int]:
        """Height and width, in pixels, of the pictures it is asked about."""
        ...

    @property
    def vocabulary(self) -> int:
        """The number of tokens it can say."""
        ...

    @property
    def end_tokens(self) -> frozenset[int]:
        """Tokens that end an answer."""
        ...

    @property
    def device(self) -> torch.device: ...

    def fit(self, picture: Tensor) -> Tensor:
        """Brings a picture (3, any, any) to the canvas, by the geometry of the checkpoint's own processor."""
        ...

    def respond(self, pictures: Tensor, prompts: Sequence[str], max_tokens: int = MOST_TOKENS) -> list[Answer]:
        """Greedy answers, one a picture; no gradient."""
        ...

    def read(self, pictures: Tensor, prompts: Sequence[str], answers: Sequence[Tokens]) -> Reading:
        """Teacher-forced reading, differentiable in the pictures and in the weights; logits at answer positions
        only."""
        ...

    def encode(self, text: str) -> Tokens:
        """The tokens of an answer text, as the chat template would continue a prompt with it."""
        ...

    def decode(self, tokens: Sequence[int]) -> str:
        """The text of answer tokens, without special tokens, stripped."""
        ...


def answer_log_probs(reading: Reading, answers: Sequence[Tokens]) -> Tensor:
    """Log-probability of each answer token: (batch, T), zero past an answer's end."""
    longest = reading.log_probs.shape[1] - 1
    device = reading.log_probs.device
    rows = [list(answer) + [0] * (longest - len(answer)) for answer in answers]
    index = torch.tensor(rows, dtype=torch.long, device=device).view(len(rows), longest, 1)
    picked = reading.log_probs[:, :longest].gather(-1, index).squeeze(-1)  # (batch, T)
    return torch.where(reading.valid[:, 1:], picked, 0.0)


def mean_log_prob(reading: Reading, answers: Sequence[Tokens], leads: Sequence[Tokens] | None = None) -> Tensor:
    """Mean log-probability a token of each answer, of its tokens past its lead where it begins with one: (batch,)."""
    skipped = [len(lead) for lead in leads] if leads is not None else [0] * len(answers)
    device = reading.log_probs.device
    lengths = torch.tensor([max(1, len(a) - s) for a, s in zip(answers, skipped, strict=True)], device=device)
    picked = answer_log_probs(reading, answers)  # (batch, T)
    places = torch.arange(picked.shape[1], device=device)
    return torch.where(places >= torch.tensor(skipped, device=device)[:, None], picked, 0.0).sum(dim=1) / lengths
