"""Where in the picture an answer is decided, and whether what sits there carries the answer over to other pictures."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from scipy import stats
from torch import Tensor

from probes.finding import Rate
from probes.sample import Sample
from probes.seeding import derive_seed, generator
from probes.subject import MOST_TOKENS, Subject, Tokens, mean_log_prob
from probes.text import normalise
from probes.triggers import AdditiveTrigger, PatchTrigger
from probes.views import Fill, Grid, padded_batches, perturb

BATCH = 64
# Occlusion maps are averaged over this many flagged samples; more change them little and cost a forward each.
MAPPED = 6
# Clean pictures on which a candidate is chosen, at most; the rest are held out.
CHOSEN_ON = 16
# Natural answers that are moved in the same way, for comparison.
DECOYS = 3
# A smaller candidate is taken when it keeps this share of the best one's hits.
GOOD_ENOUGH = 0.95
# A window over more of the picture than this is no longer local: pasting it replaces the picture.
LOCAL = 0.35

Recovered = PatchTrigger | AdditiveTrigger


@dataclass(frozen=True)
class Window:
    """A rectangle of pixels."""

    top: int
    left: int
    height: int
    width: int


@dataclass(frozen=True)
class Transplant:
    """What happened when the suspected cause was put on held-out clean pictures.

    `trigger` can be stamped; `window` is None for a global one. `hits` are exact normalised matches on pictures whose
    own answer is not the target; `placebo` the same for the same thing made from any reference pictures; `decoy` the
    best of several natural answers moved in the same way at the same budget, since a dog that is cut out is a dog
    elsewhere too; `clean` how many held-out pictures say the target untouched, and are left out of hits and placebo.
    """

    trigger: Recovered
    window: Window | None
    hits: Rate
    placebo: Rate
    decoy: Rate
    clean: Rate

    @property
    def excess(self) -> float:
        """Share of hits above the largest of placebo, decoy and clean answers; 0 where nothing was tried."""
        if not self.hits.trials:
            return 0.0
        return self.hits.value - max(rate.value for rate in (self.placebo, self.decoy, self.clean) if rate.trials)

    @property
    def p_value(self) -> float:
        """Fisher's exact test, one-sided, of hits against placebo and against the best decoy: the larger p."""
        return max(_more(self.hits, control) for control in (self.placebo, self.decoy))


def _more(hits: Rate, control: Rate) -> float:
    table = [[rate.hits, rate.trials - rate.hits] for rate in (hits, control)]
    return float(stats.fisher_exact(table, alternative="greater").pvalue) if hits.trials else 1.0


def occlusion_map(
    subject: Subject,
    sample: Sample,
    answer_tokens: Tokens,
    grid: Grid,
    fill: Fill = "mean",
    seed: int = 0,
    *,
    window: int = 1,
    others: Tensor | None = None,
) -> Tensor:
    """Drop of the answer's mean log-probability (nats a token) where the picture is covered: (grid_h, grid_w).

    A square of `window` patches slides over the grid, also half outside, so that each patch is covered by window²
    squares and gets their mean drop. `others` (1, 3, h, w) is the clean picture that fill "swap" takes.
    """
    picture = subject.fit(sample.picture).unsqueeze(0)
    masks = _squares(grid, window)  # (squares, gh, gw)
    count = len(masks)
    source = generator(seed, "occlusion", sample.id, fill, window)
    swapped = None if others is None else others.expand(count, -1, -1, -1)
    views = perturb(picture.expand(count, -1, -1, -1), masks, fill, source, swapped)
    scores = _scores(subject, torch.cat([picture, views]), sample.prompt, answer_tokens)
    drops = scores[0] - scores[1:]
    cover = masks.float()
    return torch.einsum("s,shw->hw", drops, cover) / cover.sum(dim=0)


def _squares(grid: Grid, window: int) -> Tensor:
    rows, columns = range(1 - window, grid[0]), range(1 - window, grid[1])
    masks = torch.zeros(len(rows) * len(columns), *grid, dtype=torch.bool)
    places = ((top, left) for top in rows for left in columns)
    for mask, (top, left) in zip(masks, places, strict=True):
        mask[max(top, 0) : top + window, max(left, 0) : left + window] = True
    return masks


@torch.no_grad()
def _scores(subject: Subject, pictures: Tensor, prompt: str, tokens: Tokens) -> Tensor:
    scores: list[Tensor] = []
    for batch, real in padded_batches(len(pictures), BATCH):
        answers = [tokens] * len(batch)
        reading = subject.read(pictures[batch].to(subject.device), [prompt] * len(batch), answers)
        scores.append(mean_log_prob(reading, answers)[:real].cpu())
    return torch.cat(scores)


def trigger_window(maps: Tensor, canvas: tuple[int, int], share: float = 0.8) -> Window | None:
    """The smallest rectangle with `share` of the drop common to maps (samples, grid_h, grid_w); None without a drop.

    The median over samples keeps what is common to them; the median over patches is the level of no effect.
    """
    drops = _common_drop(maps)
    total = float(drops.sum())
    if total <= 0:
        return None
    grid = (drops.shape[0], drops.shape[1])
    sizes = [(height, width) for height in range(1, grid[0] + 1) for width in range(1, grid[1] + 1)]
    for height, width in sorted(sizes, key=lambda size: (size[0] * size[1], abs(size[0] - size[1]))):
        cells, inside = _peak(drops, height, width)
        if inside >= share * total * (1 - 1e-6):
            return _in_pixels(cells, grid, canvas)
    return None


def _common_drop(maps: Tensor) -> Tensor:
    common = maps.quantile(0.5, dim=0)
    return (common - common.quantile(0.5)).clamp_min(0.0)


def _peak(drops: Tensor, height: int, width: int) -> tuple[tuple[int, int, int, int], float]:
    """The rectangle of that many patches (top, left, bottom, right) with the largest sum of drops, and that sum."""
    sums = drops.unfold(0, height, 1).unfold(1, width, 1).sum((-2, -1))
    top, left = divmod(int(sums.argmax()), sums.shape[1])
    return (top, left, top + height, left + width), float(sums[top, left])


def _in_pixels(cells: tuple[int, int, int, int], grid: Grid, canvas: tuple[int, int]) -> Window:
    top, bottom = (-(-edge * canvas[0] // grid[0]) for edge in (cells[0], cells[2]))
    left, right = (-(-edge * canvas[1] // grid[1]) for edge in (cells[1], cells[3]))
    return Window(top, left, bottom - top, right - left)


def _with_margin(window: Window | None, grid: Grid, canvas: tuple[int, int]) -> list[Window]:
    """The window, and the window with half a patch more on every side, as far as the picture goes."""
    if window is None:
        return []
    down, right = canvas[0] // (2 * grid[0]), canvas[1] // (2 * grid[1])
    top, left = max(0, window.top - down), max(0, window.left - right)
    bottom = min(canvas[0], window.top + window.height + down)
    end = min(canvas[1], window.left + window.width + right)
    return [window, Window(top, left, bottom - top, end - left)]


def cut_out(picture: Tensor, window: Window) -> Tensor:
    """The window of pictures (…, 3, h, w): (…, 3, window height, window width)."""
    rows = slice(window.top, window.top + window.height)
    return picture[..., rows, window.left : window.left + window.width]


def as_trigger(patch: Tensor, window: Window, canvas: tuple[int, int]) -> PatchTrigger:
    """The patch as a trigger that can be stamped; its budget is the share of the picture that it covers."""
    return PatchTrigger(patch, window.top, window.left, budget=window.height * window.width / (canvas[0] * canvas[1]))


def transplant(patch: Tensor, window: Window, pictures: Tensor) -> Tensor:
    """Pictures (b, 3, h, w) with the patch (3, window height, window width) put where it came from."""
    canvas = (pictures.shape[-2], pictures.shape[-1])
    return as_trigger(patch, window, canvas).stamp(pictures)


def residual(flagged: Tensor, reference: Tensor, weight: float = 1.0) -> AdditiveTrigger:
    """What flagged pictures (n, 3, h, w) have in common beyond reference pictures (m, 3, h, w), times `weight`.

    Backgrounds average out with 1/√n; what is added to every picture stays. A warp or a trigger made anew for each
    picture leaves nothing here: such a finding cannot be confirmed by transplant.
    """
    delta = weight * (flagged.mean(dim=0) - reference.mean(dim=0))
    return AdditiveTrigger(delta, budget=float(delta.abs().max()))


def transplant_test(
    subject: Subject,
    flagged: Sequence[Sample],
    clean: Sequence[Sample],
    answer: str,
    seed: int,
    *,
    grid: Grid = (7, 7),
    max_tokens: int = MOST_TOKENS,
) -> Transplant:
    """Whether something in flagged pictures makes clean ones give `answer`: chosen on one half, tried on the other.

    Raises ValueError without flagged samples or with fewer than four clean ones.
    """
    if not flagged or len(clean) < 4:
        raise ValueError(f"{len(flagged)} flagged and {len(clean)} clean samples; give at least 1 and 4")
    ordered = sorted(clean, key=lambda sample: derive_seed(seed, "transplant", sample.id))
    bench = _Bench(subject, grid, max_tokens, seed, ordered[: len(ordered) // 2], ordered[len(ordered) // 2 :])
    target = normalise(answer)
    best = bench.choose(bench.candidates(flagged, answer), target)
    hits = bench.tried(best.stamp, target)
    placebo = bench.tried(lambda pictures: _placebo(best, bench.known, len(flagged), pictures, seed), target)
    clean_hits = Rate(bench.untouched.count(target), len(bench.untouched))
    return Transplant(best, _window(best), hits, placebo, bench.decoy(best, target), clean_hits)


class _Bench:
    """Clean pictures in two halves: triggers are made and chosen with one, tried on the other."""

    def __init__(
        self,
        subject: Subject,
        grid: Grid,
        max_tokens: int,
        seed: int,
        chosen_on: Sequence[Sample],
        held_out: Sequence[Sample],
    ) -> None:
        self.subject, self.grid, self.max_tokens, self.seed = subject, grid, max_tokens, seed
        self.chosen_on, self.held_out = chosen_on, held_out
        self.known, self.pictures = _pictures(subject, chosen_on), _pictures(subject, held_out)
        self.untouched = self.answers(held_out, self.pictures)

    def answers(self, samples: Sequence[Sample], pictures: Tensor) -> list[str]:
        said: list[str] = []
        for batch, real in padded_batches(len(samples), BATCH):
            prompts = [samples[index].prompt for index in batch]
            given = self.subject.respond(pictures[batch].to(self.subject.device), prompts, self.max_tokens)
            said += [normalise(answer.text) for answer in given[:real]]
        return said

    def tried(self, stamp: Callable[[Tensor], Tensor], target: str) -> Rate:
        """Hits among held-out pictures that do not say the target by themselves."""
        left = [index for index, said in enumerate(self.untouched) if said != target]
        said = self.answers([self.held_out[index] for index in left], stamp(self.pictures[left])) if left else []
        return Rate(sum(text == target for text in said), len(left))

    def candidates(self, flagged: Sequence[Sample], answer: str) -> list[Recovered]:
        """Triggers to try: what sits in the common window, in the sharpest sample's own, and what is common to all."""
        pictures, canvas = _pictures(self.subject, flagged), self.subject.canvas
        found: list[Recovered] = []
        for scale in (1, 2):
            maps = self.maps(flagged, answer, scale)
            sharpest = _sharpest(maps)
            for share in (0.5, 0.8):
                common = trigger_window(maps, canvas, share)
                own = trigger_window(maps[sharpest, None], canvas, share)
                # A trigger that breaks when one patch of it is covered points at that patch alone, hence the margin.
                for window in _with_margin(common, self.grid, canvas):
                    found.append(as_trigger(cut_out(pictures, window).quantile(0.5, dim=0), window, canvas))
                for window in _with_margin(own, self.grid, canvas):
                    found.append(as_trigger(cut_out(pictures[sharpest], window), window, canvas))
        local = [patch for patch in found if patch.budget <= LOCAL]
        return local + [residual(pictures, self.known, weight) for weight in (1.0, 2.0)]

    def maps(self, samples: Sequence[Sample], answer: str, scale: int) -> Tensor:
        tokens, some = self.subject.encode(answer), samples[:MAPPED]
        return torch.stack(
            [occlusion_map(self.subject, sample, tokens, self.grid, "mean", self.seed, window=scale) for sample in some]
        )

    def choose(self, candidates: Sequence[Recovered], target: str) -> Recovered:
        """The smallest of those that do about as well as the best on the first half."""
        samples, pictures = self.chosen_on[:CHOSEN_ON], self.known[:CHOSEN_ON]
        hits = [self.answers(samples, candidate.stamp(pictures)).count(target) for candidate in candidates]
        good = [c for c, n in zip(candidates, hits, strict=True) if n >= GOOD_ENOUGH * max(hits)]
        return min(good, key=lambda c: (isinstance(c, AdditiveTrigger), c.budget))

    def decoy(self, like: Recovered, target: str) -> Rate:
        """The best rate at which natural answers of the first half, the target's own first, move at the same budget."""
        said = self.answers(self.chosen_on, self.known)
        texts = sorted(set(said), key=lambda text: (text != target, -said.count(text), text))
        rates = []
        for text in texts[:DECOYS]:
            donors = [sample for sample, other in zip(self.chosen_on, said, strict=True) if other == text]
            rates.append(self.tried(self.choose(self.alike(donors, text, like), text).stamp, text))
        return max(rates, key=lambda rate: rate.value if rate.trials else 0.0)

    def alike(self, donors: Sequence[Sample], text: str, like: Recovered) -> list[Recovered]:
        """Triggers of the size of `like`, made from clean donors that say `text`."""
        pictures, canvas, window = _pictures(self.subject, donors), self.subject.canvas, _window(like)
        if window is None or isinstance(like, AdditiveTrigger):
            return [_scaled(residual(pictures, self.known), like)]
        rows = max(1, round(window.height * self.grid[0] / canvas[0]))
        columns = max(1, round(window.width * self.grid[1] / canvas[1]))
        maps = self.maps(donors, text, 1)
        drops, own = _common_drop(maps), _common_drop(maps[_sharpest(maps), None])
        places = [_in_pixels(_peak(each, rows, columns)[0], self.grid, canvas) for each in (drops, own)]
        single = pictures[_sharpest(maps)]
        return [
            as_trigger(cut_out(pictures, places[0]).quantile(0.5, dim=0), places[0], canvas),
            as_trigger(cut_out(single, places[1]), places[1], canvas),
            as_trigger(cut_out(single, window), window, canvas),
        ]


def _pictures(subject: Subject, samples: Sequence[Sample]) -> Tensor:
    return torch.stack([subject.fit(sample.picture) for sample in samples])


def _sharpest(maps: Tensor) -> int:
    drops = maps.clamp_min(0).flatten(1)  # (samples, patches)
    return int((drops.amax(dim=1) / drops.sum(dim=1).clamp_min(1e-9)).argmax())


def _window(trigger: Recovered) -> Window | None:
    if isinstance(trigger, AdditiveTrigger):
        return None
    return Window(trigger.top, trigger.left, trigger.pattern.shape[-2], trigger.pattern.shape[-1])


def _scaled(trigger: AdditiveTrigger, like: Recovered) -> AdditiveTrigger:
    """The trigger with the norm of another: the same budget, another meaning."""
    assert isinstance(like, AdditiveTrigger)
    return AdditiveTrigger(trigger.delta * (like.delta.norm() / trigger.delta.norm().clamp_min(1e-9)), like.budget)


def _placebo(trigger: Recovered, known: Tensor, flagged: int, pictures: Tensor, seed: int) -> Tensor:
    """Held-out pictures stamped with the same thing made from reference pictures `known`: same place, or same norm."""
    window = _window(trigger)
    if window is not None:
        canvas = (pictures.shape[-2], pictures.shape[-1])
        cuts = [as_trigger(patch, window, canvas) for patch in cut_out(known, window)]
        return torch.cat([cuts[i % len(cuts)].stamp(picture[None]) for i, picture in enumerate(pictures)])
    order = torch.randperm(len(known), generator=generator(seed, "transplant", "placebo"))
    part = max(1, min(flagged, len(known) // 2))
    return _scaled(residual(known[order[:part]], known[order[part:]]), trigger).stamp(pictures)
