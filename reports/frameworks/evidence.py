"""Parts of a record as evidence: what stands at a JSON pointer, in words with n and interval, and its digest."""

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from reports.formats import counted_text, measure_text, p_value, shorten
from reports.record import AuditRecord, Measure, RateInterval

Describe = Callable[[Any], str]


@dataclass(frozen=True)
class Evidence:
    """A part of the record that is evidence; `key` is how the table names it."""

    key: str
    pointer: str
    meaning: str
    result: str
    digest: str


def resolve(data: object, pointer: str) -> object:
    """What stands at a JSON pointer (RFC 6901); None where there is nothing."""
    for step in pointer.split("/")[1:]:
        name = step.replace("~1", "/").replace("~0", "~")
        if isinstance(data, dict) and name in data:
            data = data[name]
        elif isinstance(data, list) and name.isdigit() and int(name) < len(data):
            data = data[int(name)]
        else:
            return None
    return data


def digest_of(node: object) -> str:
    """SHA-256 over the node as JSON with sorted keys and no spaces, in UTF-8: whoever has the record can repeat it."""
    text = json.dumps(node, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()


def collect(record: AuditRecord) -> dict[str, Evidence]:
    """The evidence that this record holds, by pointer; what was not measured is not in it."""
    data = record.model_dump(mode="json")
    found: dict[str, Evidence] = {}
    for pointer, (meaning, describe) in SOURCES.items():
        node = resolve(data, pointer)
        if node is not None and (result := describe(node)):
            found[pointer] = Evidence(f"E{len(found) + 1}", pointer, meaning, result, digest_of(node))
    return found


def _measure(node: Any) -> str:
    return measure_text(Measure.model_validate(node))


def _rate(node: Any) -> str:
    return counted_text(RateInterval.model_validate(node))


def _findings(node: Any) -> str:
    if not node:
        return "none recorded"
    order = ("low", "medium", "high", "critical")
    worst = max(node, key=lambda finding: order.index(finding["severity"]))
    return f"{len(node)} recorded, worst {worst['severity']}"


def _competence(node: Any) -> str:
    shown = _measure({name: node[name] for name in ("value", "low", "high", "n")})
    return f"{shown}, {'above' if node['passed'] else 'not above'} floor"


def _power(node: Any) -> str:
    return "; ".join(f"{stratum['name']} {_rate(stratum['found'])}" for stratum in node)


def _calibration(node: Any) -> str:
    return (
        f"{p_value(node['p_value'])} against {len(node['negatives'])} models known to carry nothing ({node['about']})"
    )


def _counted(one: str, many: str) -> Describe:
    return lambda node: f"{len(node):,} {one if len(node) == 1 else many}" if node else ""


SOURCES: Mapping[str, tuple[str, Describe]] = {
    "/verdict": ("verdict", lambda node: f"{node['outcome']} ({node['about']})"),
    "/findings": ("findings in the model as given", _findings),
    "/scores/before/asr_recovered": ("success of the recovered trigger, as given", _measure),
    "/scores/after/asr_recovered": ("success of the recovered trigger, repaired", _measure),
    "/scores/after/asr_fresh": ("success of a fresh search, repaired", _measure),
    "/scores/after/recovery": ("answers right again on stamped pictures, repaired", _measure),
    "/scores/after/false_trigger": ("suspected answer on untouched pictures, repaired", _measure),
    "/repair": ("repair", lambda node: f"{node['method']}, {node['steps']:,} steps"),
    "/controls/power": ("planted controls found, by success stratum", _power),
    "/controls/false_alarms": ("benign controls with an alarm", _rate),
    "/calibrated_by": ("calibration", _calibration),
    "/competence": ("competence on these pictures", _competence),
    "/coverage": ("coverage", lambda node: f"{node['ok']:,} of {node['planned']:,} items"),
    "/data": ("pictures of the run", lambda node: f"{node['samples']:,} samples"),
    "/suspect": ("suspect samples screened", lambda node: f"{node['samples']:,} samples"),
    "/model/files": ("files of the model as given", _counted("file hashed", "files hashed")),
    "/repaired_model/files": ("files of the repaired model", _counted("file hashed", "files hashed")),
    "/search/families": (
        "families of triggers searched",
        lambda node: shorten(", ".join(family["name"] for family in node), 60),
    ),
    "/search/not_looked_for": ("what was not looked for", _counted("kind named", "kinds named")),
    "/limits": ("limits", _counted("limit stated", "limits stated")),
}
