"""The tables of docs/ are written from what was measured, between their marks and nowhere else."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest

from benchmarks import control, control_pages
from benchmarks.control_pages import MARK, PAGES, ROOT

MADE = {
    "model": {"name": "emoji-128", "sha256": "0123456789abcdef"},
    "dtype": "bfloat16",
    "counts": {"regions": 7, "reweight": 8, "replace": 9, "exact": 1},
    "sections": {
        "regions": {"hard": {"both recognised": 0.5, "both in their halves": 1.0, "one recognised": 1.0}},
        "reweight": {"0": {"recognised": 0.0}, "2": {"recognised": 0.625}},
        "replace": {"replace": {"recognised": 0.25, "median dB": 31.26}},
        "exact": {"`Inject`": {"error": 1.2e-05, "effect": 3.456}},
    },
}


@pytest.fixture
def pages(tmp_path: Path) -> Path:
    for page in PAGES:
        (tmp_path / page).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / page, tmp_path / page)
    return tmp_path


def test_every_section_has_one_table_and_every_table_a_section() -> None:
    marked = [name for page in PAGES for name in MARK.findall((ROOT / page).read_text(encoding="utf-8"))]
    assert sorted(marked) == sorted(control.SECTIONS)
    assert {*control_pages.TABLES, "reweight"} == set(control.SECTIONS)
    for page in PAGES:
        text = (ROOT / page).read_text(encoding="utf-8")
        assert text.count("<!-- measured:") == text.count("<!-- end -->") == len(MARK.findall(text))


def test_tables_are_made_anew_between_their_marks(pages: Path) -> None:
    before = {page: (pages / page).read_text(encoding="utf-8") for page in PAGES}
    assert control_pages.write(MADE, pages) == ["docs/control.md", "docs/techniques/prompt-to-prompt.md"]
    after = {page: (pages / page).read_text(encoding="utf-8") for page in PAGES}
    for page in PAGES:
        assert MARK.sub("", after[page]) == MARK.sub("", before[page])
    table = "| | both recognised | both in their halves |\n|---|---|---|\n| `Regions`, hard | .50 | 1.00 |"
    assert table in after["docs/control.md"]
    assert "| `Reweight` | 0 | 2 |\n|---|---|---|\n| recognised | .00 | .62 |" in after["docs/control.md"]
    assert "| `Replace` | .25 | 31.3 |" in after["docs/control.md"]
    assert "| `Inject` | 1.2e-5 | 3.5 |" in after["docs/techniques/prompt-to-prompt.md"]
    assert "*emoji-128, weights 01234567, bfloat16, 7 prompts; `python -m benchmarks.control regions`.*" in " ".join(
        after.values()
    )
    assert control_pages.write(MADE, pages) == [], "the same figures change nothing"


def test_a_mark_that_no_section_has_is_an_error(pages: Path) -> None:
    page = pages / PAGES[0]
    page.write_text("<!-- measured: mood -->\n<!-- end -->\n", encoding="utf-8")
    with pytest.raises(ValueError, match="There is no section 'mood'"):
        control_pages.write(MADE, pages)


def test_the_command_takes_figures_of_an_earlier_run_and_refuses_what_it_does_not_know(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "made.json"
    file.write_text(json.dumps(MADE))
    assert control.main(["regions", "--figures", str(file)]) == 0
    assert json.loads(capsys.readouterr().out)["sections"] == {"regions": MADE["sections"]["regions"]}  # type: ignore[index]
    with pytest.raises(SystemExit):
        control.main(["moods"])
    assert re.search("no section 'moods'. There are: maps, replace", capsys.readouterr().err)


def test_means_are_means_and_medians_medians() -> None:
    records = [{"way": {"right": right, "median dB": level}} for right, level in ((0.0, 1.0), (1.0, 2.0), (1.0, 99.0))]
    assert control.means(records) == {"way": {"right": pytest.approx(2 / 3), "median dB": 2.0}}
