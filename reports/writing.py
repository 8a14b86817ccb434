"""Which documents a run can be written as, and writing them into its folder. A format never changes a verdict."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

from reports.errors import PdfUnavailableError
from reports.files import write_atomically
from reports.record import AuditRecord, canonical_bytes

if TYPE_CHECKING:
    from reports.render import Written

FORMATS: Mapping[str, str] = MappingProxyType(
    {
        "html": "report.html",
        "pdf": "report.pdf",
        "json": "report.json",
        "sarif": "report.sarif",
        "cyclonedx": "report.cdx.json",
        "junit": "report.junit.xml",
        "model-card": "report.model-card.md",
    }
)
"""Format to file name in the run folder."""
DEFAULT = ("html", "pdf")


def write_formats(
    record: AuditRecord, folder: Path, formats: Sequence[str] = DEFAULT, baseline: AuditRecord | None = None
) -> "Written":
    """Writes the documents of these formats into `folder`, each whole or not at all; their paths in the order asked.

    `baseline` is an earlier run's record, which SARIF compares findings with. Where Pango is missing the PDF is left
    out and `.notice` says how to get it. KeyError for a format that is none of FORMATS.
    """
    from reports.render import Written

    paths, notice = [], ""
    for name in dict.fromkeys(formats):
        path = folder / FORMATS[name]
        try:
            write_atomically(path, render(record, folder, name, baseline))
        except PdfUnavailableError as problem:
            stale = f" The {path.name} in the folder is from an earlier run." if path.exists() else ""
            notice = f"{problem}{stale}"
            continue
        paths.append(path)
    return Written(paths, notice)


def render(record: AuditRecord, folder: Path, name: str, baseline: AuditRecord | None = None) -> bytes:
    """The document of one format; `folder` holds the pictures that the record names."""
    if name in ("html", "pdf"):
        return _page(record, folder, name)
    if name == "sarif":
        from reports.sarif import to_sarif

        return to_sarif(record, baseline)
    return _machine(name)(record)


def _page(record: AuditRecord, folder: Path, name: str) -> bytes:
    from reports.render import render_html, render_pdf

    html = render_html(record, folder)
    return html.encode() if name == "html" else render_pdf(html)


def _machine(name: str) -> Callable[[AuditRecord], bytes]:
    """The writers that need nothing but the record, imported when they are used."""
    if name == "json":
        return canonical_bytes
    if name == "junit":
        from reports.junit import to_junit

        return to_junit
    if name == "cyclonedx":
        from reports.cyclonedx import to_cyclonedx

        return to_cyclonedx
    from reports.model_card import to_model_card

    assert name == "model-card", name
    return to_model_card
