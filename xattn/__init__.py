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

# name → the module it lives in. A public name never equals a submodule of xattn, which would hide it.
_HOME = {
    "BadModel": "xattn.errors",
    "BadValue": "xattn.errors",
    "Cancelled": "xattn.errors",
    "CannotWrite": "xattn.errors",
    "Conflict": "xattn.errors",
    "NonFinite": "xattn.errors",
    "UnknownName": "xattn.errors",
    "UnknownWord": "xattn.errors",
    "Unsupported": "xattn.errors",
    "XattnError": "xattn.errors",
}

__version__ = "0.1.0"
__all__ = [
    "BadModel",
    "BadValue",
    "Cancelled",
    "CannotWrite",
    "Conflict",
    "NonFinite",
    "UnknownName",
    "UnknownWord",
    "Unsupported",
    "XattnError",
]

# Hidden from type checkers: a visible __getattr__ would make any name type-check.
if not TYPE_CHECKING:

    def __getattr__(name):
        from importlib import import_module

        if name not in _HOME:
            raise AttributeError(f"module 'xattn' has no attribute {name!r}")
        value = globals()[name] = getattr(import_module(_HOME[name]), name)
        return value

    def __dir__():
        return sorted({*globals(), *__all__})
