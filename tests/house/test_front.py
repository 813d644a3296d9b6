"""`xattn/__init__.py` is the project's front: a pinned list of names, each resolved only when it is asked for."""

from __future__ import annotations

import ast
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

import xattn

ROOT = Path(__file__).parents[2]

# fmt: off
PUBLIC = [
    "Attention", "AttentionSite", "Backend", "KeyValue", "Program", "Row", "StepProgram", "attend",
    "Finished", "ModelRef", "Pipeline", "Provenance", "Recipe", "Result", "RunStats", "StepEvent",
    "Alignment", "Inject", "LocalBlend", "Refine", "Replace", "Reweight",
    "PaintMap", "PaintWithWords", "Region", "Regions", "NegPip", "AttendAndExcite",
    "Box", "Edit", "Here", "Phrase", "Strength", "Window", "WordMap", "check_strength", "check_word",
    "Asset", "AttentionMaps", "Capture", "ClassifierFree", "Projected", "Upscale", "batch", "contact_sheet", "overlay",
    "Probe", "Where", "where_sheet", "write_figure",
    "BadModel", "BadValue", "Cancelled", "CannotWrite", "Conflict", "NonFinite",
    "UnknownName", "UnknownWord", "Unsupported", "XattnError",
]
# fmt: on


def run(code: str, folder: Path = ROOT) -> str:
    return subprocess.run(
        [sys.executable, "-c", code], cwd=folder, check=True, capture_output=True, text=True
    ).stdout.strip()


def test_public_names_are_these_and_no_others() -> None:
    assert xattn.__all__ == sorted(PUBLIC)


@pytest.mark.parametrize("name", xattn.__all__)
def test_every_public_name_resolves_and_is_listed(name: str) -> None:
    assert getattr(xattn, name) is not None
    assert name in dir(xattn)


def test_what_type_checkers_see_is_what_is_resolved() -> None:
    tree = ast.parse(Path(xattn.__file__).read_text())
    seen = {
        alias.asname: node.module
        for block in tree.body
        if isinstance(block, ast.If)
        for node in block.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    assert seen == xattn._HOME
    assert sorted(seen) == xattn.__all__


def test_no_public_name_is_hidden_by_a_submodule() -> None:
    submodules = {path.stem for path in Path(xattn.__file__).parent.iterdir()}
    assert submodules.isdisjoint(xattn.__all__)


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'Pipelin'"):
        xattn.Pipelin  # noqa: B018


def test_importing_xattn_loads_neither_torch_nor_any_other_package() -> None:
    foreign = run(
        "import sys; before = set(sys.modules); import xattn\n"
        "roots = {name.partition('.')[0] for name in set(sys.modules) - before}\n"
        "print(sorted(roots - set(sys.stdlib_module_names)))"
    )
    assert foreign == "['xattn']"


@pytest.mark.parametrize("package", ["xattn", "unet", "pipelines", "ui"])
def test_packages_are_ours_inside_a_model_folder(package: str, tmp_path: Path) -> None:
    """Every diffusers model folder has a `unet/`; as the working directory it must not shadow ours."""
    (tmp_path / "unet").mkdir()
    (tmp_path / "unet" / "config.json").write_text("{}")
    assert Path(run(f"import {package}; print({package}.__file__)", tmp_path)) == ROOT / package / "__init__.py"


@pytest.mark.parametrize("package", ["xattn", "unet", "pipelines", "ui"])
def test_packages_are_typed(package: str) -> None:
    assert Path(import_module(package).__file__ or "").with_name("py.typed").is_file()
