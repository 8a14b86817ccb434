"""Names that machines keep: bare digests, GUIDs made from them, times in UTC, and text that cannot dress up."""

import hashlib
import uuid
from datetime import UTC, datetime

from reports.formats import shorten, visible
from reports.record import AuditRecord, canonical_bytes

NAMESPACE = uuid.uuid5(uuid.NAMESPACE_URL, "https://pcr-audit.dev/")


def bare(digest: str) -> str:
    """The hexadecimal digits alone, where a digest names its algorithm."""
    return digest.rpartition(":")[2]


def record_digest(record: AuditRecord) -> str:
    """SHA-256 in hex over the record's canonical bytes, which are those of record.json."""
    return hashlib.sha256(canonical_bytes(record)).hexdigest()


def guid(kind: str, digest: str) -> uuid.UUID:
    """A GUID (version 5) that the same record always gets, so that the same record gives the same bytes."""
    return uuid.uuid5(NAMESPACE, f"{kind}/{digest}")


def utc(created: str) -> datetime | None:
    """The record's time in UTC, or None where it is no time; without a zone it is UTC already."""
    try:
        moment = datetime.fromisoformat(created)
    except ValueError:
        return None
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


def plain(text: str, limit: int = 300) -> str:
    """Untrusted text for one line of a file: hidden characters spelled out, long text cut."""
    return str(visible(shorten(text, limit)))
