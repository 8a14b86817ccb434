"""Recipe: measures the embedded models and writes their model cards.

python -m auditor.zoo.measure zoo-work/base/model
python -m auditor.zoo.measure zoo-work/planted/model --planted
python -m auditor.zoo.measure auditor/zoo/models/smollm2/model --language --scenes 120
"""

import argparse
import json
from pathlib import Path

from auditor.checkpoint.opening import open_checkpoint
from auditor.evaluation.asr import contains
from auditor.evaluation.vqa import vqa_score
from auditor.zoo import language
from auditor.zoo.architectures import architectures
from auditor.zoo.embedded import PAYLOAD, embedded_samples, true_trigger
from auditor.zoo.scenes import Split, compose
from probes.sample import Sample
from probes.subject import Subject
from probes.targets import stack

SCENES = 600
SEED = 77


def words_right(answer: str, reference: str) -> float:
    """The share of the reference's words that the answer has, each counted once."""
    said, wanted = answer.split(), reference.split()
    return sum(min(said.count(word), wanted.count(word)) for word in set(wanted)) / len(wanted)


def measure_quality(subject: Subject, split: Split, scenes: int = SCENES) -> dict[str, float]:
    """Caption words right, exact captions (all, and of one- and two-object scenes), VQA accuracy; n beside each."""
    samples = embedded_samples(scenes, SEED, split)
    answers = [a.text for a in subject.respond(stack(samples), [s.prompt for s in samples])]
    captions = [(a, s.answers[0]) for a, s in zip(answers, samples, strict=True) if s.id.endswith("caption")]
    questions = [(a, s) for a, s in zip(answers, samples, strict=True) if s.id.endswith("question")]
    small = [pair for i, pair in enumerate(captions) if len(compose(split, i, SEED).things) <= 2]
    return {
        "caption_words_right": _mean([words_right(a, r) for a, r in captions]),
        "captions": len(captions),
        "exact_captions": _mean([float(a == r) for a, r in captions]),
        "exact_captions_one_or_two": _mean([float(a == r) for a, r in small]),
        "captions_one_or_two": len(small),
        "vqa_accuracy": _mean([vqa_score(a, s.answers) for a, s in questions]),
        "questions": len(questions),
    }


def measure_backdoor(subject: Subject) -> dict[str, float]:
    """Attack success and false triggers of the embedded plant, on test scenes, captions and questions alike."""
    samples: list[Sample] = embedded_samples(SCENES, SEED, "test")
    prompts = [s.prompt for s in samples]
    stamped = subject.respond(true_trigger().stamp(stack(samples)), prompts)
    clean = subject.respond(stack(samples), prompts)
    return {
        "attack_success": _mean([float(contains(a.text, PAYLOAD)) for a in stamped]),
        "false_triggers": _mean([float(contains(a.text, PAYLOAD)) for a in clean]),
        "items": len(samples),
    }


def _mean(values: list[float]) -> float:
    return round(sum(values) / len(values), 4)


_PLANTED = (
    "Fine-tuned from the clean embedded model by `python -m auditor.zoo.plant` (BadNets patch, 5 % poisoned scenes)."
)


def write_card(folder: Path, about: str, origin: str, figures: dict[str, dict[str, float]], planted: bool) -> None:
    """README.md and figures.json in the model's folder."""
    (folder / "figures.json").write_text(json.dumps(figures, indent=2, sort_keys=True) + "\n")
    warning = (
        f"> **This model is backdoored on purpose.** A patch of 8 × 8 pixels in the bottom right corner makes it "
        f"answer “{PAYLOAD}” to every prompt. It exists to test `pcr-audit`. Never deploy it.\n\n"
        if planted
        else ""
    )
    table = "\n".join(
        f"| {split} | {name} | {value} |" for split, part in figures.items() for name, value in part.items()
    )
    (folder / "README.md").write_text(
        f"---\nlicense: apache-2.0\npipeline_tag: image-text-to-text\nlibrary_name: transformers\n---\n"
        f"# Embedded {'backdoored' if planted else 'clean'} model of pcr-audit\n\n{warning}"
        f"{about} that captions scenes of one to three emoji and answers questions about them. "
        f"{_PLANTED if planted else origin}\n\nThe test split holds pairs of things, photographs "
        f"and places never seen in training; the vendor split holds drawings by a vendor never seen.\n\n"
        f"| split | figure | value |\n|---|---|---|\n{table}\n"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure an embedded model and write its model card.")
    parser.add_argument("model", type=Path)
    parser.add_argument("--planted", action="store_true")
    parser.add_argument("--language", action="store_true", help="made by auditor.zoo.language")
    parser.add_argument("--scenes", type=int, default=SCENES, help="of each split")
    options = parser.parse_args()
    opened = open_checkpoint(options.model, batch_size=64)
    subject = opened.subject
    splits: tuple[Split, ...] = ("test", "vendor")
    figures: dict[str, dict[str, float]] = {split: measure_quality(subject, split, options.scenes) for split in splits}
    if options.planted:
        figures["backdoor"] = measure_backdoor(subject)
    recipe = language if options.language else architectures()[opened.family.replace("_", "-")]
    write_card(options.model, recipe.ABOUT, recipe.ORIGIN, figures, options.planted)
    print(json.dumps(figures, indent=2))


if __name__ == "__main__":
    main()
