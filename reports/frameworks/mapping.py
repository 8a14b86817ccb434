"""A record set against the frameworks: for each control what the run found, detected, resolved or documented."""

from collections.abc import Sequence
from dataclasses import dataclass

from reports.frameworks.catalogue import RELATIONS, Control, Framework, Relation, load_frameworks
from reports.frameworks.evidence import Evidence, collect
from reports.record import AuditRecord


@dataclass(frozen=True)
class Mapped:
    """A control with the evidence that this record holds for it; a relation without any is left out."""

    control: Control
    evidence: tuple[tuple[Relation, tuple[Evidence, ...]], ...]


@dataclass(frozen=True)
class ControlMapping:
    """Every framework against one record, and each piece of evidence once."""

    frameworks: tuple[tuple[Framework, tuple[Mapped, ...]], ...]
    evidence: tuple[Evidence, ...]


def map_controls(record: AuditRecord, frameworks: Sequence[Framework] | None = None) -> ControlMapping:
    """What the record is evidence for. It says "evidence for", never "compliant": judging that is the reader's."""
    found = collect(record)
    mapped = tuple(
        (framework, tuple(_map(control, found) for control in framework.row))
        for framework in frameworks or load_frameworks()
    )
    used = {piece.pointer for _, rows in mapped for row in rows for _, pieces in row.evidence for piece in pieces}
    return ControlMapping(mapped, tuple(piece for pointer, piece in found.items() if pointer in used))


def _map(control: Control, found: dict[str, Evidence]) -> Mapped:
    by_relation = (
        (relation, tuple(found[pointer] for pointer in control.pointers(relation) if pointer in found))
        for relation in RELATIONS
    )
    return Mapped(control, tuple((relation, pieces) for relation, pieces in by_relation if pieces))
