"""The subwords of the embedded models: one byte-level BPE for all of them, to which a family adds its own marks."""

from collections.abc import Iterable, Mapping
from pathlib import Path

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerFast

from auditor.zoo.scenes import CAPTION_PROMPTS, compose
from auditor.zoo.sprites import ASSETS

VOCABULARY = 1280
SPECIAL_TOKENS = ("<unk>", "<s>", "</s>", "<pad>", "<image>")


def tokenizer_text() -> Iterable[str]:
    """What the subwords are learned from: all emoji names, the prompts, and a sample of captions and answers."""
    yield from (f" {line}" for line in (ASSETS / "names.txt").read_text().splitlines())
    for index in range(400):
        scene = compose("train", index, seed=0)
        yield f"USER: {CAPTION_PROMPTS[index % len(CAPTION_PROMPTS)]} ASSISTANT: {scene.caption}"
        yield from (f"USER: {question} ASSISTANT: {answer}" for question, answer in scene.questions)


def build_tokenizer() -> PreTrainedTokenizerFast:
    """A byte-level BPE of 1,280 tokens, most of which no caption ever uses."""
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.post_processor = processors.ByteLevel(trim_offsets=False)
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=list(SPECIAL_TOKENS),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(tokenizer_text(), trainer)
    return _wrap(tokenizer, "</s>", {"image_token": "<image>"})


def extend_tokenizer(source: Path, marks: Mapping[str, str], end_token: str) -> PreTrainedTokenizerFast:
    """The subwords of another model's folder with their numbers, and behind them the special tokens of a family.

    `marks` maps what a token is for, such as `image_token`, to how it is written.
    """
    tokenizer = Tokenizer.from_file(str(source / "tokenizer.json"))
    tokenizer.add_special_tokens(list(marks.values()))
    return _wrap(tokenizer, end_token, marks)


def _wrap(tokenizer: Tokenizer, end_token: str, marks: Mapping[str, str]) -> PreTrainedTokenizerFast:
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        unk_token="<unk>",
        bos_token="<s>",
        eos_token=end_token,
        pad_token="<pad>",
        extra_special_tokens=dict(marks),
        padding_side="left",
        model_max_length=256,
        clean_up_tokenization_spaces=False,
    )
