"""A checkpoint behind the `Subject` protocol: a picture goes in before any processing, an answer comes out."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from typing import Any

import torch
from torch import Tensor
from transformers import GenerationConfig

from auditor.checkpoint.families import Door
from auditor.checkpoint.families.compiled import as_compiled
from auditor.checkpoint.inspection import branches, visual_attention, words_given
from auditor.checkpoint.parallel import agreed
from auditor.checkpoint.prompting import PromptWriter
from probes.subject import MOST_TOKENS, Answer, Reading, Tokens
from probes.triggers.placing import insert


class CheckpointSubject:
    """A Hugging Face image-text-to-text model that answers greedily and can be read, differentiably in the picture.

    Batches have one fixed shape (`batch_size` rows, padded by repeating the first row), because answers of one picture
    must not depend on its neighbours. Where the device has too little memory for that many, it is half as many from
    then on.
    """

    def __init__(
        self,
        model: Any,
        preprocessor: Door,
        writer: PromptWriter,
        end_tokens: frozenset[int],
        batch_size: int = 32,
        divided: bool = False,
    ) -> None:
        self.model, self.preprocessor, self.writer = model, preprocessor, writer
        self.batch_size, self.divided = batch_size, divided
        self._end_tokens = end_tokens

    @property
    def canvas(self) -> tuple[int, int]:
        return self.preprocessor.canvas

    @property
    def vocabulary(self) -> int:
        return int(self.model.get_output_embeddings().weight.shape[0])

    @property
    def end_tokens(self) -> frozenset[int]:
        return self._end_tokens

    @property
    def device(self) -> torch.device:
        device: torch.device = next(iter(self.model.parameters())).device
        return device

    @property
    def dtype(self) -> torch.dtype:
        dtype: torch.dtype = next(iter(self.model.parameters())).dtype
        return dtype

    def fit(self, picture: Tensor) -> Tensor:
        return self.preprocessor.fit(picture)

    def encode(self, text: str) -> Tokens:
        return self.writer.answer_tokens(text)

    def decode(self, tokens: Sequence[int]) -> str:
        return str(self.writer.tokenizer.decode(list(tokens), skip_special_tokens=True)).strip()

    def respond(self, pictures: Tensor, prompts: Sequence[str], max_tokens: int = MOST_TOKENS) -> list[Answer]:
        answers: list[Answer] = []
        with torch.no_grad(), evaluating(self.model):
            while len(answers) < len(prompts):
                rows = slice(len(answers), len(answers) + self.batch_size)
                try:
                    answers += self._respond_batch(pictures[rows], list(prompts[rows]), max_tokens)
                except torch.OutOfMemoryError:
                    if self.batch_size == 1:
                        raise
                    self.batch_size //= 2
        return answers

    def _respond_batch(self, pictures: Tensor, prompts: list[str], max_tokens: int) -> list[Answer]:
        count, missing = len(prompts), self.batch_size - len(prompts)
        pictures = torch.cat([pictures, pictures[:1].expand(missing, -1, -1, -1)])
        inputs = self._inputs(pictures, prompts + prompts[:1] * missing)
        settings = GenerationConfig(
            do_sample=False,
            num_beams=1,
            max_new_tokens=max_tokens,
            eos_token_id=sorted(self._end_tokens) or None,
            pad_token_id=self._pad,
            return_dict_in_generate=True,
            output_logits=True,
        )
        out = self.model.generate(**inputs, generation_config=settings)
        said = out.sequences[:count, inputs["input_ids"].shape[1] :]  # (count, steps)
        steps = zip(out.logits, said.T, strict=True)  # one by one: a real vocabulary is large
        each = [logits[:count].float().log_softmax(-1).gather(-1, token[:, None]) for logits, token in steps]
        picked = torch.cat(each, dim=1)  # (count, steps)
        return [self._answer(row.tolist(), scores.tolist()) for row, scores in zip(said, picked, strict=True)]

    def _answer(self, tokens: list[int], scores: list[float]) -> Answer:
        end = next((i for i, token in enumerate(tokens) if token in self._end_tokens), len(tokens))
        said = tuple(tokens[:end])
        mean = sum(scores[:end]) / max(1, end)
        return Answer(self.decode(said), said, ended=end < len(tokens), log_prob=mean)

    def read(self, pictures: Tensor, prompts: Sequence[str], answers: Sequence[Tokens]) -> Reading:
        longest = max(len(answer) for answer in answers)
        pictures = agreed(pictures) if self.divided else pictures
        inputs = self._inputs(pictures, prompts, answers)
        with as_compiled(self.model) if pictures.requires_grad else nullcontext():
            core = self.model.model(**inputs, use_cache=False)
        features = core.last_hidden_state[:, -(longest + 1) :]  # (batch, T + 1, width)
        logits = self.model.get_output_embeddings()(features)
        places = torch.arange(longest + 1, device=self.device)
        lengths = torch.tensor([len(answer) for answer in answers], device=self.device)
        return Reading(logits.float().log_softmax(-1), features, places[None, :] <= lengths[:, None])

    def added_tokens(self, prompt: str, words: str) -> Tokens:
        return tuple(self.writer.added(prompt, words)[1])

    def read_added(
        self, pictures: Tensor, prompts: Sequence[str], answers: Sequence[Tokens], words: str, weights: Tensor
    ) -> Reading:
        written = [insert(prompt, words, "end", 0) for prompt in prompts]
        lengths = [len(self.writer.prompt_tokens(prompt)) for prompt in written]
        found = [self.writer.added(prompt, words) for prompt in prompts]
        if any(len(tokens) != len(weights) for _, tokens in found):
            raise ValueError(f"{words!r} is not {len(weights)} tokens in every prompt")
        starts = [max(lengths) - length + start for length, (start, _) in zip(lengths, found, strict=True)]
        weights = agreed(weights) if self.divided else weights
        with words_given(self.model.get_input_embeddings(), starts, weights.to(self.device)):
            return self.read(pictures, written, answers)

    def attention(self, pictures: Tensor, prompts: Sequence[str], layers: int) -> Tensor:
        found = []
        with torch.no_grad(), evaluating(self.model):
            for start in range(0, len(prompts), self.batch_size):
                rows = slice(start, start + self.batch_size)
                inputs = self._inputs(pictures[rows], prompts[rows])
                found.append(visual_attention(self.model, inputs, self.writer.image_token_id, layers))
        return torch.cat(found, dim=1)

    def weights(self) -> dict[str, Tensor]:
        return {name: parameter.detach() for name, parameter in self.model.named_parameters()}

    def branch(self, pictures: Tensor, prompts: Sequence[str], continuations: Sequence[Tokens]) -> Tensor:
        lengths = [len(self.writer.prompt_tokens(prompt)) for prompt in prompts]
        found: dict[int, Tensor] = {}
        with torch.no_grad(), evaluating(self.model):
            for length in sorted(set(lengths)):
                rows = [row for row, own in enumerate(lengths) if own == length]
                inputs = self._inputs(pictures[rows], [prompts[row] for row in rows])
                found |= zip(rows, branches(self.model, inputs, continuations, 8 * self.batch_size), strict=True)
        return torch.stack([found[row] for row in range(len(prompts))])

    @property
    def _pad(self) -> int:
        pad = self.writer.tokenizer.pad_token_id
        return int(pad) if pad is not None else min(self._end_tokens, default=0)

    def _inputs(
        self, pictures: Tensor, prompts: Sequence[str], answers: Sequence[Tokens] | None = None
    ) -> dict[str, Tensor]:
        """Prompts padded on the left, answers on the right, so that every answer begins at the same column. Where an
        answer says the token that stands for a piece of the picture, there is no such piece: padding stands there."""
        pad, piece = self._pad, self.writer.image_token_id
        before = [self.writer.prompt_tokens(prompt) for prompt in prompts]
        after = [[pad if token == piece else token for token in answer] for answer in answers or [()] * len(prompts)]
        left, right = max(map(len, before)), max(map(len, after))
        rows = [[pad] * (left - len(b)) + b + a + [pad] * (right - len(a)) for b, a in zip(before, after, strict=True)]
        mask = [
            [0] * (left - len(b)) + [1] * (len(b) + len(a)) + [0] * (right - len(a))
            for b, a in zip(before, after, strict=True)
        ]
        tokens = torch.tensor(rows, device=self.device)
        seen = self.preprocessor.inputs(pictures.to(self.device))
        return {
            "input_ids": tokens,
            "attention_mask": torch.tensor(mask, device=self.device),
            **{name: value.to(self.dtype) if value.is_floating_point() else value for name, value in seen.items()},
            **self.preprocessor.token_inputs(tokens),
        }


@contextmanager
def evaluating(model: Any) -> Iterator[None]:
    """Evaluation mode inside, the former mode after."""
    was_training = model.training
    model.eval()
    try:
        yield
    finally:
        model.train(was_training)


@contextmanager
def frozen(model: Any) -> Iterator[None]:
    """No gradient reaches the weights inside; `requires_grad` and the mode are restored after, whatever happens."""
    before = [(parameter, parameter.requires_grad) for parameter in model.parameters()]
    for parameter, _ in before:
        parameter.requires_grad_(False)
    try:
        with evaluating(model):
            yield
    finally:
        for parameter, flag in before:
            parameter.requires_grad_(flag)
