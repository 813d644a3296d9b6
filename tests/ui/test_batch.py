"""`xattn batch` as it is typed: what it prints, what it exits with, what it leaves."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.ui.conftest import Xattn


def rows(*documents: object, name: str = "rows.jsonl") -> str:
    Path(name).write_text("".join(json.dumps(one) + "\n" for one in documents))
    return name


def test_it_draws_once_and_then_finds_all_there(xattn: Xattn, model: Path) -> None:
    file = rows({"prompt": "a fox", "seed": "1-2"}, {"prompt": "a cat"})
    done = xattn("batch", file, "--out", "made", "--model", model)
    assert (done.code, done.out) == (0, "made: 3 of 3 pictures, 3 of them new\n")
    assert "3 pictures, in " in done.err
    assert len(list(Path("made").glob("*.png"))) == 3
    again = xattn("batch", file, "--out", "made", "--model", model)
    assert (again.code, again.out) == (0, "made: 3 of 3 pictures, 0 of them new\n")


def test_flags_and_toml_lie_under_the_rows(xattn: Xattn, model: Path) -> None:
    Path("defaults.toml").write_text('num_inference_steps = 4\nnegative_prompt = "red"\nguidance_scale = 2.0\n')
    flags = ("--defaults", "defaults.toml", "--guidance", "3", "--seed", "5,7", "--size", "32x32", "--json")
    done = xattn("batch", rows({"prompt": "a fox", "num_inference_steps": 3}), "--model", model, *flags)
    assert done.code == 0
    recipes = [json.loads(line)["recipe"] for line in Path("out/batch/manifest.jsonl").read_text().splitlines()]
    assert [recipe["seed"] for recipe in recipes] == [5, 7]
    for recipe in recipes:
        assert (recipe["num_inference_steps"], recipe["negative_prompt"], recipe["guidance_scale"]) == (3, "red", 3.0)
    events = [json.loads(line)["event"] for line in done.out.splitlines()]
    assert events == ["planned", "made", "made", "ended"]


def test_a_sweep_with_sheet_table_and_maps(xattn: Xattn, model: Path) -> None:
    flags = ("--sweep", "guidance_scale=1,3", "--sheet", "prompt,guidance_scale", "--parquet", "--maps", "*")
    done = xattn("batch", rows({"prompt": "a fox", "seed": 1}), "--model", model, "--out", "made", *flags)
    assert done.code == 0
    assert done.out.splitlines()[1:] == ["made/manifest.parquet", "made/sheet.png"]
    assert list(Path("made/maps").glob("*.tar"))


def test_bad_rows_stop_it_or_are_skipped(xattn: Xattn, model: Path) -> None:
    file = rows({"prompt": "a fox", "seed": 1}, {"prompt": "a fox", "sed": 2}, {"prompt": "a", "height": 7})
    done = xattn("batch", file, "--model", model, "--out", "made")
    assert (done.code, done.out) == (2, "")
    assert 'rows.jsonl:2: There is no recipe field "sed"' in done.err
    assert "rows.jsonl:3: height is 7" in done.err
    assert not Path("made").exists()
    done = xattn("batch", file, "--model", model, "--out", "made", "--on-error", "skip")
    assert (done.code, done.out) == (1, "made: 1 of 1 pictures, 1 of them new; 2 rows rejected: see rejected.jsonl\n")
    assert [json.loads(line)["line"] for line in Path("made/rejected.jsonl").read_text().splitlines()] == [2, 3]


def test_a_dry_run_says_what_would_be_made_and_makes_nothing(xattn: Xattn, model: Path) -> None:
    done = xattn("batch", rows({"prompt": "a fox", "seed": "1-3"}), "--model", model, "--dry-run")
    assert done.code == 0
    assert "1 row of rows.jsonl, 0 of them bad: 3 pictures." in done.out
    assert "Still to draw: 3, about" in done.out
    assert not Path("out").exists()
    bad = xattn("batch", rows({"prompt": "a", "width": 1}), "--model", model, "--dry-run", "--json")
    assert bad.code == 2
    assert json.loads(bad.out)["rejected"][0]["line"] == 1


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (("--sweep", "guidance_scale"), "FIELD=A,B,C"),
        (("--sweep", "seed=1,2"), "a field other than the seed"),
        (("--batch-size", "many"), "--batch-size is 'many'"),
        (("--on-error", "weep"), "Known: stop, skip"),
        (("--templates", "some"), "Known: all, random"),
        (("--wildcards", "here"), "templates is None"),
        (("--engine", "mpi"), "Known: local, ray"),
        (("--workers", "2"), "where workers or ray_address are given"),
        (("--save-as", "gif"), "Known: png"),
        (("--maps-by", "step"), "left out where no words are watched"),
        (("--maps-by", "colour"), "Known: step, layer, head"),
        (("--size", "33x33"), "The nearest is 32"),
        (("--defaults", "none.toml"), "none.toml"),
    ],
)
def test_a_mistake_is_told_before_the_model_is_loaded(xattn: Xattn, flags: tuple[str, str], said: str) -> None:
    done = xattn("batch", rows({"prompt": "a fox"}), "--model", "no-such-model", *flags)
    assert (done.code, done.out) == (2, "")
    assert said in done.err
    assert done.err.count("\n") == 1


def test_a_file_that_is_not_there_and_a_folder_that_is_none(xattn: Xattn, model: Path) -> None:
    done = xattn("batch", "nothing.jsonl", "--model", model)
    assert (done.code, done.err.count("\n")) == (2, 1)
    assert not Path("out").exists()
    Path("file").write_text("")
    assert "it is a file" in xattn("batch", rows("a fox"), "--out", "file", "--model", model).err
