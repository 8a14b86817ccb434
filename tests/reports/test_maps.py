"""Attribution maps: one scale before and after, over the picture, and nothing where nothing can be drawn."""

import base64
import io
import math

import numpy as np
import pytest
from PIL import Image

from reports.maps import map_tiles, overlay, scale
from reports.record import Attribution


def brightness(uri: str) -> float:
    data = base64.b64decode(uri.partition(",")[2])
    return float(np.asarray(Image.open(io.BytesIO(data)).convert("L"), dtype=float).mean())


def test_maps_share_one_scale_with_a_zero_that_stays() -> None:
    norm, colours = scale(np.array([0.0, 0.2, 4.0, math.nan]))
    assert (norm.vmin, norm.vmax, colours) == (0.0, 4.0, "inferno")
    norm, colours = scale(np.array([-3.0, 1.0]))
    assert (norm.vmin, norm.vmax, colours) == (-3.0, 3.0, "PuOr_r")


def test_a_weaker_map_is_drawn_darker_on_the_common_scale() -> None:
    item = Attribution(sample_id="a", values_before=[[0.0, 1.0], [0.0, 0.0]], values_after=[[0.0, 0.1], [0.0, 0.0]])
    made = map_tiles(item, None)
    assert made is not None and [label for label, _ in made.tiles] == ["map before", "map after"]
    before, after = (brightness(uri) for _, uri in made.tiles)
    assert before > 2 * after
    assert (made.low, made.high) == ("0.00", "1.00")


def test_a_map_lies_over_its_picture() -> None:
    picture = Image.new("RGB", (60, 30), "white")
    dark, bright = overlay([[0.0, 0.0]], Image.new("RGB", (60, 30))), overlay([[0.0, 0.0]], picture)
    assert dark.size == bright.size == (336, 168)
    assert np.asarray(bright, dtype=float).mean() > np.asarray(dark, dtype=float).mean()


@pytest.mark.parametrize("values", [[], [[]], [[1.0], [1.0, 2.0]]])
def test_what_is_no_grid_is_not_drawn(values: list[list[float]]) -> None:
    assert map_tiles(Attribution(sample_id="a", values_before=values), None) is None
