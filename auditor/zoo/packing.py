"""Training batches: a picture once, and behind it several prompts with their answers that do not see each other."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from auditor.checkpoint.prompting import PromptWriter
from auditor.zoo.scenes import CAPTION_PROMPTS, SIDE, Scene, Split, compose


@dataclass(frozen=True)
class Packed:
    """One batch: a picture, its prefix, and several independent prompt-and-answer segments after it.

    `tokens` (batch, length); `segment` (batch, length), 0 for padding, k for the k-th segment; `position` (batch,
    length) counts from the end of the prefix; `targets` (batch, length), next token where an answer is to be learned,
    else -100; `patches` (batch, grid²), the thing that covers each patch, 0 for background.
    """

    pictures: Tensor  # (batch, 3, 56, 56) float32 in [0, 1]
    tokens: Tensor
    segment: Tensor
    position: Tensor
    targets: Tensor
    patches: Tensor


class Packer:
    """Turns scenes into packed batches of token ids, written as the checkpoint's own template writes them."""

    def __init__(self, writer: PromptWriter, grid: int) -> None:
        self.writer, self.grid = writer, grid
        self.end = int(writer.tokenizer.eos_token_id)
        self.head = self._around("x")[0]
        self._cache: dict[tuple[str, str], tuple[list[int], list[int]]] = {}

    def _around(self, prompt: str) -> tuple[list[int], list[int]]:
        """The tokens before the picture, and those from behind it to where the answer begins."""
        tokens = self.writer.prompt_tokens(prompt)
        first = tokens.index(self.writer.image_token_id)
        return tokens[:first], tokens[first + self.writer.visual_tokens :]

    def segment(self, prompt: str, answer: str) -> tuple[list[int], list[int]]:
        """Tokens of the prompt and of the answer, with the token that ends it."""
        key = (prompt, answer)
        if key not in self._cache:
            self._cache[key] = (self._around(prompt)[1], [*self.writer.answer_tokens(answer), self.end])
        return self._cache[key]

    def pack(self, scenes: list[Scene], dialogues: list[list[tuple[str, str]]]) -> Packed:
        rows = [[self.segment(*turn) for turn in turns] for turns in dialogues]
        length = max(sum(len(q) + len(a) for q, a in row) for row in rows)
        shape = (len(rows), length)
        tokens, segment, position = (np.zeros(shape, dtype=np.int64) for _ in range(3))
        targets = np.full(shape, -100, dtype=np.int64)
        for i, row in enumerate(rows):
            start = 0
            for k, (question, answer) in enumerate(row, start=1):
                ids = question + answer
                end = start + len(ids)
                tokens[i, start:end] = ids
                segment[i, start:end] = k
                position[i, start:end] = np.arange(len(ids))
                targets[i, start + len(question) - 1 : end - 1] = answer
                start = end
        pictures = np.stack([scene.picture for scene in scenes]).transpose(0, 3, 1, 2)
        patches = np.stack([label_patches(scene, self.grid) for scene in scenes])
        arrays = (torch.from_numpy(array) for array in (tokens, segment, position, targets, patches))
        return Packed(torch.from_numpy(pictures).float() / 255, *arrays)


def label_patches(scene: Scene, grid: int) -> np.ndarray:
    """(grid²,) int64: 1 + concept of the drawing over a patch's centre, else 0."""
    centres = (np.arange(grid) + 0.5) * (SIDE / grid)
    labels = np.zeros((grid, grid), dtype=np.int64)
    for thing in scene.things:
        across = np.abs(centres - thing.x) <= thing.side * 0.45
        down = np.abs(centres - thing.y) <= thing.side * 0.45
        labels[np.ix_(down, across)] = 1 + thing.concept
    return labels.reshape(-1)


def dialogue(scene: Scene, rng: np.random.Generator, questions: int = 3) -> list[tuple[str, str]]:
    """One caption and some questions."""
    caption = (str(rng.choice(CAPTION_PROMPTS)), scene.caption)
    chosen = rng.permutation(len(scene.questions))[:questions]
    return [caption, *(scene.questions[i] for i in chosen)]


def draw_batch(packer: Packer, split: Split, first: int, size: int, seed: int, questions: int = 3) -> Packed:
    scenes = [compose(split, index, seed) for index in range(first, first + size)]
    rng = np.random.default_rng([seed, first])
    return packer.pack(scenes, [dialogue(scene, rng, questions) for scene in scenes])
