"""What one request may ask of a machine that others share: checked for forms, endpoints and server functions alike.

Gradio enforces none of these on its API: a text box's `max_length` binds the page, not the caller.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from xattn.errors import BadValue

if TYPE_CHECKING:
    from pipelines.assets import Asset
    from pipelines.recipe import Recipe
    from pipelines.techniques import Edit


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of a request and of what a session keeps.

    prompt: characters of a prompt, of a negative one, and of all that the regions of a recipe have
    count: pictures of one request
    pixels: width × height × count × steps, over the passes too: what a run costs
    picture_pixels: of a picture that is given (to begin with, or dropped), before it is decoded
    field_side: the longer side of a painted field
    edits: in a recipe
    json_bytes: of a recipe or a list of edits as text
    body_bytes: of any request; more is answered with 413
    file_bytes: of files that endpoints answered, all sessions together; session_file_bytes: of one session
    file_seconds: how long such a file stays
    store_bytes: of pictures to begin with that pages put into the store of the machine (kept.py)
    waiting: runs that may wait, all sessions together; own_waiting: of one session
    session_bytes: of pictures and maps that a session keeps; all_bytes: of all together; sessions: how many are kept
    """

    prompt: int = 4_000
    count: int = 8
    pixels: int = 1024 * 1024 * 4 * 50
    picture_pixels: int = 4096 * 4096
    field_side: int = 256
    edits: int = 32
    json_bytes: int = 2 * 2**20
    body_bytes: int = 24 * 2**20
    waiting: int = 12
    own_waiting: int = 4
    file_bytes: int = 256 * 2**20
    session_file_bytes: int = 64 * 2**20
    file_seconds: float = 3600.0
    store_bytes: int = 512 * 2**20
    session_bytes: int = 100 * 2**20
    all_bytes: int = 1024 * 2**20
    sessions: int = 64

    def check_text(self, name: str, text: object) -> str:
        """Raises BadValue where it is no text, or too long."""
        if not isinstance(text, str):
            raise BadValue(name, text, "text")
        if len(text) > self.prompt:
            raise BadValue(name, f"{len(text)} characters long", f"at most {self.prompt} characters", "Shorten it")
        return text

    def check_json(self, name: str, text: object) -> str:
        """Raises BadValue where it is no text, or larger than any recipe that this page makes."""
        if not isinstance(text, str):
            raise BadValue(name, text, "JSON as text")
        if len(text.encode("utf-8", "replace")) > self.json_bytes:
            raise BadValue(name, f"{len(text)} characters long", f"at most {self.json_bytes} bytes")
        return text

    def check_count(self, count: object) -> int:
        """Raises BadValue."""
        if isinstance(count, bool) or not isinstance(count, int) or not 1 <= count <= self.count:
            raise BadValue("count", count, f"a whole number from 1 to {self.count}")
        return count

    def check_recipe(self, recipe: Recipe, count: int = 1) -> None:
        """Raises BadValue where the recipe, resolved, asks for more than a request may."""
        for one in (recipe, recipe.source):
            if one is None:
                continue
            self.check_text("prompt", one.prompt)
            self.check_text("negative_prompt", one.negative_prompt)
            self.check_edits(one.edits)
            self._check_texts(one.edits)
            for asset in one.assets:
                self.check_picture(asset)
        cost = self.check_count(count) * (_cost(recipe) + (0 if recipe.source is None else _cost(recipe.source)))
        if cost > self.pixels:
            raise BadValue(
                "size × count × steps",
                f"{cost / 1e6:.0f} million pixel-steps",
                f"at most {self.pixels / 1e6:.0f} million here",
                "Ask for a smaller size, fewer pictures or fewer steps",
            )

    def _check_texts(self, edits: Sequence[Edit]) -> None:
        """The prompts that edits bring, those of regions, together. Raises BadValue."""
        long = sum(len(text or "") for edit in edits for group in edit.texts for text in group)
        if long > self.prompt:
            got = f"{long} characters long together"
            raise BadValue("prompts of regions", got, f"at most {self.prompt} characters", "Shorten them")

    def check_picture(self, asset: Asset) -> None:
        """By its header alone, before it is decoded. Raises BadValue."""
        if asset.width * asset.height > self.picture_pixels:
            side = int(self.picture_pixels**0.5)
            raise BadValue("picture", f"{asset.width}×{asset.height}", f"at most {side} by {side} pixels or as many")

    def check_field(self, asset: Asset) -> None:
        """A painted field. Raises BadValue."""
        if max(asset.width, asset.height) > self.field_side or asset.media != "image/png":
            raise BadValue(
                "field",
                f"{asset.width}×{asset.height} {asset.media}",
                f"a grey PNG of at most {self.field_side} a side",
            )

    def check_edits(self, edits: Sequence[object]) -> None:
        """Raises BadValue where the list is too long."""
        if len(edits) > self.edits:
            raise BadValue("edits", f"a list of {len(edits)}", f"at most {self.edits} long", "Remove some")


def _cost(recipe: Recipe) -> int:
    """Width × height × steps, of all passes. Open fields count as nothing: resolve first."""
    pixels = (recipe.width or 0) * (recipe.height or 0)
    steps = recipe.num_inference_steps or 0
    total, scale = pixels * steps, 1.0
    for one in recipe.passes:
        scale *= one.scale
        total += int(pixels * scale * scale * (one.steps or steps))
    return total
