"""Every technique that a recipe may hold, one a file: a frozen value that lowers itself to primitives of xattn."""

from pipelines.techniques.attend_and_excite import AttendAndExcite as AttendAndExcite
from pipelines.techniques.edit import Edit as Edit
from pipelines.techniques.inject import Inject as Inject
from pipelines.techniques.local_blend import LocalBlend as LocalBlend
from pipelines.techniques.neg_pip import NegPip as NegPip
from pipelines.techniques.paint_map import PaintMap as PaintMap
from pipelines.techniques.paint_with_words import PaintWithWords as PaintWithWords
from pipelines.techniques.refine import Refine as Refine
from pipelines.techniques.regions import Regions as Regions
from pipelines.techniques.replace import Replace as Replace
from pipelines.techniques.reweight import Reweight as Reweight

TECHNIQUES: tuple[type[Edit], ...] = (
    Replace,
    Refine,
    Reweight,
    Inject,
    LocalBlend,
    PaintMap,
    PaintWithWords,
    Regions,
    NegPip,
    AttendAndExcite,
)
