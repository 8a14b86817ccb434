"""Detectors of the literature, as the bench needs them beside our own probes: one file each."""

from probes.baselines.attention_entropy import AttentionEntropy
from probes.baselines.detection import Detection, Detector
from probes.baselines.forced_prefix import ForcedPrefix
from probes.baselines.invariance_one_fill import InvarianceOneFill
from probes.baselines.patch_inversion import PatchInversion
from probes.baselines.weight_spectrum import WeightSpectrum

__all__ = ["DETECTORS", "Detection", "Detector"]

DETECTORS: dict[
    str,
    type[InvarianceOneFill] | type[ForcedPrefix] | type[PatchInversion] | type[AttentionEntropy] | type[WeightSpectrum],
] = {
    "invariance-one-fill": InvarianceOneFill,
    "forced-prefix": ForcedPrefix,
    "patch-inversion": PatchInversion,
    "attention-entropy": AttentionEntropy,
    "weight-spectrum": WeightSpectrum,
}
