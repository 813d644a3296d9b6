"""A run draws what is missing, tells what it does, and leaves whole files whatever goes wrong."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import torch
from PIL import Image, ImageChops

from pipelines import batch
from pipelines.batch import Made, Options, Planned
from pipelines.batch.manifest import MANIFEST, REJECTED, read_manifest
from pipelines.metadata import read_recipe
from pipelines.pipeline import Pipeline
from pipelines.text import AnyTower
from tests.pipelines.batch.runs import ROOT, ROWS, drawn, ended, notices, pictures


def test_every_picture_has_a_name_a_line_and_its_recipe(pipe: Pipeline, tmp_path: Path) -> None:
    events = drawn(pipe, ROWS, tmp_path)
    assert isinstance(events[0], Planned)
    assert (ended(events).made, ended(events).total, ended(events).complete) == (5, 5, True)
    entries = batch.entries(tmp_path)
    assert {entry.file for entry in entries} == set(pictures(tmp_path))
    assert [event.done for event in events if isinstance(event, Made)] == [1, 2, 3, 4, 5]
    for entry in entries:
        path = tmp_path / entry.file
        recipe = read_recipe(path)
        assert recipe.hash == entry.hash == entry.to_recipe().hash
        assert path.name == f"{entry.row:05d}-{recipe.seed}-{entry.hash[:8]}.png"
        assert hashlib.sha256(path.read_bytes()).hexdigest() == entry.sha256
        assert entry.provenance["batch"] in (1, 2)
    assert not (tmp_path / REJECTED).exists()


def test_a_batchs_picture_is_the_calls_picture(pipe: Pipeline, tmp_path: Path) -> None:
    drawn(pipe, [{"prompt": "a fox on red", "seed": 3}], tmp_path)
    alone = pipe("a fox on red", seed=3)
    alone.save(tmp_path / "alone.txt.png")
    (name,) = {path.name for path in tmp_path.glob("0*.png")}
    assert (tmp_path / name).read_bytes() == (tmp_path / "alone.txt.png").read_bytes()


def test_a_second_run_draws_nothing(pipe: Pipeline, tmp_path: Path) -> None:
    drawn(pipe, ROWS, tmp_path)
    before = {path.name: path.stat().st_mtime_ns for path in tmp_path.iterdir() if path.suffix in (".png", ".jsonl")}
    again = ended(drawn(pipe, ROWS, tmp_path))
    assert (again.made, again.kept) == (0, 5)
    after = {path.name: path.stat().st_mtime_ns for path in tmp_path.iterdir() if path.suffix in (".png", ".jsonl")}
    assert before == after


def test_what_is_missing_is_drawn_with_its_old_neighbours_and_comes_out_equal(pipe: Pipeline, tmp_path: Path) -> None:
    drawn(pipe, ROWS, tmp_path)
    whole = pictures(tmp_path)
    lost = sorted(whole)[1::2]
    for name in lost:
        (tmp_path / name).unlink()
    events = drawn(pipe, ROWS, tmp_path)
    assert ended(events).made == len(lost)
    assert f"not in the folder as it was: {len(lost)} pictures" in notices(events)
    assert pictures(tmp_path) == whole


def test_a_picture_without_its_line_is_drawn_anew_in_its_place(pipe: Pipeline, tmp_path: Path) -> None:
    drawn(pipe, ROWS, tmp_path)
    whole = pictures(tmp_path)
    lines = (tmp_path / MANIFEST).read_bytes().splitlines(keepends=True)
    (tmp_path / MANIFEST).write_bytes(b"".join(lines[:3]) + lines[3][:40])
    events = drawn(pipe, ROWS, tmp_path)
    assert "torn by a kill" in notices(events)
    assert ended(events).made == 2
    assert pictures(tmp_path) == whole
    assert not read_manifest(tmp_path).torn


def test_verify_finds_a_changed_byte(pipe: Pipeline, tmp_path: Path) -> None:
    drawn(pipe, ROWS[2:], tmp_path)
    (name,) = pictures(tmp_path)
    good = (tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes(good[:-20] + bytes([good[-20] ^ 1]) + good[-19:])
    assert ended(drawn(pipe, ROWS[2:], tmp_path)).made == 0, "only its size is looked at"
    assert ended(drawn(pipe, ROWS[2:], tmp_path, Options(verify=True))).made == 1


def test_another_files_name_is_never_taken(pipe: Pipeline, tmp_path: Path) -> None:
    drawn(pipe, ROWS[2:], tmp_path / "first")
    (name,) = pictures(tmp_path / "first")
    (tmp_path / "second").mkdir()
    (tmp_path / "second" / name).write_bytes(b"somebody's")
    drawn(pipe, ROWS[2:], tmp_path / "second")
    assert (tmp_path / "second" / name).read_bytes() == b"somebody's"
    (entry,) = batch.entries(tmp_path / "second")
    assert entry.file == f"{name.removesuffix('.png')}{entry.hash[8:16]}.png"


def test_a_changed_row_is_made_anew_and_said_and_changed_back_it_is_there(pipe: Pipeline, tmp_path: Path) -> None:
    file = tmp_path / "rows.jsonl"

    def written(*rows: Mapping[str, object]) -> Path:
        file.write_text("".join(json.dumps(row) + "\n" for row in rows))
        return file

    out = tmp_path / "out"
    drawn(pipe, written(*ROWS), out)
    events = drawn(pipe, written(ROWS[0], ROWS[1], {"prompt": "a dog on red", "seed": 9}), out)
    assert "Changed since the run before, and made anew: 1 row, 3." in notices(events)
    assert (ended(events).made, ended(events).kept) == (1, 4)
    assert len(pictures(out)) == 6, "the old one stays"
    assert {entry.to_recipe().prompt for entry in batch.entries(out)} == {"a fox", "a cat on red", "a dog on red"}
    assert len(batch.entries(out, superseded=True)) == 6
    assert ended(drawn(pipe, written(*ROWS), out)).made == 0
    assert "a dog" in {entry.to_recipe().prompt for entry in batch.entries(out)}


def test_a_row_put_before_others_changes_none_of_them(pipe: Pipeline, tmp_path: Path) -> None:
    drawn(pipe, ["a fox", "a cat"], tmp_path)
    events = drawn(pipe, ["a dog", "a fox", "a cat"], tmp_path)
    assert (ended(events).made, ended(events).kept) == (1, 2)


def test_equal_rows_are_drawn_once_and_said(pipe: Pipeline, tmp_path: Path) -> None:
    events = drawn(pipe, [ROWS[2], ROWS[2]], tmp_path)
    assert ended(events).total == 1
    assert "drawn once: 1 picture." in notices(events)


# -- groups ----------------------------------------------------------------------------------------------------------


def test_rows_that_go_together_are_grouped_and_others_are_not(pipe: Pipeline) -> None:
    rows = [{"prompt": "a fox", "width": width} for width in (32, 64, 32, 64, 32)]
    made = batch.plan(rows, options=Options(batch_size=2), pipe=pipe)
    assert [[item.row for item in group.items] for group in made.groups] == [[1, 3], [2, 4], [5]]


def test_another_row_that_is_drawn_along_does_not_change_a_picture_beyond_rounding(
    pipe: Pipeline, tmp_path: Path
) -> None:
    for size in (1, 4):
        drawn(pipe, ROWS, tmp_path / str(size), Options(batch_size=size))
    for name in pictures(tmp_path / "1"):
        with Image.open(tmp_path / "1" / name) as one, Image.open(tmp_path / "4" / name) as four:
            assert max(high for _, high in ImageChops.difference(one, four).getextrema()) <= 2


def test_equal_prompts_are_encoded_once(pipe: Pipeline, tmp_path: Path) -> None:
    tower = Counting(pipe.model.text.towers[0])
    counted = Pipeline(replace(pipe.model, text=replace(pipe.model.text, towers=(tower,))))
    drawn(counted, [{"prompt": "a fox on red", "seed": "0-5"}], tmp_path)
    assert tower.calls == 1


class Counting:
    """A tower and how often it was called."""

    def __init__(self, tower: AnyTower) -> None:
        self.tower, self.device, self.calls = tower, tower.device, 0

    def __call__(
        self, ids: torch.Tensor, *, skip: int = 0, normed: bool = True
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        self.calls += 1
        return self.tower(ids, skip=skip, normed=normed)


# -- edits -----------------------------------------------------------------------------------------------------------


def test_edits_and_sources_go_through_rows_and_sweeps(pipe: Pipeline, tmp_path: Path) -> None:
    rows = [
        {"prompt": "a fox on red", "seed": 3, "edits": [{"kind": "reweight", "word": "fox", "scale": 1.0}]},
        {
            "prompt": "a cat on red",
            "source": {"prompt": "a fox on red", "seed": 3},
            "edits": [{"kind": "reweight", "word": "cat", "scale": 1.0}, {"kind": "replace"}],
        },
    ]
    drawn(pipe, rows, tmp_path, Options(batch_size=4, sweep={"edits.0.scale": [0.5, 2.0]}))
    table = batch.table(tmp_path)
    assert sorted(table["edits.0.scale"]) == [0.5, 0.5, 2.0, 2.0]
    assert set(table["seed"]) == {3}
    for entry in batch.entries(tmp_path):
        with Image.open(tmp_path / entry.file) as image:
            alone = pipe(entry.to_recipe()).image
            assert max(high for _, high in ImageChops.difference(image, alone).getextrema()) <= 2
    assert len({entry.sha256 for entry in batch.entries(tmp_path)}) == 4


def test_pictures_of_one_source_are_drawn_with_it_once(pipe: Pipeline) -> None:
    rows = [
        {"prompt": f"a {word}", "source": {"prompt": "a fox", "seed": 3}, "edits": [{"kind": "replace"}]}
        for word in ("cat", "dog", "fox")
    ]
    made = batch.plan(rows, options=Options(batch_size=4), pipe=pipe)
    assert [len(group.items) for group in made.groups] == [3]


def test_the_names_of_a_batch_need_no_torch() -> None:
    code = "import sys, pipelines.batch; print([n for n in ('torch', 'numpy', 'PIL', 'pyarrow') if n in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.strip() == "[]"
