"""The wheel alone draws a picture: built through the sdist, installed into a fresh venv, used from another folder."""

from __future__ import annotations

import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

DRAW = """
from pathlib import Path
import sys
import ui, xattn
from xattn import Pipeline
assert Path(sys.prefix) in Path(xattn.__file__).parents, xattn.__file__
Pipeline.from_pretrained()("a fox on purple", seed=7, num_inference_steps=2).save("fox.png")
"""


def run(*command: str | Path, folder: Path) -> str:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel that `python -m build` makes: the sdist first, and the wheel from nothing but the sdist."""
    folder = tmp_path_factory.mktemp("dist")
    run(sys.executable, "-m", "build", "--no-isolation", "--outdir", folder, ROOT, folder=folder)
    assert len(list(folder.glob("*.tar.gz"))) == 1
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A fresh venv with the wheel, that sees the dependencies of this one and nothing of the clone."""
    folder = tmp_path_factory.mktemp("fresh")
    venv.create(folder, with_pip=False)
    (packages,) = folder.glob("lib/python*/site-packages")
    # A path in a .pth file is searched, but .pth files in it are not read: our editable install stays out of sight.
    outer = [path for path in sys.path if path.endswith("site-packages")]
    (packages / "dependencies.pth").write_text("\n".join(outer))
    pip = (sys.executable, "-m", "pip", "--python", folder, "install", "--no-deps", "--no-index", "--quiet")
    run(*pip, "--force-reinstall", wheel, folder=folder)
    return folder


def names(wheel: Path) -> set[str]:
    with zipfile.ZipFile(wheel) as archive:
        return set(archive.namelist())


def test_the_wheel_draws_from_another_folder(installed: Path, tmp_path: Path) -> None:
    run(installed / "bin" / "python", "-c", DRAW, folder=tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["fox.png"]


def test_the_wheel_holds_the_four_packages_and_the_model_and_no_more(wheel: Path) -> None:
    tops = {name.partition("/")[0] for name in names(wheel)}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"xattn", "unet", "pipelines", "ui"}


def test_the_wheel_holds_every_file_of_the_packages_and_of_the_model(wheel: Path) -> None:
    tracked = subprocess.run(
        ["git", "ls-files", "xattn", "unet", "pipelines", "ui", "weights/emoji-128"],
        cwd=ROOT, check=True, capture_output=True, text=True,
    ).stdout.splitlines()  # fmt: skip
    expected = {name.replace("weights/emoji-128", "xattn/_models/emoji-128") for name in tracked}
    assert "xattn/_models/emoji-128/model_index.json" in expected
    assert expected <= names(wheel)


def test_a_wheel_without_its_model_is_not_built(tmp_path: Path) -> None:
    for name in ("pyproject.toml", "hatch_build.py", "README.md", "LICENSE", "NOTICE"):
        (tmp_path / name).symlink_to(ROOT / name)
    done = subprocess.run(
        [sys.executable, "-m", "build", "--no-isolation", "--wheel", tmp_path], capture_output=True, text=True
    )
    assert done.returncode != 0
    assert "xattn cannot be built without its default model" in done.stdout + done.stderr
