"""Requests that nobody would write by hand: whatever comes, the answer is a sentence, and nothing is kept of it."""

from __future__ import annotations

import base64
import contextlib
import json
import random
from collections.abc import Callable, Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from pipelines.recipe import Recipe
from pipelines.techniques import TECHNIQUES
from ui.web.begin import read_picture
from ui.web.calls import Calls
from ui.web.edits import field_asset
from ui.web.limits import Limits
from ui.web.models import Models
from ui.web.server import ledger_function, server_functions
from ui.web.studio import Drawn, Studio
from xattn.errors import BadValue, XattnError

ROUNDS = 25
STRANGE: tuple[Any, ...] = (
    None, True, -1, 0, 0.5, 1e308, 10**30, float("nan"), float("inf"), "", "fox", "\x00", "\ud800", "x" * 5000, [], {},
    [[]], [None], ["fox", 2], ["fox", -1], [0.8, 0.0], [1, "x"], {"a": 1}, {"box": [0, 0, 1, 1]}, {"box": ["a"]},
    {"steps": [0, 1]}, {"steps": {"a": 1}}, {"layers": ["x"]}, {"sha256": "0" * 64},
    {"sha256": "0" * 64, "media": "image/png", "width": 5, "height": 5, "data": "é"},
    [{"prompt": "a", "field": {"box": [0, 0, 1, 1]}}], [{"scale": 1e9, "steps": -1}], [{"kind": ["reweight"]}],
)  # fmt: skip
SOUND = {"word": "fox", "words": ["fox"], "scale": 2.0, "field": {"box": [0, 0, 0.5, 1]}}
TWICE = '{"prompt": "a fox", "prompt": "a cat"}'
FIELDS = [field.name for field in fields(Recipe)] + ["version", "zzz"]


@pytest.fixture(scope="module")
def studio(model: Path) -> Studio:
    """A studio with the tiny model."""
    studio = Studio(Models.in_folder(model.parent), Limits())
    studio.models.get("tiny")
    return studio


def strange_edit(chance: random.Random) -> dict[str, Any]:
    cls = chance.choice(TECHNIQUES)
    names = [field.name for field in fields(cls)]
    named = {"kind": cls.kind} | {name: made for name, made in SOUND.items() if name in names}
    some = [name for name in names if chance.random() < 0.15]
    return named | {name: chance.choice(STRANGE) for name in some}


def strange_recipe(chance: random.Random) -> str:
    made: dict[str, Any] = {"prompt": "a fox", "model": "tiny", "num_inference_steps": 2, "width": 8, "height": 8}
    for _ in range(chance.randrange(3)):
        made[chance.choice(FIELDS)] = chance.choice(STRANGE)
    if chance.random() < 0.5:
        made["edits"] = [strange_edit(chance) for _ in range(chance.randrange(3))]
    return json.dumps(made)


def told(asked: Callable[[], object]) -> str:
    """The sentence that comes of it, none where it is answered. Anything but a sentence of ours is raised."""
    try:
        answer = asked()
        if isinstance(answer, Iterator):
            for event in answer:
                if isinstance(event, Drawn):
                    return ""
    except XattnError as error:
        return str(error)
    return ""


def test_strange_recipes_and_edits_are_drawn_or_refused_in_a_sentence(studio: Studio) -> None:
    chance, calls = random.Random(20), Calls(studio)
    refused = 0
    for _ in range(ROUNDS):
        recipe = strange_recipe(chance)
        edits = json.dumps(
            [strange_edit(chance) for _ in range(2)] if chance.random() < 0.9 else chance.choice(STRANGE)
        )
        for said in (
            told(lambda: calls.generate("ann", recipe)),  # noqa: B023  called at once
            told(lambda: calls.edit("ann", '{"prompt": "a fox", "model": "tiny"}', edits)),  # noqa: B023
        ):
            refused += said != ""
            assert "Traceback" not in said
            assert str(Path(__file__).parents[3]) not in said
    assert ROUNDS < refused < 2 * ROUNDS, "some are sound"
    studio.leave("ann")


@pytest.mark.parametrize(
    "text",
    [
        "", "null", "[]", "{", "[" * 100_000, '{"prompt":' + "[" * 100_000, '{"a":' * 50_000 + "1", "9" * 10_000,
        '{"prompt": "a fox", "seed": ' + "9" * 5000 + "}", '{"prompt": "a fox", "guidance_scale": 1e400}',
        '{"prompt": "a fox", "guidance_scale": NaN}', '{"prompt": "a fox", "seed": true}', '{"prompt": "\\ud800"}',
        "x" * 10**6, "\ud800" * 9, TWICE, None, 3, [1], {"prompt": "a fox"},
    ],
)  # fmt: skip
def test_text_that_is_no_recipe_and_no_edits_is_a_sentence(studio: Studio, text: Any) -> None:
    calls = Calls(studio)
    assert told(lambda: calls.generate("ann", text)).endswith(".")
    edits = '{"edits": 3}' if text in ("[]", TWICE) else text  # no edits at all are sound
    assert told(lambda: calls.edit("ann", '{"prompt": "a fox", "model": "tiny"}', edits)).endswith((".", "?"))


def test_what_the_viewer_asks_is_answered_whatever_it_asks(studio: Studio) -> None:
    *_, drawn = Calls(studio).generate("ann", '{"prompt": "a fox", "model": "tiny", "seed": 1}')
    assert isinstance(drawn, Drawn)
    where, maps = server_functions(studio)
    ledger = ledger_function(studio)
    chance = random.Random(21)
    for _ in range(ROUNDS):
        selection = {name: chance.choice(STRANGE) for name in ("step", "layers", "head")}
        asked = [drawn.run.id, chance.choice(STRANGE), chance.choice(STRANGE), selection]
        for answer in (where(asked), where(chance.choice(STRANGE)), maps([drawn.run.id, selection]), maps(asked)):
            json.dumps(answer)
            assert "not your mistake" not in str(answer)[:200]
        json.dumps(ledger(chance.choice(STRANGE)))
    studio.leave("ann")


@pytest.mark.parametrize("data", ["é", "\ud800", "!", "AAA", None, 3, ["AAAA"], base64.b64encode(b"GIF89a").decode()])
def test_what_is_no_picture_is_a_sentence(data: Any) -> None:
    for read in (read_picture, field_asset):
        with pytest.raises(BadValue):
            read(data, Limits())


def test_a_recipe_without_a_seed_is_edited_by_its_own_model(studio: Studio) -> None:
    *_, drawn = Calls(studio).edit(
        "ann", '{"prompt": "a fox", "model": "tiny"}', '[{"kind": "reweight", "word": "fox", "scale": 2}]'
    )
    assert isinstance(drawn, Drawn)
    assert studio.models.names[0] != "tiny", "which is not the one that is meant where none is named"
    with pytest.raises(XattnError, match=r'no part of edits_json "seed"\. Known: prompt, edits'):
        Calls(studio).edit("ann", '{"prompt": "a fox"}', '{"prompt": "a cat", "seed": 3}')


def test_a_place_in_line_is_given_back_whatever_happens(studio: Studio) -> None:
    with contextlib.suppress(XattnError):
        list(Calls(studio).generate("ann", '{"prompt": "a fox", "model": "tiny", "seed": -1}'))
    assert not studio.line.draws("ann")
