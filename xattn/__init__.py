"""Text-to-image with cross-attention that you can see and edit.

    from xattn import Pipeline
    Pipeline.from_pretrained()("a fox on purple", seed=7).image.save("fox.png")

This module is the project's front: every public name, whichever layer it lives in, resolved when it is first asked for
(PEP 562), so that `import xattn` loads neither torch nor anything else. Inside the project modules import each other
by their own paths, and only downwards: ui → pipelines → unet → xattn.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pipelines import batch as batch
    from pipelines.asked import Probe as Probe
    from pipelines.assets import Asset as Asset
    from pipelines.attention_maps import AttentionMaps as AttentionMaps
    from pipelines.capture import Capture as Capture
    from pipelines.figures import contact_sheet as contact_sheet
    from pipelines.figures import overlay as overlay
    from pipelines.figures import where_sheet as where_sheet
    from pipelines.figures import write_figure as write_figure
    from pipelines.guidance.rules import ClassifierFree as ClassifierFree
    from pipelines.guidance.rules import Projected as Projected
    from pipelines.ledger import Phrase as Phrase
    from pipelines.pipeline import Pipeline as Pipeline
    from pipelines.provenance import Provenance as Provenance
    from pipelines.recipe import ModelRef as ModelRef
    from pipelines.recipe import Recipe as Recipe
    from pipelines.results import Finished as Finished
    from pipelines.results import Result as Result
    from pipelines.results import StepEvent as StepEvent
    from pipelines.stats import RunStats as RunStats
    from pipelines.techniques.alignment import Alignment as Alignment
    from pipelines.techniques.attend_and_excite import AttendAndExcite as AttendAndExcite
    from pipelines.techniques.edit import Edit as Edit
    from pipelines.techniques.edit import check_word as check_word
    from pipelines.techniques.here import Here as Here
    from pipelines.techniques.inject import Inject as Inject
    from pipelines.techniques.local_blend import LocalBlend as LocalBlend
    from pipelines.techniques.neg_pip import NegPip as NegPip
    from pipelines.techniques.paint_map import PaintMap as PaintMap
    from pipelines.techniques.paint_with_words import PaintWithWords as PaintWithWords
    from pipelines.techniques.refine import Refine as Refine
    from pipelines.techniques.regions import Region as Region
    from pipelines.techniques.regions import Regions as Regions
    from pipelines.techniques.replace import Replace as Replace
    from pipelines.techniques.reweight import Reweight as Reweight
    from pipelines.techniques.values import Box as Box
    from pipelines.techniques.values import Strength as Strength
    from pipelines.techniques.values import WordMap as WordMap
    from pipelines.techniques.values import check_strength as check_strength
    from pipelines.techniques.window import Window as Window
    from pipelines.upscale import Upscale as Upscale
    from pipelines.where import Where as Where
    from xattn.backends import Backend as Backend
    from xattn.errors import BadModel as BadModel
    from xattn.errors import BadValue as BadValue
    from xattn.errors import Cancelled as Cancelled
    from xattn.errors import CannotWrite as CannotWrite
    from xattn.errors import Conflict as Conflict
    from xattn.errors import NonFinite as NonFinite
    from xattn.errors import UnknownName as UnknownName
    from xattn.errors import UnknownWord as UnknownWord
    from xattn.errors import Unsupported as Unsupported
    from xattn.errors import XattnError as XattnError
    from xattn.functional import attend as attend
    from xattn.module import Attention as Attention
    from xattn.module import KeyValue as KeyValue
    from xattn.program import Program as Program
    from xattn.program import StepProgram as StepProgram
    from xattn.sites import AttentionSite as AttentionSite
    from xattn.sites import Row as Row

# name → the module it lives in. A public name never equals a submodule of xattn, which would hide it.
_HOME = {
    "Alignment": "pipelines.techniques.alignment",
    "Asset": "pipelines.assets",
    "AttendAndExcite": "pipelines.techniques.attend_and_excite",
    "Attention": "xattn.module",
    "AttentionMaps": "pipelines.attention_maps",
    "AttentionSite": "xattn.sites",
    "Backend": "xattn.backends",
    "BadModel": "xattn.errors",
    "BadValue": "xattn.errors",
    "Box": "pipelines.techniques.values",
    "Cancelled": "xattn.errors",
    "CannotWrite": "xattn.errors",
    "Capture": "pipelines.capture",
    "ClassifierFree": "pipelines.guidance.rules",
    "Conflict": "xattn.errors",
    "Edit": "pipelines.techniques.edit",
    "Finished": "pipelines.results",
    "Here": "pipelines.techniques.here",
    "Inject": "pipelines.techniques.inject",
    "KeyValue": "xattn.module",
    "LocalBlend": "pipelines.techniques.local_blend",
    "ModelRef": "pipelines.recipe",
    "NegPip": "pipelines.techniques.neg_pip",
    "NonFinite": "xattn.errors",
    "PaintMap": "pipelines.techniques.paint_map",
    "PaintWithWords": "pipelines.techniques.paint_with_words",
    "Phrase": "pipelines.ledger",
    "Pipeline": "pipelines.pipeline",
    "Probe": "pipelines.asked",
    "Program": "xattn.program",
    "Projected": "pipelines.guidance.rules",
    "Provenance": "pipelines.provenance",
    "Recipe": "pipelines.recipe",
    "Refine": "pipelines.techniques.refine",
    "Region": "pipelines.techniques.regions",
    "Regions": "pipelines.techniques.regions",
    "Replace": "pipelines.techniques.replace",
    "Result": "pipelines.results",
    "Reweight": "pipelines.techniques.reweight",
    "Row": "xattn.sites",
    "RunStats": "pipelines.stats",
    "StepEvent": "pipelines.results",
    "StepProgram": "xattn.program",
    "Strength": "pipelines.techniques.values",
    "UnknownName": "xattn.errors",
    "UnknownWord": "xattn.errors",
    "Unsupported": "xattn.errors",
    "Upscale": "pipelines.upscale",
    "Where": "pipelines.where",
    "Window": "pipelines.techniques.window",
    "WordMap": "pipelines.techniques.values",
    "XattnError": "xattn.errors",
    "attend": "xattn.functional",
    "batch": "pipelines",
    "check_strength": "pipelines.techniques.values",
    "check_word": "pipelines.techniques.edit",
    "contact_sheet": "pipelines.figures",
    "overlay": "pipelines.figures",
    "where_sheet": "pipelines.figures",
    "write_figure": "pipelines.figures",
}

__version__ = "0.1.0"
__all__ = [
    "Alignment",
    "Asset",
    "AttendAndExcite",
    "Attention",
    "AttentionMaps",
    "AttentionSite",
    "Backend",
    "BadModel",
    "BadValue",
    "Box",
    "Cancelled",
    "CannotWrite",
    "Capture",
    "ClassifierFree",
    "Conflict",
    "Edit",
    "Finished",
    "Here",
    "Inject",
    "KeyValue",
    "LocalBlend",
    "ModelRef",
    "NegPip",
    "NonFinite",
    "PaintMap",
    "PaintWithWords",
    "Phrase",
    "Pipeline",
    "Probe",
    "Program",
    "Projected",
    "Provenance",
    "Recipe",
    "Refine",
    "Region",
    "Regions",
    "Replace",
    "Result",
    "Reweight",
    "Row",
    "RunStats",
    "StepEvent",
    "StepProgram",
    "Strength",
    "UnknownName",
    "UnknownWord",
    "Unsupported",
    "Upscale",
    "Where",
    "Window",
    "WordMap",
    "XattnError",
    "attend",
    "batch",
    "check_strength",
    "check_word",
    "contact_sheet",
    "overlay",
    "where_sheet",
    "write_figure",
]

# Hidden from type checkers: a visible __getattr__ would make any name type-check.
if not TYPE_CHECKING:

    def __getattr__(name):
        from importlib import import_module

        if name not in _HOME:
            raise AttributeError(f"module 'xattn' has no attribute {name!r}")
        home = import_module(_HOME[name])
        # a name may be a module itself, which is no attribute of its package before it is imported
        value = globals()[name] = getattr(home, name, None) or import_module(f"{_HOME[name]}.{name}")
        return value

    def __dir__():
        return sorted({*globals(), *__all__})
