"""The page as a PDF: tagged, fonts embedded, nothing fetched, and the same bytes for the same page."""

import logging
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from types import ModuleType

import matplotlib
from PIL import ImageFile

from reports.errors import PdfUnavailableError

VARIANT = "pdf/ua-1"
"""PDF/UA-1: a structure tree, alternate texts, a language and a title, so that the document can be read aloud."""
NO_PANGO = (
    "report.pdf was not written, because the text library Pango cannot be loaded. Install it "
    "(Debian, Ubuntu: apt install libpango-1.0-0 libpangoft2-1.0-0; macOS: brew install pango; "
    "Windows: MSYS2's mingw-w64-x86_64-pango) and make the report again; or print report.html to PDF in a browser."
)
# The fonts come with matplotlib, so that a report looks the same, and breaks its pages alike, on every machine.
FONTS = (
    ("Report", "normal", "normal", "DejaVuSans.ttf"),
    ("Report", "bold", "normal", "DejaVuSans-Bold.ttf"),
    ("Report", "normal", "italic", "DejaVuSans-Oblique.ttf"),
    ("Report Mono", "normal", "normal", "DejaVuSansMono.ttf"),
)


def render_pdf(html: str) -> bytes:
    """The page as a tagged PDF; fetches nothing but data URIs. Raises PdfUnavailableError where Pango is missing.

    Its dates are those of the page (`dcterms.created`), never the clock's.
    """
    with _quiet(), _undated():
        try:
            weasyprint = _import_weasyprint()
        except OSError as error:
            raise PdfUnavailableError(NO_PANGO) from error
        pictures = weasyprint.urls.URLFetcher(allowed_protocols=("data",))
        files = weasyprint.urls.URLFetcher(allowed_protocols=("file",))  # for our own fonts, never for the page
        fonts = weasyprint.text.fonts.FontConfiguration()
        faces = weasyprint.CSS(string=_font_faces(), url_fetcher=files, font_config=fonts)
        document = weasyprint.HTML(string=html, url_fetcher=pictures)
        return bytes(document.write_pdf(stylesheets=[faces], font_config=fonts, pdf_variant=VARIANT))


def _font_faces() -> str:
    folder = Path(matplotlib.get_data_path()) / "fonts" / "ttf"
    return "".join(
        f"@font-face {{ font-family: '{family}'; font-weight: {weight}; font-style: {style}; "
        f"src: url('{(folder / name).as_uri()}'); }}\n"
        for family, weight, style, name in FONTS
    )


def _import_weasyprint() -> ModuleType:
    """WeasyPrint, without its side effect: it makes Pillow accept truncated pictures in the whole process."""
    accepts_truncated = ImageFile.LOAD_TRUNCATED_IMAGES
    try:
        return import_module("weasyprint")
    finally:
        ImageFile.LOAD_TRUNCATED_IMAGES = accepts_truncated


@contextmanager
def _undated() -> Iterator[None]:
    """Subsets of fonts bear no date: where HarfBuzz's subsetter is not installed, fontTools cuts them, which dates them
    with the clock or with this variable."""
    before = os.environ.get("SOURCE_DATE_EPOCH")
    os.environ["SOURCE_DATE_EPOCH"] = "0"
    try:
        yield
    finally:
        del os.environ["SOURCE_DATE_EPOCH"]
        if before is not None:
            os.environ["SOURCE_DATE_EPOCH"] = before


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
