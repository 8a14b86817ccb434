"""Baseline: shallow attention entropy against a clean reference, after EntropyScan (arXiv 2605.15711).

Only the abstract was available: it names visual attention of the language model's initial layers, Tsallis entropy, and
a reference-anchored z-score on a small set of benign samples. The formula is our reading of that, not theirs:

    p_i     attention of the last prompt token on visual token i in layer l and head h, normalised over visual tokens
    s_l(x)  mean over heads of S_q(p) = (1 − Σ p_i^q) / (q − 1), Shannon's entropy for q = 1
    z_l(x)  (s_l(x) − mean of the base's s_l) / standard deviation of the base's s_l, over the same pictures
    score   mean over the first layers of |mean over pictures of z_l(x)|

q, the number of layers, heads and the query position are not in the abstract; they are fields or stated above.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from probes.baselines.detection import Detection, base_of, draw
from probes.inspectable import Inspectable
from probes.sample import Sample
from probes.subject import Subject

_LEAST_SPREAD = 1e-4
"""A reference that gives every picture the same entropy has no scale of its own."""


def tsallis(probabilities: Tensor, order: float) -> Tensor:
    """Tsallis entropy over the last dimension, Shannon's (in nats) for order 1."""
    if order == 1:
        return -torch.xlogy(probabilities, probabilities).sum(dim=-1)
    return (1 - probabilities.pow(order).sum(dim=-1)) / (order - 1)


@dataclass(frozen=True)
class AttentionEntropy:
    """Score = by how many of the base's standard deviations the entropy of shallow visual attention is off.

    `layers` of the language model, counted from its input; `order` is Tsallis' q; `pictures` clean samples, asked of
    both models.
    """

    layers: int = 2
    order: float = 2.0
    pictures: int = 64
    name: str = "attention-entropy"
    needs_base: bool = True

    def detect(
        self, subject: Subject, pool: Sequence[Sample], held_out: Sequence[Sample], seed: int, base: Subject | None
    ) -> Detection:
        samples = draw(subject, pool, self.pictures, seed, self.name).samples
        own, theirs = (self._entropies(one, samples) for one in (subject, base_of(self.name, base)))
        if own.shape != theirs.shape:
            raise ValueError(f"{self.name}: {len(own)} layers against {len(theirs)}; give a base of this architecture")
        spread = theirs.std(dim=1, correction=0).clamp_min(_LEAST_SPREAD)  # (layers,)
        shift = (own.mean(dim=1) - theirs.mean(dim=1)) / spread
        notes = tuple(f"layer {layer}: {value:+.3f} standard deviations" for layer, value in enumerate(shift.tolist()))
        return Detection(float(shift.abs().mean()), notes=notes)

    def _entropies(self, subject: Subject, samples: Sequence[Sample]) -> Tensor:
        """(layers, pictures), on the CPU."""
        if not isinstance(subject, Inspectable):
            raise ValueError(f"{self.name} needs a subject that shows its attention; {type(subject).__name__} does not")
        pictures = torch.stack([sample.picture for sample in samples]).to(subject.device)
        seen = subject.attention(pictures, [sample.prompt for sample in samples], self.layers).float()
        share = seen / seen.sum(dim=-1, keepdim=True).clamp_min(1e-12)  # (layers, batch, heads, visual tokens)
        return tsallis(share, self.order).mean(dim=-1).cpu()
