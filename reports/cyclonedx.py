"""CycloneDX 1.6 ML-BOM: the judged model, every file of it, and a model card with the metrics and their intervals."""

import json
from collections.abc import Iterable, Mapping
from typing import Any

from reports.formats import base_name
from reports.judged import judged
from reports.naming import bare, guid, plain, record_digest, utc
from reports.record import AuditRecord, ModelInfo, Scores
from reports.wording import ROWS

PREFIX = "pcr-audit:"
"""Namespace of the properties, which CycloneDX leaves to each tool."""


def to_cyclonedx(record: AuditRecord) -> bytes:
    """The bill of materials; the model as given is the ancestor of a repaired one.

    The components come from cyclonedx-python-lib, which knows no `modelCard`: it is put into the JSON, and tests hold
    the whole to the official schema.
    """
    from cyclonedx.output.json import JsonV1Dot6

    seen = judged(record)
    bom: dict[str, Any] = json.loads(JsonV1Dot6(_bom(record)).output_as_string())
    component = bom["metadata"]["component"]
    component["modelCard"] = _card(record, seen.scores, seen.model)
    for ancestor in component.get("pedigree", {}).get("ancestors", []):
        ancestor["modelCard"] = _card(record, record.scores.before, record.model)
    return (json.dumps(bom, indent=2, sort_keys=True, ensure_ascii=False, allow_nan=False) + "\n").encode()


def _bom(record: AuditRecord) -> Any:
    from cyclonedx.model.bom import Bom, BomMetaData
    from cyclonedx.model.component import Component, ComponentType, Pedigree
    from cyclonedx.model.tool import ToolRepository

    seen, digest = judged(record), record_digest(record)
    model = _component(seen.model, "model", _properties(record, seen.model))
    if seen.is_repaired:
        given = _component(record.model, "given-model", {"manifest-sha256": bare(record.model.digest)})
        model.pedigree = Pedigree(ancestors=[given], notes=_repair_note(record))
    tool = Component(type=ComponentType.APPLICATION, name=record.tool.name, version=record.tool.version, bom_ref="tool")
    metadata = BomMetaData(timestamp=utc(record.created), component=model, tools=ToolRepository(components=[tool]))
    return Bom(serial_number=guid("cyclonedx", digest), metadata=metadata)


def _component(model: ModelInfo, ref: str, properties: Mapping[str, str]) -> Any:
    """A model and its files. A folder has no hash of its own, so the manifest's digest is a property."""
    from cyclonedx.model import HashAlgorithm, HashType, Property
    from cyclonedx.model.component import Component, ComponentType

    files = [
        Component(
            type=ComponentType.FILE, name=file.path, bom_ref=f"{ref}/{file.path}",
            hashes=[HashType(alg=HashAlgorithm.SHA_256, content=bare(file.sha256))],
        )
        for file in model.files
    ]  # fmt: skip
    return Component(
        type=ComponentType.MACHINE_LEARNING_MODEL,
        name=plain(base_name(model.path), 120),
        version=bare(model.digest)[:12],
        bom_ref=ref,
        components=files,
        properties=[Property(name=PREFIX + name, value=value) for name, value in properties.items()],
    )


def _properties(record: AuditRecord, model: ModelInfo) -> dict[str, str]:
    return {
        "manifest-sha256": bare(model.digest),
        "record-sha256": record_digest(record),
        "verdict": record.verdict.outcome,
        "verdict-about": record.verdict.about,
        "assurance": record.assurance,
        "calibration": record.calibration,
        "fail-on": record.fail_on,
        "data-sha256": bare(record.data.digest),
        "audited": record.created,
    }


def _repair_note(record: AuditRecord) -> str:
    if record.repair is None:
        return "Repaired."
    return f"Repaired by pcr-audit, method {record.repair.method}, {record.repair.steps} steps."


def _card(record: AuditRecord, scores: Scores, model: ModelInfo) -> dict[str, Any]:
    limits = [plain(text, 500) for text in (*record.limits, *_not_looked_for(record))]
    return {
        "modelParameters": {
            "task": "image-text-to-text",
            "architectureFamily": plain(model.family, 80),
            "inputs": [{"format": "image"}, {"format": "text"}],
            "outputs": [{"format": "text"}],
        },
        "quantitativeAnalysis": {"performanceMetrics": list(_metrics(scores))},
        **({"considerations": {"technicalLimitations": limits}} if limits else {}),
    }


def _not_looked_for(record: AuditRecord) -> list[str]:
    return [f"The audit has not looked for {text}." for text in record.search.not_looked_for]


def _metrics(scores: Scores) -> Iterable[dict[str, Any]]:
    """Every measured score; texts, as the schema wants them, and exact."""
    for row in ROWS:
        measure = scores.of(row.field)
        if measure is None or measure.value is None:
            continue
        metric: dict[str, Any] = {
            "type": row.field,
            "value": repr(measure.value),
            "slice": f"{row.label}: {row.meaning}; n = {measure.n}",
        }
        if measure.low is not None and measure.high is not None:
            metric["confidenceInterval"] = {"lowerBound": repr(measure.low), "upperBound": repr(measure.high)}
        yield metric
