"""The never-planted models of the bench, by architecture."""

from pathlib import Path

from auditor.errors import UsageError
from auditor.zoo.embedded import BASES


def base_folder(architecture: str) -> Path:
    """The base's folder; UsageError for an architecture that there is none of."""
    if architecture not in BASES:
        raise UsageError(
            "there is no base of this architecture", where="architectures", got=architecture,
            expected=" or ".join(BASES), todo="correct the matrix",
        )  # fmt: skip
    return BASES[architecture]
