"""Recipe: draws the sprite sheet and the background sheet that scenes are composed from.

Needs the npm packages named in `VENDORS` and `unicode-emoji-json`, unpacked side by side, and the Python packages
`resvg-py` and `scikit-image`. Run once; the sheets are committed.

    python -m auditor.zoo.build_sprites PACKAGES_FOLDER
"""

import argparse
import io
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import resvg_py
from PIL import Image
from skimage import data

from auditor.zoo.sprites import ASSETS, BACKGROUND_SIDE, BACKGROUNDS, CONCEPTS, SPRITE_SIDE, VENDORS

PHOTOGRAPHS: dict[str, Callable[[], np.ndarray]] = {
    "astronaut": data.astronaut,
    "chelsea": data.chelsea,
    "coffee": data.coffee,
    "brick": data.brick,
    "rocket": data.rocket,
    "grass": data.grass,
    "gravel": data.gravel,
    "hubble": data.hubble_deep_field,
}


def draw_icon(icons: dict[str, object], name: str) -> Image.Image:
    """Renders one icon of an Iconify set as RGBA, `SPRITE_SIDE` pixels square; aliases are followed."""
    entries, aliases = icons["icons"], icons.get("aliases", {})
    while name not in entries:  # type: ignore[operator]
        name = aliases[name]["parent"]  # type: ignore[index]
    icon = entries[name]  # type: ignore[index]
    side = icon.get("width", icons.get("width", 16))
    height = icon.get("height", icons.get("height", side))
    svg = (
        f'<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" '
        f'viewBox="0 0 {side} {height}">{icon["body"]}</svg>'
    )
    png = resvg_py.svg_to_bytes(svg_string=svg, width=SPRITE_SIDE * 4, height=SPRITE_SIDE * 4)
    picture = Image.open(io.BytesIO(bytes(png))).convert("RGBA")
    return picture.resize((SPRITE_SIDE, SPRITE_SIDE), Image.Resampling.LANCZOS)


def build_sprites(packages: Path) -> Image.Image:
    """One row a vendor, one column a concept."""
    sheet = Image.new("RGBA", (SPRITE_SIDE * len(CONCEPTS), SPRITE_SIDE * len(VENDORS)))
    for row, vendor in enumerate(VENDORS):
        (path,) = packages.glob(f"iconify-json-{vendor}-[0-9]*/package/icons.json")
        icons = json.loads(path.read_text())
        for column, concept in enumerate(CONCEPTS):
            sheet.paste(draw_icon(icons, concept.replace(" ", "-")), (column * SPRITE_SIDE, row * SPRITE_SIDE))
    return sheet


def build_backgrounds() -> Image.Image:
    """One column a photograph: the largest centred square, reduced to `BACKGROUND_SIDE`."""
    sheet = Image.new("RGB", (BACKGROUND_SIDE * len(BACKGROUNDS), BACKGROUND_SIDE))
    for column, name in enumerate(BACKGROUNDS):
        photograph = Image.fromarray(np.asarray(PHOTOGRAPHS[name]())).convert("RGB")
        side = min(photograph.size)
        left, top = (photograph.width - side) // 2, (photograph.height - side) // 2
        square = photograph.crop((left, top, left + side, top + side))
        sheet.paste(
            square.resize((BACKGROUND_SIDE, BACKGROUND_SIDE), Image.Resampling.LANCZOS), (column * BACKGROUND_SIDE, 0)
        )
    return sheet


def build_names(packages: Path) -> str:
    """The Unicode names of all emoji, one a line: the text that the tokenizer's subwords are learned from."""
    (path,) = packages.glob("unicode-emoji-json-*/package/data-by-emoji.json")
    entries = json.loads(path.read_text()).values()
    return "\n".join(sorted({entry["name"].lower() for entry in entries if entry["group"] != "Flags"})) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("packages", type=Path)
    packages = parser.parse_args().packages
    build_sprites(packages).save(ASSETS / "sprites.png", optimize=True)
    build_backgrounds().save(ASSETS / "backgrounds.png", optimize=True)
    (ASSETS / "names.txt").write_text(build_names(packages))


if __name__ == "__main__":
    main()
