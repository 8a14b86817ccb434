"""The name of a finding that stays the same from run to run."""

import hashlib

from probes.text import normalise


def fingerprint(probe: str, target: str | None) -> str:
    """16 hexadecimal digits from the probe and the words of the target.

    Trigger, seed, pictures and scores are left out on purpose: another run of the same scan may reach the same target
    by another trigger, and it is still the same finding.
    """
    return hashlib.sha256(f"{probe}\n{normalise(target or '')}".encode()).hexdigest()[:16]
