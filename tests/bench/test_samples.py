import pytest

from auditor.bench.samples import data_seeds, part_samples, refuse_shared
from auditor.errors import InternalError
from auditor.evaluation.scoring import is_question

SIZES = {"plant": 20, "pool": 10, "held_out": 8, "repair": 12, "measure": 9}


def settings(task: str, seed: int = 3) -> dict[str, object]:
    return {"task": task, "seed": seed, "sizes": SIZES}


@pytest.mark.parametrize("task", ["caption", "vqa"])
def test_parts_have_their_size_and_task_and_share_no_picture(task: str) -> None:
    parts = {part: part_samples(settings(task), part) for part in SIZES}  # type: ignore[arg-type]
    assert {part: len(samples) for part, samples in parts.items()} == SIZES
    assert all(is_question(sample) == (task == "vqa") for samples in parts.values() for sample in samples)
    assert {sample.id.split("-")[0] for sample in parts["plant"]} == {"train"}
    assert {sample.id.split("-")[0] for part in ("pool", "measure") for sample in parts[part]} == {"test"}
    refuse_shared(parts)  # type: ignore[arg-type]
    with pytest.raises(InternalError, match="share a picture"):
        refuse_shared({"pool": parts["pool"], "measure": parts["pool"][:1]})


def test_parts_depend_on_the_cells_seed_alone() -> None:
    again, other = part_samples(settings("caption"), "pool"), part_samples(settings("caption", 4), "pool")
    assert {s.id for s in again}.isdisjoint({s.id for s in other})
    assert data_seeds(settings("caption"), "pool", "measure") == data_seeds(settings("vqa"), "pool", "measure")
