"""A second pass: the finished latents or picture enlarged, made noisy again and denoised at the new size."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import MISSING, dataclass, fields
from typing import Any, Literal, get_args

from pipelines import checks
from pipelines.checks import MAX_STEPS
from xattn.errors import BadValue, UnknownName

Method = Literal["latent-bicubic", "latent-nearest", "pixel-lanczos"]
MAX_SCALE = 8.0


@dataclass(frozen=True, slots=True)
class Upscale:
    """One more pass through the loop at a larger size, which web UIs call "hires fix".

    scale: more than 1, up to 8; each side becomes the nearest multiple of 8
    denoise: 0 … 1, as `strength` is for an init picture: that share of the steps runs again, from as much noise
    method: "latent-bicubic" and "latent-nearest" enlarge the latents; "pixel-lanczos" decodes them, enlarges the
        picture and encodes it again
    steps: of which `denoise` takes its share; None is the recipe's num_inference_steps

    Raises BadValue or UnknownName where it is made.
    """

    scale: float
    denoise: float
    method: Method = "latent-bicubic"
    steps: int | None = None

    def __post_init__(self) -> None:
        scale = checks.number("passes.scale", self.scale, 1.0, MAX_SCALE, "Try 2")
        if scale == 1.0:
            raise BadValue("passes.scale", scale, f"a number over 1, up to {MAX_SCALE:g}", "Try 2")
        object.__setattr__(self, "scale", scale)
        object.__setattr__(self, "denoise", checks.number("passes.denoise", self.denoise, 0.0, 1.0, "Try 0.6"))
        if self.method not in get_args(Method):
            raise UnknownName("method of upscaling", self.method, get_args(Method))
        if self.steps is not None:
            object.__setattr__(self, "steps", checks.whole("passes.steps", self.steps, 1, MAX_STEPS, "Try 20"))

    def document(self) -> dict[str, object]:
        """JSON's types; what is at its default is left out."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        return {
            field.name: values[field.name]
            for field in fields(self)
            if field.default is MISSING or values[field.name] != field.default
        }

    @classmethod
    def from_document(cls, document: object) -> Upscale:
        """Back from `document`. Raises BadValue, UnknownName."""
        if not isinstance(document, Mapping):
            raise BadValue("passes", document, 'objects such as {"scale": 2, "denoise": 0.6}')
        known = tuple(field.name for field in fields(cls))
        for name in document:
            if name not in known:
                raise UnknownName("field of a pass", str(name), known)
        for name in ("scale", "denoise"):
            if name not in document:
                raise BadValue(f"passes.{name}", None, "given", 'As in {"scale": 2, "denoise": 0.6}')
        given: dict[str, Any] = dict(document)
        return cls(**given)

    def enlarged(self, side: int) -> int:
        """A side in pixels after this pass: the multiple of 8 that is nearest to side · scale."""
        return int(side * self.scale / 8 + 0.5) * 8
