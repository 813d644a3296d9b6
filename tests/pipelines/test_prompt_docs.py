"""docs/prompts.md says what is true."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from pipelines.prompt import Reading, first

DOCS = (Path(__file__).parents[2] / "docs" / "prompts.md").read_text(encoding="utf-8")
LINES = re.findall(r"^(.+?) +→ ?(.*)$", DOCS[DOCS.index("```text") :], re.MULTILINE)


def shown(reading: Reading) -> str:
    blocks = []
    for block in reading.blocks:
        runs = [run.text.strip() + ("" if run.weight == 1 else f"×{run.weight:.3g}") for run in block]
        blocks.append(" · ".join(runs))
    return " / ".join(blocks)


@pytest.mark.parametrize(("prompt", "says"), LINES, ids=[prompt for prompt, _ in LINES])
def test_an_odd_case_is_read_as_the_docs_say(prompt: str, says: str) -> None:
    assert re.sub(r"\s", "", shown(first(prompt))).rstrip("/") == re.sub(r"\s", "", says)


def test_the_docs_have_their_cases() -> None:
    assert len(LINES) == 23
