"""Rows from every kind of file come out the same; what cannot be read is told with its line."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path
from types import SimpleNamespace

import pyarrow
import pyarrow.parquet
import pytest

from pipelines.batch.sources import read_source
from pipelines.recipe import Recipe
from xattn.errors import BadValue, UnknownName

ROWS = [
    {"prompt": "a fox, red", "seed": 7, "edits": [{"kind": "reweight", "word": "fox", "scale": 1.5}]},
    {"prompt": "1984", "guidance_scale": 2.5},
]


def documents(path: Path | str, form: str | None = None) -> list[dict[str, object]]:
    source = read_source(path, form)
    assert [row.problem for row in source.rows] == [""] * len(source.rows)
    return [dict(row.document) for row in source.rows]


def test_every_form_says_the_same(tmp_path: Path) -> None:
    (tmp_path / "rows.jsonl").write_text("\n".join(map(json.dumps, ROWS)) + "\n\n")
    (tmp_path / "rows.json").write_text(json.dumps(ROWS))
    (tmp_path / "rows.csv").write_text(
        "prompt,seed,guidance_scale,edits.0.kind,edits.0.word,edits.0.scale\n"
        '"a fox, red",7,,reweight,fox,1.5\n'
        "1984,,2.5,,,\n"
    )
    (tmp_path / "rows.tsv").write_text(
        "prompt\tseed\tguidance_scale\tedits\n"
        'a fox, red\t7\t\t"[{""kind"":""reweight"",""word"":""fox"",""scale"":1.5}]"\n'
        "1984\t\t2.5\t\n"
    )
    table = pyarrow.table(
        {
            "prompt": [row["prompt"] for row in ROWS],
            "seed": [7, None],
            "guidance_scale": [None, 2.5],
            "edits": [ROWS[0]["edits"], None],
        }
    )
    pyarrow.parquet.write_table(table, tmp_path / "rows.parquet")
    for suffix in ("jsonl", "json", "csv", "tsv", "parquet"):
        assert documents(tmp_path / f"rows.{suffix}") == ROWS, suffix


def test_a_text_file_has_a_prompt_a_line(tmp_path: Path) -> None:
    (tmp_path / "rows.txt").write_text("a fox\n\n# not this one\n  a cat \n")
    source = read_source(tmp_path / "rows.txt")
    assert [(row.number, row.line, row.document["prompt"]) for row in source.rows] == [(1, 1, "a fox"), (2, 4, "a cat")]


@pytest.mark.parametrize(
    ("data", "rows"), [(b'{"prompt":"a fox"}\n', 1), (b"a fox\na cat\n", 2), (b'["a fox", {"prompt": "a cat"}]', 2)]
)
def test_standard_input_is_told_by_its_first_character(data: bytes, rows: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(data)))
    assert [row["prompt"] for row in documents("-")] == ["a fox", "a cat"][:rows]


def test_values_in_memory_are_rows() -> None:
    source = read_source(["a fox", {"prompt": "a cat"}, Recipe("a dog", seed=3)])
    assert [row.document["prompt"] for row in source.rows] == ["a fox", "a cat", "a dog"]


def test_bad_lines_have_their_number_and_the_others_are_read(tmp_path: Path) -> None:
    (tmp_path / "rows.jsonl").write_text('{"prompt":"a"}\nnot json\n\n{"seed":1,"seed":2}\n[1]\n{"prompt":"b"}\n')
    bad = [(row.number, row.line) for row in read_source(tmp_path / "rows.jsonl").rows if row.problem]
    assert bad == [(2, 2), (3, 4), (4, 5)]
    (tmp_path / "rows.csv").write_text('prompt,seed\na,1,2\n"two\nlines",3\n"unfinished\n')
    rows = read_source(tmp_path / "rows.csv").rows
    assert [(row.line, bool(row.problem)) for row in rows] == [(2, True), (3, False), (5, True)]


@pytest.mark.parametrize("name", ["rows.xlsx", "nothing.jsonl", "latin.txt", "broken.parquet", "twice.csv"])
def test_a_file_that_cannot_be_read_is_one_sentence(name: str, tmp_path: Path) -> None:
    (tmp_path / "latin.txt").write_bytes("ein Käse".encode("latin-1"))
    (tmp_path / "broken.parquet").write_bytes(b"PAR1 no")
    (tmp_path / "twice.csv").write_text("prompt,prompt\na,b\n")
    with pytest.raises(BadValue, match="but it must be"):
        read_source(tmp_path / name)


def test_an_unknown_form_lists_the_known_ones() -> None:
    with pytest.raises(UnknownName, match="jsonl, json, csv"):
        read_source("-", "xml")
