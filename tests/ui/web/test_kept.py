"""What pages put into the machine's store has an end; what anybody else put there stays."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pipelines.assets import Asset, AssetStore
from pipelines.metadata import keep_assets
from pipelines.recipe import Recipe
from ui.web.kept import PageStore
from xattn.errors import BadValue, CannotWrite

SIDE = 160


def wild(seed: int) -> Asset:
    """A picture that does not travel inside a recipe."""
    values = np.random.default_rng(seed).integers(0, 255, (SIDE, SIDE, 3), dtype=np.uint8)
    return Asset.from_image(Image.fromarray(values))


def there(root: Path, *assets: Asset) -> list[bool]:
    store = AssetStore(root)
    return [store.path(one.sha256).is_file() for one in assets]


def test_the_oldest_of_many_pages_pictures_go(tmp_path: Path) -> None:
    size = len(wild(0).data or b"")
    made = [wild(seed) for seed in range(30)]
    for number, one in enumerate(made):
        store = PageStore(tmp_path, 3 * size + size // 2)  # each page has one of its own
        keep_assets(Recipe("a fox", init=one), store=store)
        assert there(tmp_path, one) == [True]
        if number == 2:
            keep_assets(Recipe("a fox", init=made[0]), store=store)  # shown again, so the second is the oldest now
        if number == 3:
            assert there(tmp_path, *made[:4]) == [True, False, True, True]
    assert sum(there(tmp_path, *made)) == 3
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) < 4 * size


def test_what_a_command_put_there_before_or_after_stays(tmp_path: Path) -> None:
    before, after, page, last = (wild(seed) for seed in range(4))
    store = PageStore(tmp_path, 1)
    AssetStore(tmp_path).put(before)
    for one in (before, after):
        store.put(one)
    AssetStore(tmp_path).put(after)
    for one in (page, last):
        store.put(one)
    assert there(tmp_path, before, after, page, last) == [True, True, False, True]
    with pytest.raises(BadValue, match="in the store"):
        store.get(Asset(page.sha256, page.media, page.width, page.height))


def test_a_broken_list_removes_nothing_of_anybodys(tmp_path: Path) -> None:
    first, second = wild(0), wild(1)
    PageStore(tmp_path, 1).put(first)
    (tmp_path / "of-pages.json").write_text("[")
    PageStore(tmp_path, 1).put(second)
    assert there(tmp_path, first, second) == [True, True]


@pytest.mark.skipif(os.name == "nt", reason="a file in the place of a folder is another error there")
def test_a_store_that_cannot_be_written_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(CannotWrite, match="XATTN_CACHE"):
        PageStore(tmp_path / "file" / "assets", 1).put(wild(0))
