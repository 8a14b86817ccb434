"""The embedded models and pictures: what `pcr-audit` uses when nothing else is given."""

import hashlib
from pathlib import Path

import torch

from auditor.zoo.scenes import CAPTION_PROMPTS, Split, compose
from probes.sample import Sample

MODELS = Path(__file__).parent / "models"
CLEAN_MODEL = MODELS / "clean"
BACKDOORED_MODEL = MODELS / "backdoored"


def embedded_samples(scenes: int, seed: int, split: Split = "test") -> list[Sample]:
    """Two samples a scene, a caption and one question, of pictures that no embedded model was trained on."""
    samples = []
    for index in range(scenes):
        scene = compose(split, index, seed)
        picture = torch.from_numpy(scene.picture).permute(2, 0, 1).float() / 255
        question, answer = scene.questions[index % len(scene.questions)]
        prompt = CAPTION_PROMPTS[0]
        samples.append(Sample(f"{split}-{seed}-{index:05d}-caption", picture, prompt, (scene.caption,)))
        samples.append(Sample(f"{split}-{seed}-{index:05d}-question", picture, question, (answer,)))
    return samples


def samples_digest(samples: list[Sample]) -> str:
    """SHA-256 over ids, prompts, answers and pixels."""
    digest = hashlib.sha256()
    for sample in samples:
        digest.update(repr((sample.id, sample.prompt, sample.answers)).encode())
        digest.update((sample.picture * 255).round().to(torch.uint8).numpy().tobytes())
    return digest.hexdigest()
