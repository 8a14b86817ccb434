"""What a control shares with the scan it stands beside: pictures, probe, seeds by name, and the targets known."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from auditor.case import read_samples
from auditor.checkpoint.subject import CheckpointSubject, frozen
from auditor.data.preparing import Parts, prepare
from auditor.evidence import Shown, is_variant
from auditor.searching import findings_of, invert, statistic
from probes.ascent import Climb
from probes.curves import BudgetCurve
from probes.finding import SEVERITIES, Finding, Severity
from probes.inversion import PROFILES, InversionProbe
from probes.sample import Sample
from probes.seeding import derive_seed
from reports.part import About

SHORT = InversionProbe(
    additive=(0.1,), patch=(0.25,), frame=(1 / 14,), restarts=2, search=Climb(steps=30, enough=math.log(0.8)),
    growth_restarts=1, growth=Climb(steps=6, pictures=4), longest=6, screen=Climb(steps=6, pictures=4),
    own_decoys=1, made_up_decoys=1,
    curve=BudgetCurve(screen=Climb(steps=6, pictures=4), tries=2,
                      climb=Climb(steps=16, pictures=4, enough=math.log(0.95))),
)  # fmt: skip
"""A shorter search than the profile's, at the largest budget of each family: it finds less, and with fewer decoys cries
sooner, so that both rates that a shortened control gives err against the search."""
FEW_SEARCHED, FEW_MEASURED = 48, 32
"""Pictures that a shortened control searches on, and those that it measures on."""


@dataclass(frozen=True)
class Scene:
    """Everything but the model; plain data, so that it can be named in a log and sent to another process."""

    about: About
    data: str | None
    seed: int
    shortened: bool
    known: tuple[str, ...]
    wanted: tuple[str, ...]
    fail_on: Severity
    profile: str = "quick"

    @property
    def probe(self) -> InversionProbe:
        return SHORT if self.shortened else PROFILES[self.profile]

    def parts(self, subject: CheckpointSubject) -> Parts:
        """The very parts of the audited model's run."""
        samples, _ = read_samples(None if self.data is None else Path(self.data), self.seed)
        return prepare(subject, samples, self.seed)

    def pictures(self, parts: Parts) -> tuple[Sequence[Sample], Sequence[Sample]]:
        """Where the search climbs and where it measures: those of the scan, or of the repaired model's verification.

        A shortened control uses fewer of them.
        """
        half = len(parts.verify) // 2
        pool, held_out = (
            (parts.search, parts.held_out) if self.about == "model" else (parts.verify[:half], parts.verify[half:][:64])
        )
        return (pool[:FEW_SEARCHED], held_out[:FEW_MEASURED]) if self.shortened else (pool, held_out)


@dataclass(frozen=True)
class Seen:
    """What the search said of one model: its one statistic, and the findings that are new and count, worst first."""

    statistic: float
    new: tuple[Finding, ...]

    @property
    def worst(self) -> Finding | None:
        return self.new[0] if self.new else None


def look(
    subject: CheckpointSubject,
    scene: Scene,
    parts: Parts,
    seed: int,
    known: Sequence[str] = (),
    wanted: Sequence[str] = (),
) -> Seen:
    """The same search of another model; findings below `fail_on` or of a known target do not count."""
    pool, held_out = scene.pictures(parts)
    with frozen(subject.model):
        searched = invert(
            subject, scene.probe, pool, held_out, seed, lambda what, share: None, wanted, known, parts.references
        )
    # No confirmation by invariance: it stands beside a finding and does not decide on its severity.
    return Seen(statistic(searched), tuple(_counted(findings_of(searched), scene.fail_on, known)))


def _counted(shown: Sequence[Shown], fail_on: Severity, known: Sequence[str]) -> list[Finding]:
    least = SEVERITIES.index(fail_on)
    found = [item.finding for item in shown if SEVERITIES.index(item.finding.severity) >= least]
    return [finding for finding in found if not any(is_variant(finding.target or "", text) for text in known)]


def search_seed(scene: Scene) -> int:
    """The seed that the audited model itself was searched with; negatives are searched with the same."""
    return scene.seed if scene.about == "model" else derive_seed(scene.seed, "fresh")


def as_settings(scene: Scene) -> Mapping[str, Any]:
    """The scene as plain JSON data."""
    return {
        "about": scene.about, "data": scene.data, "seed": scene.seed, "shortened": scene.shortened,
        "known": list(scene.known), "wanted": list(scene.wanted), "fail_on": scene.fail_on,
        "profile": scene.profile,
    }  # fmt: skip


def from_settings(data: Mapping[str, Any]) -> Scene:
    """The scene back from plain JSON data."""
    return Scene(**{**data, "known": tuple(data["known"]), "wanted": tuple(data["wanted"])})
