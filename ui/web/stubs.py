"""Gradio without what no page needs when it is imported and the page is built, which is most of what that costs.

For editors it renders a .pyi file beside each component's source, anew at every import, into site-packages; it
brings pandas for caches of data frames, and, where it is installed, the Model Context Protocol, served or not. And it
makes a server four times, of which the last is served.
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import sys
from collections.abc import Iterator, Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from types import ModuleType
from typing import Any

_MODULE, _FUNCTION = "gradio.component_meta", "create_or_modify_pyi"
_LATER = ("pandas",)
"""Imported when something of them is asked for; a page never does."""
_TOOLS = "mcp"


@contextlib.contextmanager
def without_stubs(*, tools: bool = True) -> Iterator[None]:
    """Where gradio is first imported meanwhile, it makes no stubs, in this process. Where it is there, nothing.

    tools: whether tools will be served
    """
    finder = _Finder()
    hidden = not tools and _TOOLS not in sys.modules
    sys.meta_path.insert(0, finder)
    if hidden:
        sys.modules[_TOOLS] = None  # type: ignore[assignment]  # what Python reads as: not to be found
    try:
        yield
    finally:
        sys.meta_path.remove(finder)
        if hidden:
            del sys.modules[_TOOLS]


@contextlib.contextmanager
def without_servers() -> Iterator[None]:
    """Blocks that are built and given a queue meanwhile get no server of their own; launching them makes the one."""
    module: Any = importlib.import_module("gradio.blocks")
    made, module.App = module.App, _NoServer
    try:
        yield
    finally:
        module.App = made


class _NoServer:
    @staticmethod
    def create_app(*_: object, **__: object) -> None:
        """None."""


class _Finder(MetaPathFinder):
    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Specs for those modules, with loaders of our own; None for every other."""
        if fullname not in (_MODULE, *_LATER):
            return None
        spec = PathFinder.find_spec(fullname, path, target)
        if spec is None or not isinstance(spec.loader, SourceFileLoader):
            return None
        if fullname == _MODULE:
            spec.loader = _Loader(spec.loader.name, spec.loader.path)
        else:
            spec.loader = importlib.util.LazyLoader(spec.loader)
        return spec


class _Loader(SourceFileLoader):
    def exec_module(self, module: ModuleType) -> None:
        """Run it as it is; then the function does nothing. A gradio without that function is left alone."""
        super().exec_module(module)
        if hasattr(module, _FUNCTION):
            setattr(module, _FUNCTION, lambda *_: None)
