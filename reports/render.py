"""Renders an audit record as a self-contained HTML page and as a PDF that a release board can sign."""

import hashlib
import logging
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from types import ModuleType

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from PIL import Image, ImageFile

from probes.finding import SEVERITIES
from reports import figures, formats, wording
from reports.errors import PdfUnavailableError
from reports.files import write_atomically
from reports.pictures import Embedded, embed, open_picture
from reports.record import Attribution as AttributionItem
from reports.record import AuditRecord, RecordedFinding, canonical_bytes

PICTURE_ORDER = ("trigger", "clean", "stamped", "difference", "map")
# How much is shown; the record holds the rest, and the document says so.
DETAILED = 4
LIMITS = {"listed": 12, "maps": 6, "answers": 6, "files": 24, "reasons": 4, "reason": 170}
NO_PANGO = (
    "report.pdf was not written, because the text library Pango cannot be loaded. Install it "
    "(Debian, Ubuntu: apt install libpango-1.0-0 libpangoft2-1.0-0; macOS: brew install pango; "
    "Windows: MSYS2's mingw-w64-x86_64-pango) and make the report again; or print report.html to PDF in a browser."
)


class Written(list[Path]):
    """The files that were written, and a `notice` for the user where one could not be."""

    def __init__(self, paths: Sequence[Path], notice: str = "") -> None:
        super().__init__(paths)
        self.notice = notice


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
    """One answer's maps: a plot on one colour scale, or the pictures as they were recorded."""

    item: AttributionItem
    plot: str
    pictures: tuple[tuple[str, Embedded], ...]


def render_html(record: AuditRecord, folder: str | Path) -> str:
    """The report as one HTML page that loads nothing from outside.

    Pictures are read from `folder`, where record.json lies; one that is missing or damaged is named in its place.
    Raises RecordError when a picture path leaves the folder.
    """
    root = Path(folder)
    return (
        _environment()
        .get_template("report.html")
        .render(
            record=record,
            judged=wording.judged_model(record),
            record_digest=hashlib.sha256(canonical_bytes(record)).hexdigest(),
            found=finding_views(record.findings, record.fail_on, root),
            found_after=finding_views(record.findings_after or [], record.fail_on, root),
            maps=[_attribution(item, root) for item in record.attribution[: LIMITS["maps"]]],
            attack_plot=figures.attack_figure(record.scores),
            quality_plot=figures.quality_figure(record.scores),
            losses_plot=figures.losses_figure(record.repair.losses) if record.repair else "",
            limit=LIMITS,
        )
    )


def write_report(record: AuditRecord, folder: str | Path) -> Written:
    """Writes report.html and report.pdf into `folder` and returns their paths.

    Where Pango is missing the HTML is written alone and `.notice` of the result says how to get the PDF.
    """
    root = Path(folder)
    html = render_html(record, root)
    page, document = root / "report.html", root / "report.pdf"
    write_atomically(page, html.encode())
    try:
        data = render_pdf(html)
    except PdfUnavailableError as problem:
        stale = " The report.pdf in the folder is from an earlier run." if document.exists() else ""
        return Written([page], f"{problem}{stale}")
    write_atomically(document, data)
    return Written([page, document])


def render_pdf(html: str) -> bytes:
    """The page as a tagged PDF; fetches nothing but data URIs. Raises PdfUnavailableError where Pango is missing."""
    with _quiet():
        try:
            weasyprint = _import_weasyprint()
        except OSError as error:
            raise PdfUnavailableError(NO_PANGO) from error
        fetcher = weasyprint.urls.URLFetcher(allowed_protocols=("data",))
        document = weasyprint.HTML(string=html, url_fetcher=fetcher)
        return bytes(document.write_pdf(pdf_tags=True, custom_metadata=True))


def _import_weasyprint() -> ModuleType:
    """WeasyPrint, without its side effect: it makes Pillow accept truncated pictures in the whole process."""
    accepts_truncated = ImageFile.LOAD_TRUNCATED_IMAGES
    try:
        return import_module("weasyprint")
    finally:
        ImageFile.LOAD_TRUNCATED_IMAGES = accepts_truncated


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


def _attribution(item: AttributionItem, folder: Path) -> AttributionView:
    clean, stamped = _opened(folder, item.clean_picture), _opened(folder, item.stamped_picture)
    named = (
        ("clean", item.clean_picture),
        ("stamped", item.stamped_picture),
        ("before", item.before_map),
        ("after", item.after_map),
    )
    # Every path is checked, also those of maps that the plot replaces.
    embedded = tuple((label, embed(folder, path)) for label, path in named if path)
    plot = figures.attribution_figure(item, clean, stamped)
    shown = tuple((label, picture) for label, picture in embedded if picture.problem) if plot else embedded
    return AttributionView(item, plot, shown)


def _opened(folder: Path, relative: str | None) -> Image.Image | None:
    if relative is None:
        return None
    try:
        return open_picture(folder, relative)
    except OSError:
        return None  # embed() names the problem beside the plot


def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=formats.visible,
    )
    for name in (
        "number",
        "measure",
        "budget",
        "p_value",
        "null_summary",
        "duration",
        "count",
        "plain",
        "moment",
        "short_digest",
        "base_name",
        "shorten",
    ):
        environment.filters[name] = getattr(formats, name)
    environment.globals["words"] = wording
    return environment


@contextmanager
def _quiet() -> Iterator[None]:
    # The PDF writer logs every CSS rule that is meant for screens, and its font subsetter every table it drops.
    loggers = [logging.getLogger(name) for name in ("weasyprint", "weasyprint.progress", "fontTools")]
    levels = [logger.level for logger in loggers]
    try:
        for logger in loggers:
            logger.setLevel(logging.CRITICAL + 1)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
