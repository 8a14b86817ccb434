"""The chapters of the report, in the order in which a release board reads them."""

from dataclasses import dataclass

from reports.record import AuditRecord


@dataclass(frozen=True)
class Chapter:
    """One chapter: its number, its heading, and its template, whose name is also its anchor."""

    number: int
    name: str
    title: str

    @property
    def template(self) -> str:
        """The template's file."""
        return f"{self.name}.html"


def chapters(record: AuditRecord) -> list[Chapter]:
    """Everything after page 1; what a run does not have is said in its chapter, not left out of the document."""
    repaired = record.scores.after is not None
    titles = {
        "policy": "The policy, rule by rule",
        "scores": "Before and after the repair" if repaired else "What was measured",
        "findings": "Recovered triggers",
        "attribution": "Where in the picture the answer is decided",
        "quality": "Benign quality" + (" before and after" if repaired else ""),
        "controls": "Controls and power",
        "calibration": "Calibration",
        "method": "Method",
        "coverage": "Coverage, and what was skipped",
        "limits": "Limits: what was not looked for",
        "mapping": "Control mapping",
        "reproducibility": "Reproducibility",
        "signoff": "Sign-off",
    }
    if record.certification is None:
        del titles["policy"]
    return [Chapter(number, name, title) for number, (name, title) in enumerate(titles.items(), start=2)]
