"""The drawings that scenes are made of: 48 things by three vendors, and photographs for backgrounds."""

from functools import cache
from pathlib import Path

import numpy as np
from PIL import Image

ASSETS = Path(__file__).parent / "assets"
SPRITE_SIDE = 40
BACKGROUND_SIDE = 160

VENDORS = ("noto", "fluent-emoji-flat", "noto-v1")
"""Rows of the sheet. The last is never trained on: it is the harder split."""
TRAINING_VENDORS = (0, 1)
HELD_OUT_VENDOR = 2

BACKGROUNDS = ("astronaut", "chelsea", "coffee", "brick", "rocket", "grass", "gravel", "hubble")
"""Columns of the background sheet. The last three are never trained on."""
TRAINING_BACKGROUNDS = (0, 1, 2, 3, 4)
HELD_OUT_BACKGROUNDS = (5, 6, 7)

CONCEPTS = (
    "sailboat", "hot pepper", "red apple", "lemon", "pineapple", "strawberry", "watermelon", "carrot",
    "mushroom", "doughnut", "hamburger", "birthday cake", "frog", "penguin", "tropical fish", "octopus",
    "butterfly", "lady beetle", "snail", "turtle", "panda", "fox", "tulip", "sunflower",
    "cactus", "palm tree", "rocket", "airplane", "fire engine", "tractor", "bicycle", "locomotive",
    "umbrella", "snowman", "fire", "star", "crescent moon", "rainbow", "soccer ball", "basketball",
    "balloon", "wrapped gift", "crown", "guitar", "key", "light bulb", "alarm clock", "anchor",
)  # fmt: skip


@cache
def load_sprites() -> np.ndarray:
    """(vendors, concepts, 40, 40, 4) uint8, RGBA."""
    sheet = np.asarray(Image.open(ASSETS / "sprites.png").convert("RGBA"))
    grid = sheet.reshape(len(VENDORS), SPRITE_SIDE, len(CONCEPTS), SPRITE_SIDE, 4)
    return grid.transpose(0, 2, 1, 3, 4)


@cache
def resized_sprite(vendor: int, concept: int, side: int) -> np.ndarray:
    """(side, side, 4) float32 in [0, 1], RGBA."""
    picture = Image.fromarray(np.ascontiguousarray(load_sprites()[vendor, concept]))
    return np.asarray(picture.resize((side, side), Image.Resampling.BOX), dtype=np.float32) / 255


@cache
def load_backgrounds() -> np.ndarray:
    """(photographs, 160, 160, 3) float32 in [0, 1]."""
    sheet = np.asarray(Image.open(ASSETS / "backgrounds.png").convert("RGB"), dtype=np.float32) / 255
    return sheet.reshape(BACKGROUND_SIDE, len(BACKGROUNDS), BACKGROUND_SIDE, 3).transpose(1, 0, 2, 3)
