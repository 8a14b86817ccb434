"""`pcr-audit compare OLD NEW`: two releases side by side, and a gate on regression."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from auditor.certification.regression import Comparison
    from auditor.evaluation.pairing import Compared


def compare(
    old: Annotated[Path, typer.Argument(help="Run folder of the release before.")],
    new: Annotated[Path, typer.Argument(help="Run folder of the new release.")],
    margin: Annotated[float, typer.Option(help="Largest relative drop of a benign score that is called none.")] = 0.01,
    json: Annotated[bool, typer.Option("--json", help="The comparison as JSON on stdout.")] = False,
) -> None:
    """Set two runs side by side, item by item: 0 no regression, 1 a regression, 3 it cannot be told."""
    from auditor.certification.regression import compare_runs
    from auditor.certification.verdict import EXIT_CODES

    comparison = compare_runs(old, new, margin)
    if json:
        _echo_json(comparison)
    else:
        _show(comparison)
    raise typer.Exit(EXIT_CODES[comparison.outcome])


def _echo_json(comparison: "Comparison") -> None:
    import json

    typer.echo(json.dumps(describe(comparison), indent=2, sort_keys=True, ensure_ascii=False, allow_nan=False))


def describe(comparison: "Comparison") -> dict[str, Any]:
    """The comparison as plain data."""
    from dataclasses import asdict

    from reports.naming import bare

    sides = {
        name: {
            "model": side.model.path, "manifest_sha256": bare(side.model.digest),
            "verdict": side.record.verdict.outcome, "about": side.record.verdict.about,
            "assurance": side.record.assurance, "created": side.record.created,
        }
        for name, side in (("old", comparison.old), ("new", comparison.new))
    }  # fmt: skip
    pairs = comparison.pairs
    return {
        "outcome": comparison.outcome,
        "reasons": list(comparison.reasons),
        "notes": list(comparison.notes),
        "margin": comparison.margin,
        **sides,
        "items": {
            "common": len(pairs.items), "new": pairs.new, "gone": pairs.gone, "changed": pairs.changed,
            "unanswered": pairs.unanswered, "same_answer": comparison.same.model_dump(mode="json"),
        },
        "measures": [_describe_measure(item) for item in comparison.measures],
        "findings": [asdict(change) for change in comparison.findings],
    }  # fmt: skip


def _describe_measure(item: "Compared") -> dict[str, Any]:
    from dataclasses import asdict

    return {
        "name": item.name,
        "old": item.old.model_dump(mode="json"),
        "new": item.new.model_dump(mode="json"),
        "change": item.change.model_dump(mode="json"),
        "relative": item.relative,
        "mcnemar": asdict(item.paired) if item.paired else None,
    }


def _show(comparison: "Comparison") -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from reports.formats import measure_text, p_value
    from reports.naming import plain

    console = Console()
    pairs, old, new = comparison.pairs, comparison.old.record, comparison.new.record
    table = Table("", "old", "new", "change for the worse", "items turned", box=box.SIMPLE, pad_edge=False)
    table.add_row("verdict", *(f"{side.verdict.outcome} ({side.verdict.about})" for side in (old, new)))
    for item in comparison.measures:
        turned = item.paired
        table.add_row(
            item.name, measure_text(item.old), measure_text(item.new), _change(item),
            f"{turned.better} better, {turned.worse} worse, {p_value(turned.p_value)}" if turned else "",
        )  # fmt: skip
    console.print(table)
    console.print(
        Text(
            f"items: {len(pairs.items)} in common, {pairs.new} new, {pairs.gone} gone, {pairs.changed} changed, "
            f"{pairs.unanswered} not answered; same answer on {measure_text(comparison.same)}"
        )
    )
    for change in comparison.findings:
        severity = " -> ".join(dict.fromkeys(side for side in (change.old, change.new) if side))
        mark = "  REGRESSION" if change.counts else ""
        words = plain(change.target or "an abnormal answer", 80)
        console.print(Text(f"finding {change.state}: {severity} {change.probe} “{words}” [{change.fingerprint}]{mark}"))
    for note in comparison.notes:
        console.print(Text(f"note: {note}"))
    head = {"pass": "NO REGRESSION", "fail": "REGRESSION", "inconclusive": "CANNOT BE TOLD"}[comparison.outcome]
    console.print(Text(head), *(Text(f"  {plain(reason, 400)}") for reason in comparison.reasons), sep="\n")


def _change(item: "Compared") -> str:
    from reports.formats import number

    change = item.change
    if change.value is None or change.low is None or change.high is None:
        return "not defined"
    unit = "relative" if item.relative else "difference"
    return f"{number(change.value)} ({number(change.low)} to {number(change.high)}) {unit}"
