"""A Recipe says how one image is made; nothing else does.

The web UI builds recipes, the Python call takes one, each line of a batch file is one, and every picture carries one.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, dataclass, fields, replace
from numbers import Integral
from typing import Literal, get_args

from pipelines import checks, recipe_json
from pipelines.assets import Asset
from pipelines.checks import MAX_STEPS
from pipelines.guidance.rules import ClassifierFree, Rule, read_rule, rule_document
from pipelines.prompt import Effect, Syntax, parse
from pipelines.sampler_names import SCHEDULERS, Sigmas, canonical, check_pair, check_sigmas, comes_from_a_gpu
from pipelines.techniques import TECHNIQUES, Edit
from pipelines.techniques.codec import edit_document, read_edits
from pipelines.upscale import Upscale
from xattn.errors import BadValue, UnknownName, Unsupported

Noise = Literal["cpu", "nv"]
_PLAIN = ClassifierFree()

EMBEDDED = "emoji-128"
"""The model that comes along, and is meant where none is named."""
MAX_SIDE = 2048
# int64's limit, so that every table format holds a seed; torch would take one bit more
MAX_SEED = 2**63 - 1
MAX_GUIDANCE = 1000.0
MAX_CLIP_SKIP = 31
MAX_EDITS = 64
STRENGTH = 0.8
# Raised when the same recipe gives another picture (CHANGELOG: "Pictures changed").
ENGINE = 1


@dataclass(frozen=True, slots=True)
class ModelRef:
    """Which model: its name, or a folder's path, and the hash of its weights once they are known (model_hash)."""

    name: str
    sha256: str | None = None

    def __post_init__(self) -> None:
        checks.text("model.name", self.name, blank=False, remedy='Give a name such as "emoji-128" or a folder')
        if self.sha256 is not None:
            checks.sha256("model.sha256", self.sha256)

    def portable(self) -> ModelRef:
        """The same without the path: a model that was given by its folder goes by the folder's own name."""
        parts = [part for part in re.split(r"[/\\]", self.name) if part not in ("", ".", "..", "~")]
        last = parts[-1] if parts else "model"
        return self if last == self.name else replace(self, name=last)


@dataclass(frozen=True, slots=True)
class Recipe:
    """How one image is made. Fields that are None are filled in by the pipeline: then the recipe is *resolved*.

    prompt: what to draw; kept letter for letter
    clip_skip: layers left out at the end of the text tower beyond the model's own habit, as diffusers counts; web UIs
        count one more
    emphasis: what weights in the prompts do: "a1111", "comfy" or "none" (prompt/emphasis.py)
    syntax: how the prompts are written: "a1111", or "plain" where brackets are just brackets (docs/prompts.md)
    seed: 0 … 2⁶³−1; the first latents are torch's CPU noise for it, as diffusers draws them
    num_inference_steps: 1 … 1000
    guidance_scale: 0 … 1000; 1 draws without guidance
    guidance: the rule that uses it, ClassifierFree or Projected; None is the model's own, which is ClassifierFree()
        unless the model names an interval of the steps (its defaults.json)
    scheduler: any of its known names; stored as ours ("DPM++ 2M Karras" becomes dpmpp_2m and sigmas="karras")
    sigmas: "model" as the model's own config says, or "karras"
    noise: where the first latents and the noise of euler_a's and lcm's steps come from: "cpu", torch's own generator;
        "nv", what an NVIDIA GPU gives for the seed
    variation_seed, variation_strength: how far, 0 … 1, the first latents go towards another seed's
    width, height: pixels, multiples of 8 up to 2048
    init: a picture to begin with, stretched to width and height
    strength: 0 … 1, how much of it is drawn anew: that share of the steps runs, rounded down
    mask: white where the init picture is redrawn; of the init picture's size (canvas.py says what is kept)
    passes: further passes, each at a larger size than the one before
    model: None is the model that the pipeline has loaded
    adapters: what changes the weights; no kind exists yet
    edits: what is done to the attention, in this order (techniques/)
    source: the picture that an edited one starts from, which has none itself; what it leaves open is as here
    engine: the generation of this code whose picture is meant

    Raises BadValue, UnknownName or Unsupported where it is made.
    """

    prompt: str
    negative_prompt: str = ""
    clip_skip: int = 0
    emphasis: Effect = "a1111"
    syntax: Syntax = "a1111"
    seed: int | None = None
    num_inference_steps: int | None = None
    guidance_scale: float | None = None
    guidance: Rule | None = None
    scheduler: str | None = None
    sigmas: Sigmas = "model"
    noise: Noise = "cpu"
    variation_seed: int | None = None
    variation_strength: float = 0.0
    width: int | None = None
    height: int | None = None
    init: Asset | None = None
    strength: float = STRENGTH
    mask: Asset | None = None
    passes: tuple[Upscale, ...] = ()
    model: ModelRef | None = None
    adapters: tuple[()] = ()
    edits: tuple[Edit, ...] = ()
    source: Recipe | None = None
    engine: int = ENGINE

    def __post_init__(self) -> None:
        self._check_prompts()
        if self.seed is not None:
            self._set("seed", checks.whole("seed", self.seed, 0, MAX_SEED, "Leave it out for a random one"))
        if self.num_inference_steps is not None:
            steps = checks.whole("num_inference_steps", self.num_inference_steps, 1, MAX_STEPS, "Try 20")
            self._set("num_inference_steps", steps)
        if self.guidance_scale is not None:
            scale = checks.number("guidance_scale", self.guidance_scale, 0.0, MAX_GUIDANCE, "Try 7.5, or 1 for none")
            self._set("guidance_scale", scale)
        if self.guidance is not None and not isinstance(self.guidance, Rule):
            raise BadValue("guidance", self.guidance, "ClassifierFree(…) or Projected(…)")
        self._set("sigmas", check_sigmas(self.sigmas))
        if self.scheduler is not None:
            name, implied = canonical(self.scheduler)
            self._set("scheduler", name)
            self._set("sigmas", implied or self.sigmas)
            check_pair(name, self.sigmas)
        self._check_noise()
        for side in ("width", "height"):
            if getattr(self, side) is not None:
                self._set(side, _side(side, getattr(self, side)))
        self._check_pictures()
        self._check_parts()
        newer = "A higher one is a newer xattn's: install that version"
        self._set("engine", checks.whole("engine", self.engine, 1, ENGINE, newer))

    def _check_prompts(self) -> None:
        checks.text("prompt", self.prompt, blank=False, remedy='Say what to draw, such as "a fox on purple"')
        checks.text("negative_prompt", self.negative_prompt, remedy='Leave it out, or give ""')
        self._set("clip_skip", checks.whole("clip_skip", self.clip_skip, 0, MAX_CLIP_SKIP, "Web UIs count one more"))
        for name, known in (("emphasis", get_args(Effect)), ("syntax", get_args(Syntax))):
            if getattr(self, name) not in known:
                raise UnknownName(name, getattr(self, name), known)
        if self.syntax == "a1111":
            parse(self.prompt)
            parse(self.negative_prompt, "negative_prompt")

    def _check_noise(self) -> None:
        if self.noise not in get_args(Noise):
            given: object = self.noise
            meant = "nv" if isinstance(given, str) and given.casefold() in ("gpu", "cuda", "nvidia") else ""
            raise UnknownName("noise", given, get_args(Noise), meant=meant)
        if self.noise == "nv" and self.scheduler is not None and not comes_from_a_gpu(self.scheduler):
            able = ", ".join(filter(comes_from_a_gpu, SCHEDULERS))
            raise Unsupported(
                f"The scheduler {self.scheduler} draws the noise of its steps from a Brownian tree in other tools, "
                f'which is not made here, so no such picture comes back; use one of {able}, or noise="cpu".'
            )
        if self.variation_seed is not None:
            self._set("variation_seed", checks.whole("variation_seed", self.variation_seed, 0, MAX_SEED))
        strength = checks.number("variation_strength", self.variation_strength, 0.0, 1.0)
        self._set("variation_strength", strength)
        if strength and self.variation_seed is None:
            raise BadValue("variation_seed", None, "given where variation_strength is not 0", "Add a variation_seed")

    def _check_pictures(self) -> None:
        for name in ("init", "mask"):
            value = getattr(self, name)
            if value is not None and not isinstance(value, Asset):
                raise BadValue(name, value, "an Asset", "Use Asset.from_file(path) or Asset.from_image(picture)")
        self._set("strength", checks.number("strength", self.strength, 0.0, 1.0, f"Try {STRENGTH:g}"))
        if self.init is None:
            if self.mask is not None:
                raise BadValue("init", None, "given where there is a mask", "Give the picture that is to be changed")
            if self.strength != STRENGTH:
                raise BadValue("init", None, "given where strength is set", "Give a picture to begin with")
        elif self.mask is not None and (self.mask.width, self.mask.height) != (self.init.width, self.init.height):
            raise BadValue(
                "mask",
                f"{self.mask.width}x{self.mask.height}",
                f"of the init picture's size, {self.init.width}x{self.init.height}",
            )
        passes: object = self.passes
        if not (isinstance(passes, tuple) and all(isinstance(one, Upscale) for one in passes)):
            raise BadValue("passes", passes, "a tuple of Upscale, such as (Upscale(2, 0.6),)")

    def _check_parts(self) -> None:
        if self.model is not None and not isinstance(self.model, ModelRef):
            raise BadValue("model", self.model, 'a ModelRef, such as ModelRef("emoji-128")')
        if self.adapters != ():
            raise BadValue("adapters", self.adapters, "an empty tuple, for this version knows no adapters")
        self._check_edits()
        if self.source is None:
            return
        if not isinstance(self.source, Recipe):
            raise BadValue("source", self.source, "a Recipe")
        if self.source.source is not None:
            remedy = "Give its source in its place: source=recipe.source"
            raise BadValue(
                "source", "a recipe with a source of its own", "one without, for edits go one step deep", remedy
            )

    def _check_edits(self) -> None:
        edits: object = self.edits
        if not (isinstance(edits, tuple) and all(isinstance(edit, Edit) for edit in edits)):
            raise BadValue("edits", edits, 'a tuple of edits, such as (Reweight("fox", 2.0),)')
        _check_count(self.edits)
        named = [edit.id for edit in self.edits if edit.id]
        for name in named:
            if named.count(name) > 1:
                raise BadValue("edits", f'"{name}" twice', "edits whose ids differ")
        for edit in self.edits:
            if edit.takes_source and self.source is None:
                raise BadValue("source", None, f"given, for {edit} takes from it", "Add source=Recipe(…)")

    def _set(self, name: str, value: object) -> None:
        # frozen: only here, while it is being made, so that equal recipes are equal however they were written
        object.__setattr__(self, name, value)

    # -- JSON ----------------------------------------------------------------------------------------------------

    def document(self, *, identity: bool = False) -> dict[str, object]:
        """JSON's types; what is at its default is left out. A default, once shipped, never changes.

        identity: only what tells recipes apart: of an asset the sha256
        """
        made: dict[str, object] = {"version": recipe_json.VERSION, "engine": self.engine}
        for field in fields(self):
            value = getattr(self, field.name)
            if field.default is not MISSING and value == field.default:
                continue
            if isinstance(value, ModelRef):
                value = {"name": value.name} | ({} if value.sha256 is None else {"sha256": value.sha256})
            elif isinstance(value, Rule):
                value = rule_document(value)
            elif isinstance(value, Asset):
                value = {"sha256": value.sha256} if identity else value.document()
            elif field.name == "passes":
                value = [one.document() for one in value]
            elif field.name == "edits":
                value = [edit_document(edit, identity=identity) for edit in value]
            elif isinstance(value, Recipe):
                value = value.document(identity=identity)
            made[field.name] = value
        return made

    def to_json(self) -> str:
        """Canonical JSON (recipe_json.py), one line."""
        return recipe_json.canonical(self.document())

    @classmethod
    def from_json(
        cls, given: str | bytes | Mapping[str, object], *, techniques: Sequence[type[Edit]] = TECHNIQUES
    ) -> Recipe:
        """From JSON of this version or an older one, as text or already read. Raises BadValue, UnknownName.

        techniques: the kinds of edits that it may hold (`pipe.techniques`, where there are some of your own)
        """
        read = given if isinstance(given, Mapping) else recipe_json.parse(given)
        document = recipe_json.upgrade(read)
        known = tuple(field.name for field in fields(cls))
        for name in document:
            if name not in known:
                raise UnknownName("recipe field", name, known)
        if "prompt" not in document:
            raise BadValue("prompt", None, "given", 'Add "prompt": "a fox on purple"')
        if "adapters" in document:
            document["adapters"] = _empty("adapters", document["adapters"])
        if "edits" in document:
            _check_count(document["edits"])  # before all of them are made
            document["edits"] = read_edits(document["edits"], techniques)
        if document.get("guidance") is not None:
            document["guidance"] = read_rule(document["guidance"])
        if document.get("model") is not None:
            document["model"] = _model(document["model"])
        for name in ("init", "mask"):
            if document.get(name) is not None:
                document[name] = Asset.from_document(document[name])
        if "passes" in document:
            document["passes"] = _passes(document["passes"])
        if document.get("source") is not None:
            document["source"] = _source(document["source"], techniques)
        return cls(**document)

    # -- identity ------------------------------------------------------------------------------------------------

    def open_fields(self) -> tuple[str, ...]:
        """What a pipeline has still to fill in; nothing once the recipe is resolved."""
        names = ("seed", "num_inference_steps", "guidance_scale", "scheduler", "width", "height", "model")
        missing = [name for name in names if getattr(self, name) is None]
        if self.model is not None and self.model.sha256 is None:
            missing.append("model.sha256")
        if self.source is not None:
            missing += [f"source.{name}" for name in self.source.open_fields()]
        return tuple(missing)

    def portable(self) -> Recipe:
        """The same with no path in it, as pictures and files carry it."""
        return replace(
            self,
            model=None if self.model is None else self.model.portable(),
            source=None if self.source is None else self.source.portable(),
        )

    @property
    def rule(self) -> Rule:
        """The rule of guidance of a resolved recipe: None there means the plain one."""
        return self.guidance or _PLAIN

    @property
    def assets(self) -> tuple[Asset, ...]:
        """Every picture that it refers to, its source's too."""
        own = tuple(asset for asset in (self.init, self.mask) if asset is not None)
        own += tuple(asset for edit in self.edits for asset in edit.assets)
        return own if self.source is None else own + self.source.assets

    @property
    def hash(self) -> str:
        """sha256 of the portable recipe's canonical JSON, each asset being its sha256.

        Raises BadValue unless the recipe is resolved.
        """
        missing = self.open_fields()
        if missing:
            raise BadValue(
                "recipe",
                f"open in {', '.join(missing)}",
                "resolved to have a hash",
                "Use result.recipe, or pipe.resolve(recipe)",
            )
        text = recipe_json.canonical(self.portable().document(identity=True))
        return hashlib.sha256(text.encode()).hexdigest()


def _side(name: str, value: object) -> int:
    expected = f"a multiple of 8 from 8 to {MAX_SIDE}"
    if isinstance(value, bool) or not isinstance(value, Integral):
        raise BadValue(name, value, expected)
    side = int(value)
    if side % 8 or not 8 <= side <= MAX_SIDE:
        nearest = min(max(8, (side + 4) // 8 * 8), MAX_SIDE)
        raise BadValue(name, checks.shown(side), expected, f"The nearest is {nearest}")
    return side


def _empty(name: str, value: object) -> tuple[()]:
    if value != []:
        raise BadValue(name, value, f"an empty list, for this version knows no {name}")
    return ()


def _check_count(edits: object) -> None:
    if isinstance(edits, Sequence) and len(edits) > MAX_EDITS:
        raise BadValue("edits", f"{len(edits)} of them", f"at most {MAX_EDITS}")


def _passes(value: object) -> tuple[Upscale, ...]:
    if not isinstance(value, list):
        raise BadValue("passes", value, 'a list of objects such as {"scale": 2, "denoise": 0.6}')
    return tuple(Upscale.from_document(one) for one in value)


def _model(value: object) -> ModelRef:
    if isinstance(value, str):
        return ModelRef(value)
    if not isinstance(value, Mapping) or "name" not in value:
        raise BadValue("model", value, 'a name, or an object such as {"name": "emoji-128"}')
    for name in value:
        if name not in ("name", "sha256"):
            raise UnknownName("model field", name, ("name", "sha256"))
    return ModelRef(value["name"], value.get("sha256"))


def _source(value: object, techniques: Sequence[type[Edit]]) -> Recipe:
    if not isinstance(value, Mapping):
        raise BadValue("source", value, "a recipe's JSON object")
    return Recipe.from_json(value, techniques=techniques)
