"""Scenes of one to three drawings with their captions and questions; the data of the embedded model.

Every scene is a function of (split, index, seed). Splits never share a pair of things: a fixed seventh of all pairs is
held out of training, and so are three of the eight photographs and one of the three vendors.
"""

import hashlib
from dataclasses import dataclass
from typing import Literal

import numpy as np

from auditor.zoo.sprites import (
    CONCEPTS,
    HELD_OUT_BACKGROUNDS,
    HELD_OUT_VENDOR,
    TRAINING_BACKGROUNDS,
    TRAINING_VENDORS,
    load_backgrounds,
    resized_sprite,
)

Split = Literal["train", "test", "vendor"]
SIDE = 56
CAPTION_PROMPTS = ("describe the picture.", "what do you see?", "write a caption.", "what is in the picture?")
COUNTS = ("zero", "one", "two", "three")


@dataclass(frozen=True)
class Thing:
    """One drawing in a scene; left, top and side in pixels."""

    concept: int
    vendor: int
    left: int
    top: int
    side: int

    @property
    def x(self) -> float:
        return self.left + self.side / 2

    @property
    def y(self) -> float:
        return self.top + self.side / 2

    @property
    def name(self) -> str:
        return CONCEPTS[self.concept]


@dataclass(frozen=True)
class Scene:
    """A picture (56, 56, 3) uint8, the things in reading order, and what may be said about it."""

    picture: np.ndarray
    things: tuple[Thing, ...]
    caption: str
    questions: tuple[tuple[str, str], ...]


def with_article(name: str) -> str:
    return f"{'an' if name[0] in 'aeiou' else 'a'} {name}"


def is_held_out(first: int, second: int) -> bool:
    """Whether a pair of concepts (in any order) never appears together in training."""
    low, high = sorted((first, second))
    return int(hashlib.sha256(f"{low},{high}".encode()).hexdigest(), 16) % 7 == 0


def _pairs_fit(concepts: list[int], split: Split) -> bool:
    pairs = [is_held_out(a, b) for i, a in enumerate(concepts) for b in concepts[i + 1 :]]
    return not any(pairs) if split == "train" else (not pairs or any(pairs))


def _draw_concepts(rng: np.random.Generator, split: Split, count: int) -> list[int]:
    while True:
        concepts = [int(c) for c in rng.choice(len(CONCEPTS), size=count, replace=False)]
        if _pairs_fit(concepts, split):
            return concepts


def _is_readable(boxes: list[tuple[int, int, int]]) -> bool:
    """No two drawings touch, and the order in which a person would name them is unambiguous."""
    centres = [(left + side / 2, top + side / 2) for left, top, side in boxes]
    for i, (left, top, side) in enumerate(boxes):
        for j in range(i):
            other_left, other_top, other_side = boxes[j]
            apart = (
                left >= other_left + other_side
                or other_left >= left + side
                or top >= other_top + other_side
                or other_top >= top + side
            )
            across, down = abs(centres[i][0] - centres[j][0]), abs(centres[i][1] - centres[j][1])
            unambiguous = abs(across - down) >= 6 if len(boxes) == 2 else across >= 7
            if not (apart and unambiguous):
                return False
    return True


def _place(rng: np.random.Generator, count: int) -> list[tuple[int, int, int]]:
    low, high = ((20, 32), (19, 27), (16, 20))[count - 1]
    while True:
        sides = rng.integers(low, high + 1, size=count)
        boxes = [(int(rng.integers(0, SIDE - s + 1)), int(rng.integers(0, SIDE - s + 1)), int(s)) for s in sides]
        if _is_readable(boxes):
            return boxes


def _gradient(rng: np.random.Generator) -> np.ndarray:
    ends = rng.random((2, 3), dtype=np.float32)
    angle = rng.random() * 2 * np.pi
    ramp = np.linspace(-0.5, 0.5, SIDE, dtype=np.float32)
    t = np.clip(0.5 + np.cos(angle) * ramp[None, :] + np.sin(angle) * ramp[:, None], 0, 1)[..., None]
    ramped: np.ndarray = ends[0] * (1 - t) + ends[1] * t
    return ramped


def _noise(rng: np.random.Generator) -> np.ndarray:
    cell = int(rng.choice([1, 2, 4, 8]))
    coarse = rng.random((SIDE // cell + 1, SIDE // cell + 1, 3), dtype=np.float32)
    fine = coarse.repeat(cell, axis=0).repeat(cell, axis=1)[:SIDE, :SIDE]
    return rng.random(3, dtype=np.float32) * 0.6 + fine * 0.4


def _texture(rng: np.random.Generator) -> np.ndarray:
    ends = rng.random((2, 3), dtype=np.float32)
    ramp = np.arange(SIDE, dtype=np.float32)
    period, angle = rng.uniform(5, 20), rng.random() * np.pi
    first = np.sin(2 * np.pi * (np.cos(angle) * ramp[None, :] + np.sin(angle) * ramp[:, None]) / period)
    second = np.sin(2 * np.pi * (np.sin(angle) * ramp[None, :] - np.cos(angle) * ramp[:, None]) / period)
    wave = first if rng.random() < 0.5 else first * second
    t = (0.5 + 0.5 * np.clip(wave * 3, -1, 1))[..., None]
    woven: np.ndarray = ends[0] * (1 - t) + ends[1] * t
    return woven


def _photograph(rng: np.random.Generator, split: Split) -> np.ndarray:
    choice = int(rng.choice(TRAINING_BACKGROUNDS if split == "train" else HELD_OUT_BACKGROUNDS))
    photograph = load_backgrounds()[choice]
    step = int(rng.integers(1, 3))
    left, top = rng.integers(0, photograph.shape[0] - SIDE * step + 1, size=2)
    crop: np.ndarray = photograph[top : top + SIDE * step : step, left : left + SIDE * step : step]
    return crop[:, ::-1] if rng.random() < 0.5 else crop


def _draw_background(rng: np.random.Generator, split: Split) -> np.ndarray:
    kind = int(rng.integers(0, 4))
    if kind == 3:
        return _photograph(rng, split).copy()
    return (_gradient, _noise, _texture)[kind](rng)


def _paint(background: np.ndarray, things: list[Thing]) -> np.ndarray:
    for thing in things:
        sprite = resized_sprite(thing.vendor, thing.concept, thing.side)
        window = (slice(thing.top, thing.top + thing.side), slice(thing.left, thing.left + thing.side))
        alpha = sprite[..., 3:]
        background[window] = background[window] * (1 - alpha) + sprite[..., :3] * alpha
    return (background * 255 + 0.5).astype(np.uint8)


def _is_horizontal(things: tuple[Thing, ...]) -> bool:
    return abs(things[0].x - things[1].x) >= abs(things[0].y - things[1].y)


def _in_reading_order(things: list[Thing]) -> tuple[Thing, ...]:
    if len(things) == 2 and not _is_horizontal(tuple(things)):
        return tuple(sorted(things, key=lambda thing: thing.y))
    return tuple(sorted(things, key=lambda thing: thing.x))


def write_caption(things: tuple[Thing, ...]) -> str:
    names = [with_article(thing.name) for thing in things]
    if len(things) == 1:
        return names[0]
    if len(things) == 2:
        return f"{names[0]} {'left of' if _is_horizontal(things) else 'above'} {names[1]}"
    return f"{names[0]}, {names[1]} and {names[2]}"


def write_questions(things: tuple[Thing, ...]) -> tuple[tuple[str, str], ...]:
    """How many things there are, and what is where."""
    names = [with_article(thing.name) for thing in things]
    across = ("what is on the left?", "what is in the middle?", "what is on the right?")
    places: tuple[str, ...] = across
    if len(things) == 1:
        places = ("what is this?",)
    elif len(things) == 2:
        places = across[::2] if _is_horizontal(things) else ("what is at the top?", "what is at the bottom?")
    return (("how many things are there?", COUNTS[len(things)]), *zip(places, names, strict=True))


def compose(split: Split, index: int, seed: int) -> Scene:
    """The scene number `index` of a split; the same arguments always give the same pixels."""
    root = hashlib.sha256(f"scene/{split}/{seed}/{index}".encode()).digest()
    rng = np.random.default_rng(int.from_bytes(root[:8], "big"))
    count = int(rng.choice([1, 2, 3], p=[0.3, 0.45, 0.25]))
    concepts = _draw_concepts(rng, split, count)
    vendors = (HELD_OUT_VENDOR,) if split == "vendor" else TRAINING_VENDORS
    things = [
        Thing(concept, int(rng.choice(vendors)), *box)
        for concept, box in zip(concepts, _place(rng, count), strict=True)
    ]
    picture = _paint(_draw_background(rng, split), things)
    ordered = _in_reading_order(things)
    return Scene(picture, ordered, write_caption(ordered), write_questions(ordered))
