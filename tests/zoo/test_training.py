"""What the recipe trains is what a subject answers with, in every architecture, and it goes on where it stopped."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from auditor.checkpoint.subject import CheckpointSubject
from auditor.zoo.architectures import architectures, qwen2_vl
from auditor.zoo.packing import draw_batch, label_patches
from auditor.zoo.scenes import compose
from auditor.zoo.train import Learner, Settings, answer_loss, begin, forward, place, train

NAMES = sorted(architectures())


@pytest.fixture(scope="module", params=NAMES)
def learner(request: pytest.FixtureRequest) -> Learner:
    with torch.random.fork_rng():
        return begin(request.param, Settings(seed=3))[0]


def test_a_packed_segment_is_what_the_subject_reads(learner: Learner) -> None:
    scenes = [compose("train", index, 0) for index in (4, 5)]
    turns = [[("what is this?", "a snail"), ("what do you see?", scene.caption)] for scene in scenes]
    batch = learner.packer.pack(scenes, turns)
    model = learner.model.eval()
    subject = CheckpointSubject(model, learner.door, learner.packer.writer, frozenset({learner.packer.end}), 2)
    with torch.no_grad():
        hidden, _ = forward(learner, batch)
        packed = model.lm_head(hidden).log_softmax(-1)
        for number, (_, answer) in enumerate(zip(*turns, strict=True)):
            prompt = turns[0][number][0]
            answers = [subject.encode(row[number][1]) for row in turns]
            reading = subject.read(batch.pictures, [prompt] * 2, answers)
            for row, tokens in enumerate(answers):
                wanted = ((batch.segment[row] == number + 1) & (batch.targets[row] != -100)).nonzero().flatten()
                assert batch.targets[row, wanted].tolist() == [*tokens, learner.packer.end]
                torch.testing.assert_close(
                    packed[row, wanted], reading.log_probs[row, : len(tokens) + 1], atol=2e-4, rtol=1e-3
                )
            assert answer


def test_patches_come_in_raster_order(learner: Learner) -> None:
    scene = compose("train", 1, 0)
    grid, side = learner.family.GRID, 56 // learner.family.GRID
    plain = torch.zeros(1, 3, 56, 56)
    marked = plain.clone()
    marked[:, :, side : 2 * side, 3 * side : 4 * side] = 1  # second row, fourth column
    with torch.no_grad():
        before, after = (
            learner.family.see(learner.model, learner.door.inputs(p)["pixel_values"])[1] for p in (plain, marked)
        )
    assert before.shape[1] == grid * grid == len(label_patches(scene, grid))
    assert int((before - after).abs().sum(dim=-1)[0].argmax()) == grid + 3


def test_qwens_fast_tower_is_its_own_tower() -> None:
    learner = begin("qwen2-vl", Settings(seed=3))[0]
    pixels = learner.door.inputs(torch.rand(3, 3, 56, 56, generator=torch.Generator().manual_seed(0)))
    with torch.no_grad():
        ours, _ = qwen2_vl.see(learner.model, pixels["pixel_values"])
        theirs = learner.model.model.visual(pixels["pixel_values"], grid_thw=pixels["image_grid_thw"]).pooler_output
    torch.testing.assert_close(ours.flatten(0, 1), theirs, atol=1e-5, rtol=1e-4)


def test_text_goes_on_behind_the_largest_position() -> None:
    position = torch.tensor([[0, 1, 2, 0, 1]])
    assert place(torch.arange(3), position).tolist() == [[0, 1, 2, 3, 4, 5, 3, 4]]
    placed = place(qwen2_vl.prefix_positions(2), position)
    assert placed.shape == (3, 1, 2 + 16 + 5)
    assert placed[:, 0, -5:].tolist() == [[6, 7, 8, 6, 7]] * 3


@pytest.mark.parametrize("name", ["idefics3", "qwen2-vl"])
def test_a_warm_start_knows_something(name: str) -> None:
    losses = []
    for warm in (False, True):
        learner, _ = begin(name, Settings(seed=3, warm=warm))
        batch = draw_batch(learner.packer, "train", 0, 8, 0)
        with torch.no_grad():
            hidden, _ = forward(learner, batch)
            losses.append(float(answer_loss(learner.model, hidden, batch.targets, batch.segment)[0]))
    fresh, warmed = losses
    assert abs(fresh - np.log(1283)) < 0.5
    assert warmed != pytest.approx(fresh, abs=0.1)


def test_an_interrupted_run_goes_on_to_the_same_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = Settings(steps=3, batch=2, questions=1, warm=True, half=False)
    train("idefics3", tmp_path / "whole", settings)

    from auditor.zoo import train as recipe

    def broken(file: Path, *rest: object) -> None:
        original(file, *rest)  # type: ignore[arg-type]
        raise KeyboardInterrupt

    original = recipe.keep
    monkeypatch.setattr(recipe, "KEPT_EVERY", 2)
    monkeypatch.setattr(recipe, "keep", broken)
    with pytest.raises(KeyboardInterrupt):
        train("idefics3", tmp_path / "broken", settings)
    monkeypatch.setattr(recipe, "keep", original)
    train("idefics3", tmp_path / "broken", settings)
    whole, resumed = ((tmp_path / run / "model" / "model.safetensors").read_bytes() for run in ("whole", "broken"))
    assert whole == resumed
    assert json.loads((tmp_path / "whole" / "model" / "config.json").read_text())["model_type"] == "idefics3"
