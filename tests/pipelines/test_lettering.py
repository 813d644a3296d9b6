"""Letters that Pillow's own font lacks: written by another font, or spelled out, never a box."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont

from pipelines import lettering
from pipelines.lettering import length, write

FONT = ImageFont.load_default(22)
BLACK = (0, 0, 0)


@contextmanager
def looked_for_anew() -> Iterator[None]:
    """Nothing looked for yet, before and after."""
    for clear in (lettering._files.cache_clear, lettering._PLACES.clear):
        clear()
    try:
        yield
    finally:
        for clear in (lettering._files.cache_clear, lettering._PLACES.clear):
            clear()


@pytest.fixture
def no_fonts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A machine without any."""
    monkeypatch.setattr(lettering, "_folders", lambda: [tmp_path])
    with looked_for_anew():
        yield


def drawn(text: str, anchor: str = "la", at: tuple[int, int] = (4, 4)) -> np.ndarray:
    image = Image.new("RGB", (700, 48), "white")
    write(ImageDraw.Draw(image), at, text, fill=BLACK, font=FONT, anchor=anchor)
    return np.asarray(image)


@pytest.mark.parametrize("text", ["a fox on purple", "[cat:2] \\(x\\) 12.5 %", ""])
@pytest.mark.parametrize(("anchor", "at"), [("la", (4, 4)), ("lm", (4, 20)), ("rm", (690, 20))])
def test_what_the_font_has_is_drawn_as_pillow_does(text: str, anchor: str, at: tuple[int, int]) -> None:
    image = Image.new("RGB", (700, 48), "white")
    draw = ImageDraw.Draw(image)
    draw.text(at, text, fill=BLACK, font=FONT, anchor=anchor)
    assert np.array_equal(drawn(text, anchor, at), np.asarray(image))
    assert length(draw, text, FONT) == draw.textlength(text, font=FONT)


@pytest.mark.parametrize(
    ("text", "spelled"),
    [
        ("a 🦊 on purple", "a :fox face: on purple"),
        ("狐 red", "U+72D0 red"),
        ("👍🏽❤️", ":thumbs up sign::heavy black heart:"),
        ("лис", "U+043BU+0438U+0441"),
    ],
)
def test_what_no_font_has_is_spelled_out(no_fonts: None, text: str, spelled: str) -> None:
    assert np.array_equal(drawn(text), drawn(spelled))
    ruler = ImageDraw.Draw(Image.new("RGB", (1, 1)))
    assert length(ruler, text, FONT) == length(ruler, spelled, FONT)


def test_another_font_of_the_machine_writes_what_it_has(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    other = next((path for path in lettering._files() if "DejaVuSans.ttf" in path), None)
    if other is None:
        pytest.skip("there is no DejaVu Sans on this machine: apt install fonts-dejavu-core")
    (tmp_path / "fonts").mkdir()
    (tmp_path / "fonts" / "broken.ttf").write_bytes(b"no font")
    (tmp_path / "fonts" / "other.ttf").write_bytes(Path(other).read_bytes())
    monkeypatch.setattr(lettering, "_folders", lambda: [tmp_path / "fonts"])
    with looked_for_anew():
        image = Image.new("RGB", (700, 48), "white")
        draw = ImageDraw.Draw(image)
        font = ImageFont.truetype(other, 22)
        base = 4 + FONT.getmetrics()[0]  # type: ignore[union-attr]
        draw.text((4, base), "лис", fill=BLACK, font=font, anchor="ls")
        at = 4 + draw.textlength("лис", font=font)
        draw.text((at, base), " on :fox face:", fill=BLACK, font=FONT, anchor="ls")
        ours = drawn("лис on 🦊")
        assert np.abs(ours.astype(int) - np.asarray(image).astype(int)).mean() < 1
        assert ours[:, : int(at)].min() < 128, "letters, and no empty place"


def test_sheets_of_such_prompts_have_no_boxes(no_fonts: None) -> None:
    from pipelines.sheet import Panel, Row, sheet

    picture = Image.new("RGB", (320, 320))
    one, other = (sheet([Row((Panel(text, picture),))]) for text in ("🦊", ":fox face:"))
    assert one.tobytes() == other.tobytes()
