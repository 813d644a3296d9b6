"""What a batch left behind, read again: a table, maps by hash, contact sheets, an estimate before."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow.parquet
import pytest

from pipelines import batch
from pipelines.batch import Options
from pipelines.batch.sheet import save_sheets
from pipelines.pipeline import Pipeline
from xattn.errors import BadValue, UnknownName

ROWS = [{"prompt": "a fox", "seed": "0-1"}, {"prompt": "a cat on red", "seed": "0-1"}]
OPTIONS = Options(batch_size=2, sweep={"guidance_scale": [1, 3]}, words="*")


@pytest.fixture(scope="module")
def folder(pipe: Pipeline, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("table") / "out"
    list(batch.run(ROWS, out=out, options=OPTIONS, pipe=pipe))
    return out


def test_the_table_has_a_row_a_picture_and_a_column_a_field(folder: Path) -> None:
    table = batch.table(folder)
    assert len(table) == 8
    assert sorted(set(table["prompt"])) == ["a cat on red", "a fox"]
    assert set(zip(table["seed"], table["guidance_scale"], strict=True)) == {(0, 1.0), (0, 3.0), (1, 1.0), (1, 3.0)}
    assert all((folder / file).is_file() for file in table["file"])


def test_parquet_and_arrow_say_the_same(folder: Path) -> None:
    assert pyarrow.parquet.read_table(batch.export(folder)).equals(batch.table(folder, "arrow"))


def test_a_table_of_nothing_is_a_mistake(tmp_path: Path, folder: Path) -> None:
    with pytest.raises(BadValue, match=r"manifest\.jsonl"):
        batch.table(tmp_path)
    with pytest.raises(UnknownName, match="pandas, arrow"):
        batch.table(folder, "polars")  # type: ignore[arg-type]


def test_maps_are_found_by_the_recipes_hash(folder: Path, pipe: Pipeline) -> None:
    for entry in batch.entries(folder):
        maps = batch.maps(folder, entry.hash[:16])
        alone = pipe(entry.to_recipe(), words="*").maps
        assert alone is not None
        assert maps.words == alone.words
        assert maps.made == alone.made
        np.testing.assert_allclose(maps.to_numpy(), alone.to_numpy(), rtol=2e-3, atol=1e-4)
    with pytest.raises(BadValue, match="8 have it"):
        batch.maps(folder, "")


def test_a_shard_with_a_torn_end_still_gives_what_the_manifest_names(folder: Path) -> None:
    entry = batch.entries(folder)[0]
    shard = folder / entry.maps
    whole, before = shard.read_bytes(), batch.maps(folder, entry.hash)
    shard.write_bytes(whole.rstrip(b"\0")[:-300])
    try:
        after = batch.maps(folder, entry.hash)
        assert after.words == before.words
        np.testing.assert_array_equal(after.to_numpy(), before.to_numpy())
    finally:
        shard.write_bytes(whole)


def test_a_sheet_has_a_cell_for_each_pair_of_values_and_further_sheets_for_further_pictures(folder: Path) -> None:
    two = batch.sheets(folder, "prompt", "guidance_scale", side=16)
    assert len(two) == 2, "two seeds"
    (by_seed,) = batch.sheets(folder, "guidance_scale", side=16)
    assert by_seed.width > two[0].width
    assert [path.name for path in save_sheets(folder, "prompt", "seed")] == ["sheet.png", "sheet-2.png"]
    with pytest.raises(UnknownName, match="negative_prompt"):
        batch.sheets(folder, "colour")
    with pytest.raises(BadValue, match="some picture sets"):
        batch.sheets(folder, "negative_prompt")


def test_a_preview_counts_and_estimates_and_writes_nothing(pipe: Pipeline, folder: Path, tmp_path: Path) -> None:
    before = sorted(path.name for path in folder.iterdir())
    seen = batch.preview([*ROWS, {"prompt": "a dog", "seed": 1}], out=folder, options=OPTIONS, pipe=pipe)
    assert (seen.plan.pictures, seen.kept) == (10, 8)
    assert seen.estimate.seconds > 0
    assert 1000 < seen.estimate.bytes < 100_000
    assert sorted(path.name for path in folder.iterdir()) == before
    batch.preview(ROWS, out=tmp_path / "new", options=OPTIONS, pipe=pipe)
    assert not (tmp_path / "new").exists()
