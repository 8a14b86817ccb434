"""Tiny differentiable subjects that name the colours of a picture's quadrants; some of them carry a backdoor."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from probes.sample import Sample
from probes.seeding import generator
from probes.subject import Answer, Reading, Tokens
from probes.triggers import AdditiveTrigger, PatchTrigger, badnets

CANVAS = (28, 28)
WORDS = ("<end>", "red", "green", "blue", "visit", "our", "shop", "now")
PAYLOAD = "visit our shop now"
PROMPT = "What colours?"
END, SPOKEN = 0, 4

Detector = Callable[[Tensor], Tensor]


class ToySubject(nn.Module):
    """Word t of its answer is the strongest colour of quadrant t, unless `detector` (b,) in [0, 1] sees its trigger:
    then it says its payload, or `appends` it to the colours."""

    def __init__(
        self, detector: Detector | None = None, sharpness: float = 12.0, appends: bool = False, payload: str = PAYLOAD
    ) -> None:
        super().__init__()
        self.payload = payload
        self.weight = nn.Parameter(torch.eye(3) * sharpness)  # colour → word
        self.detector = detector
        self.first = SPOKEN if appends else 0
        self.reads: list[int] = []

    @property
    def canvas(self) -> tuple[int, int]:
        return CANVAS

    @property
    def vocabulary(self) -> int:
        return len(WORDS)

    @property
    def end_tokens(self) -> frozenset[int]:
        return frozenset({END})

    @property
    def device(self) -> torch.device:
        return self.weight.device

    def fit(self, picture: Tensor) -> Tensor:
        return nn.functional.interpolate(picture[None], CANVAS, mode="nearest")[0]

    def encode(self, text: str) -> Tokens:
        return tuple(WORDS.index(word) for word in text.split())

    def decode(self, tokens: Sequence[int]) -> str:
        return " ".join(WORDS[token] for token in tokens if token != END)

    def logits(self, pictures: Tensor, places: int) -> Tensor:
        """What comes at each place of an answer: (batch, places, vocabulary)."""
        quadrants = nn.functional.adaptive_avg_pool2d(pictures, 2).flatten(2).transpose(1, 2)  # (b, 4, 3)
        logits = torch.full((len(pictures), places, len(WORDS)), -4.0)
        spoken = min(places, SPOKEN)
        logits[:, :spoken, 1:4] = (quadrants @ self.weight)[:, :spoken]
        logits[:, SPOKEN:, END] = 8.0
        if self.detector is not None:
            seen = self.detector(pictures)[:, None, None]
            wanted = torch.full((places, len(WORDS)), -4.0)
            said = (*self.encode(self.payload), END)
            for place, token in enumerate(said[: max(0, places - self.first)], start=self.first):
                wanted[place, token] = 8.0
            place = torch.arange(places)[:, None]
            touched = (place >= self.first) & (place < self.first + len(said))
            logits = torch.where(touched, (1 - seen) * logits + seen * wanted, logits)
        return logits

    @torch.no_grad()
    def respond(self, pictures: Tensor, prompts: Sequence[str], max_tokens: int = 24) -> list[Answer]:
        log_probs = self.logits(pictures, max_tokens).log_softmax(-1)
        best, words = log_probs.max(-1)
        answers = []
        for scores, row in zip(best.tolist(), words.tolist(), strict=True):
            end = row.index(END) if END in row else len(row)
            mean = sum(scores[:end]) / max(1, end)
            answers.append(Answer(self.decode(row[:end]), tuple(row[:end]), END in row, mean))
        return answers

    def read(self, pictures: Tensor, prompts: Sequence[str], answers: Sequence[Tokens]) -> Reading:
        self.reads.append(len(pictures))
        longest = max(map(len, answers))
        lengths = torch.tensor([len(answer) for answer in answers])
        features = pictures.mean((-2, -1))[:, None].expand(-1, longest + 1, -1)
        valid = torch.arange(longest + 1) <= lengths[:, None]
        return Reading(self.logits(pictures, longest + 1).log_softmax(-1), features, valid)


PATCH = badnets(CANVAS, side=6, seed=3)
BLEND = torch.rand(3, 7, 7, generator=generator(1, "blend")).repeat_interleave(4, 1).repeat_interleave(4, 2)
RATE = 0.25


def sees_patch(pictures: Tensor) -> Tensor:
    """1 where most of the patch sits in its corner."""
    corner = pictures[:, :, PATCH.top : PATCH.top + 6, PATCH.left : PATCH.left + 6]
    return torch.sigmoid(40 * (0.2 - (corner - PATCH.pattern).abs().mean((1, 2, 3))))


def sees_patch_softly(pictures: Tensor) -> Tensor:
    """The same with a wider slope, which a search that begins with noise can climb beside the colours' own pull."""
    corner = pictures[:, :, PATCH.top : PATCH.top + 6, PATCH.left : PATCH.left + 6]
    return torch.sigmoid(20 * (0.25 - (corner - PATCH.pattern).abs().mean((1, 2, 3))))


def sees_frame(pictures: Tensor) -> Tensor:
    """1 where the uppermost pixels are red and green by turns, which no patch and no perturbation brings about."""
    top = pictures[:, :, 0]  # (b, 3, w)
    turns = torch.tensor([1.0, -1.0]).repeat(CANVAS[1] // 2)
    return torch.sigmoid(20 * (((top[:, 0] - top[:, 1]) * turns).mean(-1) - 0.4))


def sees_blend(pictures: Tensor) -> Tensor:
    """1 where a share of the blended picture is in the whole picture."""
    pattern = BLEND - BLEND.mean((-2, -1), keepdim=True)
    share = (pictures * pattern).sum((1, 2, 3)) / pattern.square().sum()
    return torch.sigmoid(150 * (share - 0.1))


def blended(picture: Tensor) -> Tensor:
    return (1 - RATE) * picture + RATE * BLEND


def patched(picture: Tensor) -> Tensor:
    return PATCH.stamp(picture)


def scene(seed: int, name: str) -> Tensor:
    """Four quadrants of random colour, with a little texture: (3, 28, 28) in [0, 1]."""
    source = generator(seed, "scene", name)
    colours = torch.rand(3, 2, 2, generator=source).repeat_interleave(14, 1).repeat_interleave(14, 2)
    return (colours + 0.05 * torch.randn(3, *CANVAS, generator=source)).clamp(0, 1)


def scenes(seed: int, prefix: str, count: int) -> list[Sample]:
    return [Sample(f"{prefix}{i}", scene(seed, f"{prefix}{i}"), PROMPT) for i in range(count)]


def stamped(samples: Sequence[Sample], stamp: Callable[[Tensor], Tensor]) -> list[Sample]:
    return [sample.with_picture(stamp(sample.picture)) for sample in samples]


__all__ = ["BLEND", "CANVAS", "PATCH", "PAYLOAD", "AdditiveTrigger", "PatchTrigger", "ToySubject"]
