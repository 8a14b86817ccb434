"""Which items hang together: those of one picture, whatever they are called and asked."""

from collections.abc import Sequence

from auditor.data.splitting import picture_digest
from probes.sample import Sample


def pictures_of(samples: Sequence[Sample]) -> list[str]:
    """The cluster of every sample for a bootstrap: the digest of its picture, hashed once where a tensor is shared."""
    known: dict[int, str] = {}
    for sample in samples:
        if id(sample.picture) not in known:
            known[id(sample.picture)] = picture_digest(sample.picture)
    return [known[id(sample.picture)] for sample in samples]
