"""What is installed is what is imported, and docs/dependencies.md has a reason for each."""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
PACKAGES = ("xattn", "unet", "pipelines", "ui")

# The few whose import is not called like the package.
IMPORTED_AS = {"open-clip-torch": "open_clip", "pillow": "PIL"}
# Never imported by us by name, and why they are installed all the same (docs/dependencies.md says more).
NOT_IMPORTED = {
    "torchvision": "open_clip imports it",
}

# Extras that one command imports when it is asked to, and says how to install where they are missing.
OPTIONAL = {"ray"}


def name(requirement: str) -> str:
    return re.split(r"[\s<>=!~;\[]", requirement, maxsplit=1)[0]


def reasons() -> dict[str, str]:
    """The rows of the tables in docs/dependencies.md: `| name | bound | reason |`."""
    text = (ROOT / "docs" / "dependencies.md").read_text()
    rows = re.findall(r"^\| `([^`]+)` \| ([^|]+) \| ([^|]+) \|$", text, re.MULTILINE)
    return {row[0]: f"{row[1].strip()} {row[2].strip()}" for row in rows}


def run_time_nodes(tree: ast.AST) -> Iterator[ast.AST]:
    """Every node but those under `if TYPE_CHECKING:`, where a dependency's dependency may be named too."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
            continue
        yield node
        yield from run_time_nodes(node)


def third_party_imports() -> set[str]:
    found = set()
    for package in PACKAGES:
        for path in (ROOT / package).rglob("*.py"):
            for node in run_time_nodes(ast.parse(path.read_text())):
                if isinstance(node, ast.Import):
                    found |= {alias.name.partition(".")[0] for alias in node.names}
                elif isinstance(node, ast.ImportFrom) and node.module:
                    found.add(node.module.partition(".")[0])
    return found - set(sys.stdlib_module_names) - set(PACKAGES)


def test_every_dependency_has_its_reason_and_no_reason_lacks_its_dependency() -> None:
    extras = PROJECT["optional-dependencies"].values()
    listed = [*PROJECT["dependencies"], *(line for extra in extras for line in extra)]
    assert set(reasons()) == {name(line) for line in listed}


def test_everything_imported_is_declared() -> None:
    declared = {name(line) for line in PROJECT["dependencies"]}
    assert third_party_imports() - OPTIONAL <= {IMPORTED_AS.get(dependency, dependency) for dependency in declared}


def test_everything_declared_is_imported_or_says_why_not() -> None:
    declared = {IMPORTED_AS.get(name(line), name(line)) for line in PROJECT["dependencies"]}
    assert declared - third_party_imports() == set(NOT_IMPORTED)


def test_the_bounds_that_the_docs_give_are_those_of_the_package() -> None:
    for line in PROJECT["dependencies"]:
        bound = line.partition(";")[0].removeprefix(name(line)).strip()
        assert f"`{bound}`" in reasons()[name(line)], line
