"""What the templates show: findings and maps with their pictures embedded and their plots drawn."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from probes.finding import SEVERITIES
from reports import figures, wording
from reports.maps import MapTiles, map_tiles
from reports.pictures import Embedded, embed, open_picture
from reports.record import Attribution, RecordedFinding

PICTURE_ORDER = ("trigger", "clean", "stamped", "difference", "map")
DETAILED = 4
"""Findings that are shown in detail; the record holds the rest, and the document says so."""


@dataclass(frozen=True)
class FindingView:
    """A finding with its pictures and its plot, ready to be shown."""

    number: int
    finding: RecordedFinding
    serious: bool
    pictures: tuple[tuple[str, Embedded], ...] = ()
    plot: str = ""
    detailed: bool = False


@dataclass(frozen=True)
class AttributionView:
    """One answer's maps on one colour scale beside its pictures, or the maps as they were recorded; and its curves."""

    item: Attribution
    pictures: tuple[tuple[str, Embedded], ...]
    maps: MapTiles | None
    curves: str


def finding_views(findings: Sequence[RecordedFinding], fail_on: str, folder: Path) -> list[FindingView]:
    """The findings, most severe first; the serious ones in detail, or the first alone when none is."""
    ranks: tuple[str, ...] = SEVERITIES
    ordered = sorted(findings, key=lambda finding: (-ranks.index(finding.severity), -(finding.score or 0.0)))
    serious = [wording.is_serious(finding, fail_on) for finding in ordered]
    detailed = min(DETAILED, max(sum(serious), 1))
    return [
        _finding(number, finding, serious[number - 1], folder)
        if number <= detailed
        else FindingView(number, finding, serious[number - 1])
        for number, finding in enumerate(ordered, start=1)
    ]


def _finding(number: int, finding: RecordedFinding, serious: bool, folder: Path) -> FindingView:
    known = [label for label in PICTURE_ORDER if label in finding.pictures]
    labels = known + sorted(set(finding.pictures) - set(known))
    pictures = tuple((label, embed(folder, finding.pictures[label])) for label in labels)
    plot = figures.evidence_figure(finding.statistics)
    return FindingView(number, finding, serious, pictures, plot, bool(pictures or plot or serious))


def attribution_view(item: Attribution, folder: Path) -> AttributionView:
    """The maps of one answer. Raises RecordError when a picture path leaves the folder."""
    shown = (("clean", item.clean_picture), ("stamped", item.stamped_picture))
    recorded = (("map before", item.before_map), ("map after", item.after_map))
    # Every path is checked, also those of maps that the tiles replace.
    pictures = tuple((label, embed(folder, path)) for label, path in shown if path)
    drawn = tuple((label, embed(folder, path)) for label, path in recorded if path)
    maps = map_tiles(item, _opened(folder, item.stamped_picture or item.clean_picture))
    return AttributionView(item, pictures if maps else pictures + drawn, maps, figures.curves_figure(item))


def _opened(folder: Path, relative: str | None) -> Image.Image | None:
    if relative is None:
        return None
    try:
        return open_picture(folder, relative)
    except OSError:
        return None  # embed() names the problem beside the maps
