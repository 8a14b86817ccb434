"""Which documents a run can be written as, and writing them into its folder. A format never changes a verdict."""

from collections.abc import Callable, Mapping, Sequence
from functools import cache
from pathlib import Path
from types import MappingProxyType

from reports.errors import PdfUnavailableError
from reports.files import write_atomically
from reports.record import AuditRecord, canonical_bytes

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


class Written(list[Path]):
    """The files that were written, and a `notice` for the user where one could not be."""

    def __init__(self, paths: Sequence[Path], notice: str = "") -> None:
        super().__init__(paths)
        self.notice = notice


def write_formats(
    record: AuditRecord, folder: Path, formats: Sequence[str] = DEFAULT, baseline: AuditRecord | None = None
) -> Written:
    """Writes the documents of these formats into `folder`, each whole or not at all; their paths in the order asked.

    `folder` holds the pictures that the record names; `baseline` is an earlier run's record, which SARIF compares
    findings with. Where Pango is missing the PDF is left out and `.notice` says how to get it. KeyError for a format
    that is none of FORMATS.
    """
    page = cache(lambda: _page(record, folder))  # drawn once for HTML and PDF
    paths, notice = [], ""
    for name in dict.fromkeys(formats):
        path = folder / FORMATS[name]
        try:
            data = _render(name, record, page, baseline)
        except PdfUnavailableError as problem:
            stale = f" The {path.name} in the folder is from an earlier run." if path.exists() else ""
            notice = f"{problem}{stale}"
            continue
        write_atomically(path, data)
        paths.append(path)
    return Written(paths, notice)


def present(folder: Path) -> tuple[str, ...]:
    """The formats that the folder holds already, which a new record makes stale."""
    return tuple(name for name, file in FORMATS.items() if (folder / file).is_file())


def _render(name: str, record: AuditRecord, page: Callable[[], str], baseline: AuditRecord | None) -> bytes:
    """The document of one format; what a writer needs is imported when it is asked for."""
    match name:
        case "html":
            return page().encode()
        case "pdf":
            from reports.pdf import render_pdf

            return render_pdf(page())
        case "sarif":
            from reports.sarif import to_sarif

            return to_sarif(record, baseline)
        case "junit":
            from reports.junit import to_junit

            return to_junit(record)
        case "cyclonedx":
            from reports.cyclonedx import to_cyclonedx

            return to_cyclonedx(record)
        case "model-card":
            from reports.model_card import to_model_card

            return to_model_card(record)
    return canonical_bytes(record)


def _page(record: AuditRecord, folder: Path) -> str:
    from reports.render import render_html

    return render_html(record, folder)
