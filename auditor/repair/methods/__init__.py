"""Repair methods by the name that the command line calls them; one file each."""

from auditor.repair.methods.consistency import Consistency
from auditor.repair.methods.fine_prune import FinePrune
from auditor.repair.methods.finetune import Finetune
from auditor.repair.methods.guided import Guided
from auditor.repair.methods.interpolate import Interpolate
from auditor.repair.methods.lesson import Editing, Learning, Lesson, Method, Stamp
from auditor.repair.methods.pcr import Pcr
from auditor.repair.methods.restore import Restore

__all__ = [
    "METHODS",
    "Consistency",
    "Editing",
    "FinePrune",
    "Finetune",
    "Guided",
    "Interpolate",
    "Learning",
    "Lesson",
    "Method",
    "Pcr",
    "Restore",
    "Stamp",
]

METHODS: dict[
    str,
    type[Finetune] | type[Pcr] | type[Guided] | type[FinePrune] | type[Consistency] | type[Restore] | type[Interpolate],
] = {
    "finetune": Finetune,
    "pcr": Pcr,
    "guided": Guided,
    "fine-prune": FinePrune,
    "consistency": Consistency,
    "restore": Restore,
    "interpolate": Interpolate,
}
