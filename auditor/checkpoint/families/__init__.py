"""How each family of models is given pictures: one file a family, one door to all of them."""

from collections.abc import Callable, Mapping
from typing import Any, Protocol

from PIL import Image
from torch import Tensor

from auditor.checkpoint.families.gemma3 import Gemma3
from auditor.checkpoint.families.gemma4 import Gemma4
from auditor.checkpoint.families.glm4v import Glm4V
from auditor.checkpoint.families.idefics3 import Idefics3
from auditor.checkpoint.families.internvl import InternVL
from auditor.checkpoint.families.pixtral import Pixtral
from auditor.checkpoint.families.qwen2_vl import Qwen2VL
from auditor.checkpoint.families.single import Single
from auditor.checkpoint.families.tiled import Tiled
from auditor.checkpoint.preprocessing import Normalisation
from auditor.checkpoint.prompting import PictureText


class Door(Protocol):
    """From pictures to the inputs of one model, differentiably, as the checkpoint's own processor would make them.

    Pictures are in [0, 1]; a batch is (batch, 3, *canvas).
    """

    @property
    def canvas(self) -> tuple[int, int]:
        """Height and width in pixels of the pictures that go through it."""
        ...

    @property
    def normalisation(self) -> Normalisation:
        """Applied to every picture, in every forward."""
        ...

    @property
    def notes(self) -> tuple[str, ...]:
        """What a reader of a report must know about how pictures are given."""
        ...

    def fit(self, picture: Tensor) -> Tensor:
        """(3, any, any) → (3, *canvas), with the processor's own filter; a picture of the canvas's size stays as it is,
        because it counts as fitted."""
        ...

    def pack(self, pixels: Tensor) -> Tensor:
        """Pixels (batch, 3, *canvas) in the shape of the model's `pixel_values`."""
        ...

    def inputs(self, pictures: Tensor) -> dict[str, Tensor]:
        """What the model is given for a batch of pictures."""
        ...

    def token_inputs(self, tokens: Tensor) -> dict[str, Tensor]:
        """What the model is given besides about a batch of token ids (batch, length)."""
        ...

    def picture_text(self, tokenizer: Any) -> PictureText:
        """How the processor writes a picture into a prompt."""
        ...

    def ask_processor(self, processor: Any, picture: Image.Image) -> dict[str, Tensor]:
        """The same inputs for one picture from the checkpoint's own processor: what `inputs` is held to."""
        ...


FAMILIES: Mapping[str, Callable[[Any, Any], Door]] = {
    "qwen2_vl": Qwen2VL.of,
    "qwen2_5_vl": Qwen2VL.of,
    "qwen3_vl": Qwen2VL.of,
    "qwen3_vl_moe": Qwen2VL.of,
    "qwen3_5": Qwen2VL.of,
    "qwen3_5_moe": Qwen2VL.of,
    "glm4v": Glm4V.of,
    "glm4v_moe": Glm4V.of,
    "glm46v": Glm4V.of,
    "idefics3": Idefics3.of,
    "smolvlm": Idefics3.of,
    "gemma3": Gemma3.of,
    "gemma4": Gemma4.of,
    "internvl": InternVL.of,
    "mistral3": Pixtral.of,
    "llava_next": Tiled.of,
    "llava_onevision": Tiled.of,
}
"""From `model_type` to what builds the door from an image processor and a configuration; all others: `Single`."""


def build_door(processor: Any, config: Any) -> Door:
    """The door of a model's family; raises CheckpointError when the processor's settings are not followed."""
    tower = str(getattr(getattr(config, "vision_config", None), "model_type", None))
    plain = Pixtral.of if tower == "pixtral" else Single.of
    return FAMILIES.get(str(config.model_type), plain)(processor, config)
