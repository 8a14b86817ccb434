"""Attribution maps as tiles: the same colours and the same scale before and after, drawn over the stamped picture."""

import io
from collections.abc import Sequence
from dataclasses import dataclass

import matplotlib
import numpy as np
from matplotlib.colors import Normalize
from numpy.typing import NDArray
from PIL import Image

from reports.fields import Grid
from reports.formats import number
from reports.pictures import data_uri
from reports.record import Attribution

SIDE = 336
"""Pixels of a tile's longer side: about 275 dots an inch at the size it is printed."""
COVER = 0.74
"""How much of the picture beneath the map covers."""

Values = NDArray[np.float64]


@dataclass(frozen=True)
class MapTiles:
    """The maps of one answer by label, and the scale that they share: a bar with the values of its two ends."""

    tiles: tuple[tuple[str, str], ...]
    bar: str
    low: str
    high: str


def map_tiles(item: Attribution, under: Image.Image | None) -> MapTiles | None:
    """Tiles of the maps that the item holds; None where it holds none that can be drawn."""
    named = (("map before", item.values_before), ("map after", item.values_after))
    grids = [(label, np.array(values, dtype=float)) for label, values in named if values is not None and _drawn(values)]
    if not grids:
        return None
    norm, colours = scale(np.concatenate([grid.ravel() for _, grid in grids]))
    tiles = tuple((label, _png(_tile(grid, norm, colours, under))) for label, grid in grids)
    ramp = np.linspace(float(norm.vmin or 0.0), float(norm.vmax or 1.0), 256)[None].repeat(8, axis=0)
    return MapTiles(tiles, _png(_coloured(ramp, norm, colours)), number(norm.vmin), number(norm.vmax))


def overlay(values: Grid, under: Image.Image) -> Image.Image:
    """One map over its picture, on a scale of its own."""
    grid = np.array(values, dtype=float)
    return _tile(grid, *scale(grid.ravel()), under)


def scale(values: Values) -> tuple[Normalize, str]:
    """From 0 to the largest value, or even around 0 where values go below it."""
    finite = values[np.isfinite(values)]
    top = max(float(np.abs(finite).max()) if finite.size else 0.0, 1e-12)
    if finite.size and finite.min() < -0.05 * top:
        return Normalize(-top, top), "PuOr_r"
    return Normalize(0.0, top), "inferno"


def _tile(grid: Values, norm: Normalize, colours: str, under: Image.Image | None) -> Image.Image:
    over = _coloured(grid, norm, colours)
    ratio = under.height / under.width if under is not None else grid.shape[0] / grid.shape[1]
    size = (SIDE, max(1, round(SIDE * ratio))) if ratio <= 1 else (max(1, round(SIDE / ratio)), SIDE)
    over = over.resize(size, Image.Resampling.NEAREST)
    if under is None:
        return over
    grey = under.convert("L").convert("RGB").resize(size, Image.Resampling.BILINEAR)
    return Image.blend(grey, over, COVER)


def _coloured(values: Values, norm: Normalize, colours: str) -> Image.Image:
    shades = matplotlib.colormaps[colours](norm(np.nan_to_num(values)))[..., :3]
    return Image.fromarray((np.asarray(shades) * 255).round().astype(np.uint8))


def _png(picture: Image.Image) -> str:
    buffer = io.BytesIO()
    picture.save(buffer, "PNG", optimize=True)
    return data_uri("image/png", buffer.getvalue())


def _drawn(values: Grid) -> bool:
    rows: Sequence[Sequence[float | None]] = values
    return bool(rows) and bool(rows[0]) and len({len(row) for row in rows}) == 1
