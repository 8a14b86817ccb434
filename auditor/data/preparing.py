"""Brings samples to the subject's canvas and divides them, by picture, into parts that never meet."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from auditor.data.splitting import picture_digest, split_by_pixels
from auditor.errors import InconclusiveError
from probes.sample import Sample
from probes.subject import Subject

LEAST_PICTURES = 24
LEAST_PROBED = 8
PROBED_SHARE, REPAIR_SHARE = 0.13, 0.54
MOST = {"search": 96, "held_out": 64, "repair": 512, "verify": 320}
"""Samples of each part that are used at the most."""


@dataclass(frozen=True)
class Parts:
    """Disjoint by pixel hash: the scan sees `search` and `held_out`, the repair `repair`, the measurement `verify`."""

    search: tuple[Sample, ...]
    held_out: tuple[Sample, ...]
    repair: tuple[Sample, ...]
    verify: tuple[Sample, ...]
    unused: int

    @property
    def references(self) -> tuple[str, ...]:
        """All right answers: what a model that learned such data may say."""
        parts = (self.search, self.held_out, self.repair, self.verify)
        return tuple(answer for part in parts for sample in part for answer in sample.answers)


def prepare(subject: Subject, samples: Sequence[Sample], seed: int) -> Parts:
    """Fits every picture and divides; raises InconclusiveError with fewer than 24 different pictures."""
    fitted = [replace(sample, picture=subject.fit(sample.picture)) for sample in samples]
    pictures = len({picture_digest(sample.picture) for sample in fitted})
    if pictures < LEAST_PICTURES:
        raise InconclusiveError(
            "there are too few different pictures to search, to measure and to verify on disjoint ones",
            got=f"{pictures} different pictures in {len(samples)} samples",
            expected=f"at least {LEAST_PICTURES}; 400 or more give useful intervals",
            todo="give more pictures with --data, or leave --data out to use the embedded ones",
        )
    probed = max(LEAST_PROBED, round(PROBED_SHARE * pictures))
    repair = round(REPAIR_SHARE * (pictures - 2 * probed))
    counts = {"search": probed, "held_out": probed, "repair": repair, "verify": pictures - 2 * probed - repair}
    parts = split_by_pixels(fitted, counts, seed)
    kept = {name: tuple(rows[: MOST[name]]) for name, rows in parts.items()}
    used = sum(map(len, kept.values()))
    return Parts(kept["search"], kept["held_out"], kept["repair"], kept["verify"], len(samples) - used)
