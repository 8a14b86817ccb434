from pathlib import Path

import pytest

from auditor.checkpoint.opening import open_checkpoint
from auditor.checkpoint.parts import part_of
from tests.checkpoint.folders import BUILDERS, build


@pytest.mark.parametrize(
    ("name", "part"),
    [
        ("model.vision_tower.encoder.layers.0.mlp.fc1.weight", "vision"),
        ("model.multi_modal_projector.linear_1.weight", "projector"),
        ("model.language_model.layers.0.mlp.up_proj.weight", "language"),
        ("model.visual.blocks.0.attn.qkv.weight", "vision"),
        ("model.visual.merger.mlp.0.weight", "projector"),
        ("model.vision_model.post_layernorm.weight", "vision"),
        ("model.connector.modality_projection.proj.weight", "projector"),
        ("model.text_model.embed_tokens.weight", "language"),
        ("lm_head.weight", "language"),
        ("model.visual.deepstack_merger_list.0.linear_fc1.weight", "projector"),
        ("model.image_newline", "projector"),
        ("something.else", None),
    ],
)
def test_a_parameter_belongs_to_one_part(name: str, part: str | None) -> None:
    assert part_of(name) == part


@pytest.mark.parametrize("family", sorted(BUILDERS))
def test_every_parameter_of_every_family_has_a_part(family: str, tmp_path: Path) -> None:
    model = open_checkpoint(build(family, tmp_path)).subject.model
    parts = {name: part_of(name) for name, _ in model.named_parameters()}
    assert not [name for name, part in parts.items() if part is None]
    assert set(parts.values()) == {"language", "projector", "vision"}
