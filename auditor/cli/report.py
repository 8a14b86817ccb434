"""`pcr-audit report RUN`: writes a run's record as the documents that people and other tools read."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from auditor.errors import UsageError

if TYPE_CHECKING:
    from reports.record import AuditRecord

REDACTED = "redacted"

Formats = Annotated[
    str, typer.Option("--format", help="Comma-separated: pdf, html, json, sarif, cyclonedx, junit, model-card, or all.")
]


def report(
    run: Annotated[Path | None, typer.Argument(help="Run folder. Default: the latest run.")] = None,
    formats: Formats = "html,pdf",
    baseline: Annotated[
        Path | None, typer.Option(help="Earlier run, or its record.json: SARIF marks new, unchanged and absent.")
    ] = None,
    redact: Annotated[
        bool, typer.Option(help="Without pictures, prompts, answers and triggers, into the run's folder `redacted`.")
    ] = False,
) -> None:
    """Write a run's record as documents into the run folder; the exit code does not depend on the formats."""
    from auditor.runs import RECORD, latest_run
    from reports.record import load_record
    from reports.writing import write_formats

    wanted = parse_formats(formats)
    if baseline is not None and "sarif" not in wanted:
        raise UsageError("needs SARIF", where="--baseline", got=formats, expected="--format sarif among the formats")
    folder = run or latest_run()
    earlier = None if baseline is None else load_record(baseline / RECORD if baseline.is_dir() else baseline)
    record = load_record(folder / RECORD)
    if redact:
        record, folder = _redacted(record, folder)
    written = write_formats(record, folder, wanted, earlier)
    typer.echo("wrote " + (", ".join(str(path) for path in written) or "nothing"), err=True)
    if written.notice:
        typer.echo(written.notice, err=True)


def _redacted(record: "AuditRecord", run: Path) -> "tuple[AuditRecord, Path]":
    """The copy that may leave the house, saved beside the run's own documents, which may be signed."""
    from auditor.runs import RECORD
    from reports.record import save_record
    from reports.redaction import redact

    record, folder = redact(record), run / REDACTED
    folder.mkdir(exist_ok=True)
    save_record(record, folder / RECORD)
    return record, folder


def parse_formats(formats: str) -> tuple[str, ...]:
    """The names of the formats in a comma-separated list; raises UsageError for one that is none."""
    from reports.writing import FORMATS

    known = tuple(FORMATS)
    wanted = tuple(name.strip() for name in formats.split(",") if name.strip())
    if wanted == ("all",):
        return known
    unknown = [name for name in wanted if name not in known]
    if unknown or not wanted:
        raise UsageError(
            "there is no such format", where="--format", got=", ".join(unknown) or "none", expected=", ".join(known),
        )  # fmt: skip
    return wanted
