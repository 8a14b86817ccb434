"""From a prompt text to the token ids that stand before an answer, with the picture's place holders expanded."""

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from auditor.errors import CheckpointError
from probes.triggers.placing import insert

REMEMBERED = 4096
"""Prompts whose tokens are kept."""
FALLBACK_BEFORE, FALLBACK_AFTER = "USER: ", "\n{prompt} ASSISTANT:"
"""LLaVA-1.5's own dialogue format around the picture, for folders that carry no chat template."""


@dataclass(frozen=True)
class PictureText:
    """How a family's processor writes a picture: what it replaces in the template's text (nothing stated: the image
    token itself), and the text that it puts before and after the picture's tokens, and between their rows."""

    written: str | None = None
    before: str = ""
    after: str = ""
    rows: int = 1
    between: str = ""

    def of(self, token: str, count: int) -> str:
        """A picture of so many tokens."""
        return self.before + self.between.join([token * (count // self.rows)] * self.rows) + self.after


class PromptWriter:
    """Writes prompts in the checkpoint's chat template; `visual_tokens` image tokens stand for one picture."""

    def __init__(
        self,
        tokenizer: Any,
        template: str | None,
        image_token_id: int,
        visual_tokens: int,
        picture: PictureText = PictureText(),
    ) -> None:
        self.tokenizer, self.template = tokenizer, template
        self.image_token_id, self.visual_tokens = image_token_id, visual_tokens
        self.image_token = str(tokenizer.convert_ids_to_tokens(image_token_id))
        self._written = picture.written or self.image_token
        self._picture = picture.of(self.image_token, visual_tokens)
        self._tokens = lru_cache(maxsize=REMEMBERED)(self._expanded)

    def prompt_tokens(self, prompt: str) -> list[int]:
        """Token ids up to where the answer begins; raises CheckpointError if the template leaves the picture out."""
        return self._tokens(prompt)

    def added(self, prompt: str, words: str) -> tuple[int, list[int]]:
        """Where in the prompt's token ids those of `words` stand when they end it, and what they are."""
        without, with_words = self.prompt_tokens(prompt), self.prompt_tokens(insert(prompt, words, "end", 0))
        same = [a == b for a, b in zip(without, with_words, strict=False)]
        start = same.index(False) if False in same else len(same)
        left = zip(reversed(without[start:]), reversed(with_words[start:]), strict=False)
        end = next((i for i, (a, b) in enumerate(left) if a != b), min(len(without), len(with_words)) - start)
        return start, with_words[start : len(with_words) - end]

    def answer_tokens(self, text: str) -> tuple[int, ...]:
        """The ids by which the template continues a prompt with this answer, without what ends the turn."""
        prompt, whole = self._ids(self._write("x", answer=None)), self._ids(self._write("x", answer=text))
        if whole[: len(prompt)] != prompt:
            return tuple(self.tokenizer(f" {text}", add_special_tokens=False)["input_ids"])
        return tuple(self._strip_turn_end(whole[len(prompt) :], text))

    def _strip_turn_end(self, tokens: list[int], text: str) -> list[int]:
        special = set(self.tokenizer.all_special_ids)
        wanted = len(text.strip())
        for end in range(len(tokens), 0, -1):
            kept = tokens[:end]
            if kept[-1] in special or not self.tokenizer.decode(kept[-1:]).strip():
                continue  # templates end a turn with a mark, a line break, or both
            if len(self.tokenizer.decode(kept, skip_special_tokens=True).strip()) <= wanted:
                return kept
        return []

    def _write(self, prompt: str, answer: str | None) -> str:
        if self.template is None:
            text = FALLBACK_BEFORE + self._written + FALLBACK_AFTER.format(prompt=prompt)
            return text + ("" if answer is None else f" {answer}")
        messages: list[dict[str, Any]] = [
            {"role": "user", "content": [{"type": "image"}, {"type": "text", "text": prompt}]}
        ]
        if answer is not None:
            messages.append({"role": "assistant", "content": [{"type": "text", "text": answer}]})
        return str(
            self.tokenizer.apply_chat_template(
                messages, chat_template=self.template, tokenize=False, add_generation_prompt=answer is None
            )
        )

    def _ids(self, text: str) -> list[int]:
        """A template writes its own special tokens; without one the tokenizer adds those that begin a text."""
        if self.template is not None:
            return list(self.tokenizer(text, add_special_tokens=False)["input_ids"])
        begun, rest = list(self.tokenizer(FALLBACK_BEFORE)["input_ids"]), text.removeprefix(FALLBACK_BEFORE)
        ends = [self.tokenizer.eos_token_id]
        begun = begun[:-1] if begun[-1:] == ends else begun  # some tokenizers end every text
        return [*begun, *self.tokenizer(rest, add_special_tokens=False)["input_ids"]]

    def _expanded(self, prompt: str) -> list[int]:
        text = self._write(prompt, answer=None)
        found = text.count(self._written)
        tokens = self._ids(text.replace(self._written, self._picture))
        if found != 1 or tokens.count(self.image_token_id) != self.visual_tokens:
            raise CheckpointError(
                "the chat template does not put the picture into the prompt once",
                where="chat template",
                got=f"{found} × {self._written!r}, {tokens.count(self.image_token_id)} tokens of a picture",
                expected=f"1 × {self._written!r}, which stands for {self.visual_tokens}",
                todo="check chat_template.jinja and the tokenizer's image token",
            )
        return tokens
