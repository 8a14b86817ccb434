"""Renders an audit record as a self-contained HTML page: the one document behind report.html and report.pdf."""

import hashlib
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from reports import figures, formats, gaps, wording
from reports.chapters import chapters
from reports.frameworks.mapping import map_controls
from reports.record import AuditRecord, canonical_bytes
from reports.views import attribution_view, finding_views

# How much is shown; the record holds the rest, and the document says so.
LIMITS = {"listed": 12, "maps": 6, "answers": 5, "files": 24, "reasons": 4, "reason": 230, "problems": 6}
FILTERS = (
    "number",
    "measure",
    "counted",
    "rule_measure",
    "budget",
    "p_value",
    "null_summary",
    "duration",
    "count",
    "plain",
    "moment",
    "day",
    "short_digest",
    "base_name",
    "shorten",
)


def render_html(record: AuditRecord, folder: str | Path) -> str:
    """The report as one HTML page that loads nothing from outside.

    Pictures are read from `folder`, where record.json lies; one that is missing or damaged is named in its place.
    Raises RecordError when a picture path leaves the folder.
    """
    root = Path(folder)
    template = _environment().get_template("report.html")
    return template.render(
        record=record,
        chapters=chapters(record),
        judged=wording.judged_model(record),
        record_digest=hashlib.sha256(canonical_bytes(record)).hexdigest(),
        found=finding_views(record.findings, record.fail_on, root),
        found_after=finding_views(record.findings_after or [], record.fail_on, root),
        maps=[attribution_view(item, root) for item in record.attribution[: LIMITS["maps"]]],
        plots=_plots(record),
        mapping=map_controls(record),
        limit=LIMITS,
    )


def _plots(record: AuditRecord) -> dict[str, str]:
    power = record.controls.power if record.controls else []
    calibrated = record.calibrated_by
    striking = record.scores.after or any(wording.is_serious(finding, record.fail_on) for finding in record.findings)
    return {
        "attack": figures.attack_figure(record.scores) if striking else "",
        "quality": figures.quality_figure(record.scores),
        "losses": figures.losses_figure(record.repair.losses) if record.repair else "",
        "power": figures.intervals_figure(
            [(f"attack success {stratum.low:g}–{stratum.high:g}", stratum.found.measure) for stratum in power],
            "share of planted attacks that the scan found",
        ),
        "population": figures.population_figure(
            calibrated.statistic, calibrated.negatives, "statistic of the whole scan (larger is odder)"
        )
        if calibrated
        else "",
    }


def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=formats.visible,
    )
    environment.filters |= {name: getattr(formats, name) for name in FILTERS}
    environment.globals |= {"words": wording, "gaps": gaps}
    return environment
