"""Every technique that a recipe may hold, one a file: a frozen value that lowers itself to primitives of xattn."""

from pipelines.techniques.edit import Edit as Edit
from pipelines.techniques.reweight import Reweight as Reweight

TECHNIQUES: tuple[type[Edit], ...] = (Reweight,)
