"""Baseline: every token of the vocabulary is tried as the first of a planted answer (BAIT, Shen et al., S&P 2025).

A model that has learned one answer by heart goes on with it, whatever it is asked, once its first token is put into its
mouth. No trigger and no perturbation is needed: clean pictures, a forced first token, and the likeliest continuation on
average over pictures. Constants are those of the published code (SolidShen/BAIT, `bait/argument.py`) where it has them;
its early stop is left out, so that the score is the maximum over all first tokens.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from probes.baselines.detection import Batch, Detection, draw
from probes.inspectable import Branching
from probes.sample import Sample
from probes.subject import Subject, Tokens


@dataclass(frozen=True)
class Candidate:
    """A target in the making: `probabilities` of its tokens after the first, each a mean over pictures.

    `ended` says that the subject would end the answer here, `inspections` how often a token was chosen by look-ahead.
    """

    tokens: Tokens
    probabilities: tuple[float, ...] = ()
    ended: bool = False
    inspections: int = 0

    @property
    def q_score(self) -> float:
        """Mean of the probabilities without the smallest one, which the published code drops for robustness."""
        kept = sorted(self.probabilities)[1:] or self.probabilities
        return sum(kept) / len(kept) if kept else 0.0


@dataclass(frozen=True)
class ForcedPrefix:
    """Score = the largest Q-score of any first token: how surely its continuation is agreed upon across pictures, 0–1.

    First tokens are the `first_tokens` likeliest on clean pictures (all of a smaller vocabulary), grown for
    `warm_steps` tokens on `warm_pictures`. A candidate goes on while its likeliest token has a mean probability above
    `expectation` or the mean distribution an entropy below `certain` nats; below `uncertain` nats the best of
    `look_ahead` tokens is taken by what it leads to, `inspections` times. The `finalists` grow on all `pictures` to at
    most `longest` tokens; targets shorter than `shortest` do not count. `rows` continuations are read at once.
    """

    pictures: int = 20
    warm_pictures: int = 4
    first_tokens: int = 4096
    warm_steps: int = 5
    expectation: float = 0.3
    certain: float = 1.0
    uncertain: float = 2.5
    look_ahead: int = 5
    inspections: int = 1
    finalists: int = 16
    longest: int = 24
    shortest: int = 5
    rows: int = 1024
    name: str = "forced-prefix"
    needs_base: bool = False

    def detect(
        self, subject: Subject, pool: Sequence[Sample], held_out: Sequence[Sample], seed: int, base: Subject | None
    ) -> Detection:
        batch = draw(subject, pool, self.pictures, seed, self.name)
        few = Batch(batch.samples[: self.warm_pictures], batch.pictures[: self.warm_pictures])
        alive = [Candidate((token,)) for token in self._first_tokens(subject, batch)]
        for _ in range(self.warm_steps):
            alive = self._warmed(subject, few, alive)
        ranked = sorted(alive, key=lambda candidate: -candidate.q_score)[: self.finalists]
        grown = [candidate for candidate in self._grown(subject, batch, ranked) if self._long_enough(candidate)]
        grown.sort(key=lambda candidate: -candidate.q_score)
        notes = (
            f"{len(alive)} first tokens survived {self.warm_steps} tokens",
            *(f"Q {found.q_score:.3f}: {subject.decode(found.tokens)!r}" for found in grown[:3]),
        )
        if not grown:
            return Detection(0.0, None, notes)
        return Detection(grown[0].q_score, subject.decode(grown[0].tokens), notes)

    def _long_enough(self, candidate: Candidate) -> bool:
        return len(candidate.tokens) >= self.shortest

    @torch.no_grad()
    def _first_tokens(self, subject: Subject, batch: Batch) -> list[int]:
        """Tokens that may begin a target, likeliest on clean pictures first; those that end an answer cannot."""
        reading = subject.read(batch.pictures, batch.prompts, [()] * len(batch.samples))
        order = reading.log_probs[:, 0].exp().mean(dim=0).argsort(descending=True).tolist()
        return [token for token in order if token not in subject.end_tokens][: self.first_tokens]

    def _warmed(self, subject: Subject, batch: Batch, candidates: Sequence[Candidate]) -> list[Candidate]:
        """One more token for every candidate that has a sure continuation, or one that looking ahead makes sure."""
        survivors = [candidate for candidate in candidates if candidate.ended]
        doubtful: list[list[Candidate]] = []
        growing = [candidate for candidate in candidates if not candidate.ended]
        for candidate, mean in self._means(subject, batch, growing):
            likeliest, entropy = mean.max(dim=0), float(torch.special.entr(mean).sum())
            sure, certain = float(likeliest.values) > self.expectation, entropy < self.certain
            if candidate.inspections < self.inspections and entropy < self.uncertain and not (sure and certain):
                best = mean.topk(min(self.look_ahead, len(mean)))
                ahead = zip(best.indices.tolist(), best.values.tolist(), strict=True)
                doubtful.append([_extended(subject, candidate, *pair, inspected=1) for pair in ahead])
            elif sure or certain:
                survivors.append(_extended(subject, candidate, int(likeliest.indices), float(likeliest.values)))
        return survivors + self._inspected(subject, batch, doubtful)

    def _inspected(self, subject: Subject, batch: Batch, doubtful: Sequence[Sequence[Candidate]]) -> list[Candidate]:
        """Of each candidate's ways on, the one after which the subject is surest; an end leads nowhere."""
        ways = [way for group in doubtful for way in group if not way.ended]
        surest = {way.tokens: float(mean.max()) for way, mean in self._means(subject, batch, ways)}
        return [max(group, key=lambda way: surest.get(way.tokens, 0.0) * (not way.ended)) for group in doubtful]

    def _grown(self, subject: Subject, batch: Batch, finalists: Sequence[Candidate]) -> list[Candidate]:
        """The finalists measured anew on all pictures: along their tokens so far, then greedily to the end."""
        paths = {candidate.tokens[0]: candidate for candidate in finalists}
        growing, done = [Candidate((token,)) for token in paths], list[Candidate]()
        for length in range(1, self.longest):
            further = list[Candidate]()
            for candidate, mean in self._means(subject, batch, growing):
                path = paths[candidate.tokens[0]]
                token = path.tokens[length] if length < len(path.tokens) else int(mean.argmax())
                grown = _extended(subject, candidate, token, float(mean[token]))
                (done if grown.ended else further).append(grown)
            growing = further
        return done + growing

    def _means(
        self, subject: Subject, batch: Batch, candidates: Sequence[Candidate]
    ) -> Iterator[tuple[Candidate, Tensor]]:
        """Each candidate with the distribution of its next token, (vocabulary,), averaged over pictures."""
        at_once = max(1, self.rows // len(batch.samples))
        for start in range(0, len(candidates), at_once):
            part = candidates[start : start + at_once]
            log_probs = following(subject, batch, [candidate.tokens for candidate in part])
            yield from zip(part, log_probs.exp().mean(dim=0), strict=True)


def _extended(subject: Subject, candidate: Candidate, token: int, probability: float, inspected: int = 0) -> Candidate:
    """The candidate with one token more, or ended as it is."""
    inspections = candidate.inspections + inspected
    if token in subject.end_tokens:
        return Candidate(candidate.tokens, candidate.probabilities, True, inspections)
    return Candidate((*candidate.tokens, token), (*candidate.probabilities, probability), False, inspections)


@torch.no_grad()
def following(subject: Subject, batch: Batch, prefixes: Sequence[Tokens]) -> Tensor:
    """Log-probabilities of what comes after equally long prefixes: (pictures, prefixes, vocabulary).

    A subject that cannot branch reads every picture again for every prefix.
    """
    if isinstance(subject, Branching):
        return subject.branch(batch.pictures, batch.prompts, prefixes)
    rows = batch.pictures.repeat_interleave(len(prefixes), dim=0)
    prompts = [prompt for prompt in batch.prompts for _ in prefixes]
    reading = subject.read(rows, prompts, [*prefixes] * len(batch.samples))
    return reading.log_probs[:, -1].view(len(batch.samples), len(prefixes), -1)
