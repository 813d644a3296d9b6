import contextlib
import hashlib
import json
import math
import os
import subprocess
import sys
from dataclasses import FrozenInstanceError, replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipelines import recipe_json
from pipelines.fields import with_fields
from pipelines.recipe import ENGINE, MAX_SEED, ModelRef, Recipe
from pipelines.sampler_names import SCHEDULERS
from xattn.errors import BadValue, UnknownName, Unsupported, XattnError

STORED = Path(__file__).parent / "recipes"
FULL = Recipe(
    "a red fox, “crème brûlée” 🦊",
    negative_prompt="blurry",
    seed=42,
    num_inference_steps=20,
    guidance_scale=7.5,
    scheduler="dpmpp_2m",
    sigmas="karras",
    width=128,
    height=64,
    model=ModelRef("emoji-128", "ab" * 32),
    source=Recipe(
        "a fox",
        seed=42,
        num_inference_steps=20,
        guidance_scale=7.5,
        scheduler="ddim",
        width=128,
        height=64,
        model=ModelRef("emoji-128", "ab" * 32),
    ),
)
FULL_HASH = "59ba8509380d0a265548f22f4835fe92af301778f86e421dd64bcbc9dc7e4f2a"

unhurried = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
prompts = st.text(min_size=1).filter(str.strip)
sides = st.integers(1, 256).map(lambda n: 8 * n)
models = st.builds(ModelRef, prompts, st.none() | st.binary(min_size=32, max_size=32).map(bytes.hex))


def recipes(source: st.SearchStrategy[Recipe | None]) -> st.SearchStrategy[Recipe]:
    able = st.sampled_from([(name, "model") for name in SCHEDULERS] + [("euler", "karras"), ("unipc", "karras")])
    return st.builds(
        lambda pair, **fields: Recipe(scheduler=pair[0], sigmas=pair[1], **fields),
        able | st.just((None, "model")) | st.just((None, "karras")),
        prompt=prompts,
        negative_prompt=st.text(),
        seed=st.none() | st.integers(0, MAX_SEED),
        num_inference_steps=st.none() | st.integers(1, 1000),
        guidance_scale=st.none() | st.floats(0, 1000),
        width=st.none() | sides,
        height=st.none() | sides,
        model=st.none() | models,
        source=source,
    )


any_recipe = recipes(st.none() | recipes(st.none()))


@unhurried
@given(any_recipe)
def test_json_gives_the_recipe_back(recipe):
    again = Recipe.from_json(recipe.to_json())
    assert again == recipe
    assert hash(again) == hash(recipe)
    assert again.to_json() == recipe.to_json()
    assert Recipe.from_json(json.loads(recipe.to_json())) == recipe
    assert Recipe.from_json(recipe.to_json().encode()) == recipe


@unhurried
@given(any_recipe)
def test_json_is_sorted_compact_and_without_defaults(recipe):
    text = recipe.to_json()
    document = json.loads(text)
    assert list(document) == sorted(document)
    assert text == json.dumps(document, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    assert None not in document.values()
    assert ("negative_prompt" in document) == (recipe.negative_prompt != "")
    assert document["version"] == 1


def test_a_hash_is_the_same_for_ever():
    assert FULL.hash == FULL_HASH
    assert FULL.hash == hashlib.sha256(FULL.to_json().encode()).hexdigest()


def test_a_hash_is_the_same_in_another_process_and_needs_no_torch():
    code = (
        "import sys; from pipelines.recipe import Recipe; "
        "print(Recipe.from_json(sys.stdin.buffer.read()).hash, 'torch' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        input=FULL.to_json().encode(),
        capture_output=True,
        check=True,
        env=os.environ | {"PYTHONHASHSEED": "7", "PYTHONPATH": str(Path(__file__).parents[2])},
    )
    assert done.stdout.decode().split() == [FULL_HASH, "False"]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (Recipe("a", guidance_scale=7), Recipe("a", guidance_scale=7.0)),
        (Recipe("a", guidance_scale=-0.0), Recipe("a", guidance_scale=0.0)),
        (Recipe("a", scheduler="DPM++ 2M Karras"), Recipe("a", scheduler="dpmpp_2m", sigmas="karras")),
        (Recipe("a", seed=np.int64(3), width=np.int32(64)), Recipe("a", seed=3, width=64)),
        (Recipe("a", guidance_scale=np.float32(1.5)), Recipe("a", guidance_scale=1.5)),
    ],
)
def test_equal_recipes_are_equal_text(one, other):
    assert one == other
    assert one.to_json() == other.to_json()


def test_every_field_counts_in_the_hash():
    changed = {
        "prompt": "a cat",
        "negative_prompt": "",
        "seed": 43,
        "num_inference_steps": 21,
        "guidance_scale": 7.25,
        "scheduler": "unipc",
        "sigmas": "model",
        "width": 64,
        "height": 128,
        "model": ModelRef("emoji-128", "cd" * 32),
        "source": None,
    }
    hashes = {FULL.hash} | {replace(FULL, **{name: value}).hash for name, value in changed.items()}
    assert len(hashes) == len(changed) + 1


def test_only_a_resolved_recipe_has_a_hash():
    for name in ("seed", "num_inference_steps", "guidance_scale", "scheduler", "width", "height", "model"):
        with pytest.raises(BadValue, match=f"open in {name}"):
            _ = replace(FULL, **{name: None}).hash
    with pytest.raises(BadValue, match=r"model\.sha256"):
        _ = replace(FULL, model=ModelRef("emoji-128")).hash
    with pytest.raises(BadValue, match=r"source\.seed"):
        _ = replace(FULL, source=replace(FULL.source, seed=None)).hash


@pytest.mark.parametrize("path", ["/home/ann/emoji-128", "models/emoji-128/", "C:\\models\\emoji-128", "../emoji-128"])
def test_where_a_model_lies_is_not_part_of_the_recipe(path):
    elsewhere = replace(FULL, model=ModelRef(path, "ab" * 32))
    assert elsewhere.portable() == FULL
    assert elsewhere.hash == FULL.hash


def test_a_recipe_is_frozen():
    with pytest.raises(FrozenInstanceError):
        FULL.seed = 1


BAD = [
    ({"prompt": ""}, "prompt", "with at least one word"),
    ({"prompt": " \n\t"}, "prompt", "with at least one word"),
    ({"prompt": None}, "prompt", "text"),
    ({"prompt": "half a pair \ud800"}, "prompt", "UTF-8"),
    ({"negative_prompt": None}, "negative_prompt", "text"),
    ({"seed": -1}, "seed", "from 0 to"),
    ({"seed": 2**63}, "seed", "from 0 to"),
    ({"seed": 10**5000}, "seed", "from 0 to"),
    ({"seed": 1.0}, "seed", "whole number"),
    ({"seed": True}, "seed", "whole number"),
    ({"seed": "7"}, "seed", "whole number"),
    ({"num_inference_steps": 0}, "num_inference_steps", "from 1 to 1000"),
    ({"num_inference_steps": -4}, "num_inference_steps", "from 1 to 1000"),
    ({"num_inference_steps": 10**9}, "num_inference_steps", "from 1 to 1000"),
    ({"num_inference_steps": 20.0}, "num_inference_steps", "whole number"),
    ({"num_inference_steps": True}, "num_inference_steps", "whole number"),
    ({"guidance_scale": math.nan}, "guidance_scale", "from 0 to"),
    ({"guidance_scale": math.inf}, "guidance_scale", "from 0 to"),
    ({"guidance_scale": -0.5}, "guidance_scale", "from 0 to"),
    ({"guidance_scale": 10**400}, "guidance_scale", "from 0 to"),
    ({"guidance_scale": "7"}, "guidance_scale", "number"),
    ({"width": 130}, "width", "The nearest is 128"),
    ({"height": 2056}, "height", "The nearest is 2048"),
    ({"height": 0}, "height", "The nearest is 8"),
    ({"width": -(10**5000)}, "width", "multiple of 8"),
    ({"width": 64.0}, "width", "multiple of 8"),
    ({"sigmas": "exponential"}, "sigmas", "karras"),
    ({"model": "emoji-128"}, "model", "ModelRef"),
    ({"edits": ("paint",)}, "edits", "tuple of edits"),
    ({"source": "a fox"}, "source", "Recipe"),
    ({"source": FULL}, "source", "one step deep. Give its source in its place: source=recipe.source."),
    ({"engine": ENGINE + 1}, "engine", "newer"),
    ({"engine": 0}, "engine", "from 1"),
]


@pytest.mark.parametrize(("fields", "parameter", "says"), BAD)
def test_a_mistake_is_one_sentence_that_names_it(fields, parameter, says):
    with pytest.raises(BadValue) as caught:
        Recipe(**{"prompt": "a fox"} | fields)
    assert caught.value.parameter == parameter
    assert says in str(caught.value)
    assert "\n" not in str(caught.value).replace("\\n", "")


def test_an_unknown_scheduler_is_told_the_nearest():
    with pytest.raises(UnknownName, match='Did you mean "dpmpp_2m"'):
        Recipe("a", scheduler="dpmp_2m")
    with pytest.raises(UnknownName):
        Recipe("a", scheduler=3)
    with pytest.raises(Unsupported, match="ddim cannot run on Karras"):
        Recipe("a", scheduler="ddim", sigmas="karras")


def test_the_ends_of_each_range_are_allowed():
    Recipe("a", seed=0, num_inference_steps=1, guidance_scale=0, width=8, height=2048)
    Recipe("a", seed=MAX_SEED, num_inference_steps=1000, guidance_scale=1000.0)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "JSON object"),
        ("[1", "line 1"),
        ("[]", "JSON object"),
        ("null", "JSON object"),
        ("[" * 100_000, "sensible size"),
        ('{"prompt": "a", "seed": ' + "9" * 5000 + "}", "sensible size"),
        ('{"prompt": "a", "guidance_scale": NaN}', "finite"),
        ('{"prompt": "a", "guidance_scale": 1e999}', "guidance_scale is inf"),
        ('{"prompt": "a", "prompt": "b"}', "'prompt' twice"),
        ("{}", "prompt"),
        ('{"prompt": 3}', "prompt is 3"),
        ('{"prompt": "a", "sed": 3}', 'Did you mean "seed"'),
        ('{"prompt": "a", "seed": "3"}', "seed is '3'"),
        ('{"prompt": "a", "num_inference_steps": 20.5}', "num_inference_steps is 20.5"),
        ('{"prompt": "a", "width": [64]}', "width is [64]"),
        ('{"prompt": "a", "scheduler": 1}', "no scheduler 1"),
        ('{"prompt": "a", "model": 1}', "model is 1"),
        ('{"prompt": "a", "model": {"sha256": null}}', "model is"),
        ('{"prompt": "a", "model": {"name": "m", "sha": "x"}}', 'Did you mean "sha256"'),
        ('{"prompt": "a", "model": {"name": "m", "sha256": "AB"}}', "64 hexadecimal"),
        ('{"prompt": "a", "edits": {}}', "edits is {}"),
        ('{"prompt": "a", "source": []}', "source is []"),
        ('{"prompt": "a", "source": {"prompt": "b", "sed": 1}}', 'Did you mean "seed"'),
        ('{"prompt": "a", "version": 2}', "newer xattn"),
        ('{"prompt": "a", "version": 0}', "version is 0"),
        ('{"prompt": "a", "version": "1"}', "version is '1'"),
        (b'{"prompt": "\xff"}', "UTF-8"),
        ('{"prompt": "\\ud800"}', "UTF-8"),
    ],
)
def test_wrong_json_is_one_sentence(text, says):
    with pytest.raises(XattnError) as caught:
        Recipe.from_json(text)
    assert says in str(caught.value)


@unhurried
@given(st.text() | st.binary())
def test_no_text_crashes_the_reader(text):
    with contextlib.suppress(XattnError):
        Recipe.from_json(text)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(), inner, max_size=2),
    max_leaves=4,
)


@unhurried
@given(st.dictionaries(st.sampled_from([*Recipe.__dataclass_fields__, "version"]), json_values))
def test_no_value_crashes_the_reader(document):
    try:
        recipe = Recipe.from_json(document)
    except XattnError:
        return
    assert Recipe.from_json(recipe.to_json()) == recipe


def test_a_line_written_by_hand_is_enough():
    assert Recipe.from_json('{"prompt": "a fox", "model": "emoji-128", "scheduler": "Euler a"}') == Recipe(
        "a fox", model=ModelRef("emoji-128"), scheduler="euler_a"
    )


@pytest.mark.parametrize(
    ("name", "recipe"),
    [
        ("v1_full.json", FULL),
        ("v1_least.json", Recipe("a fox")),
        ("v1_engine_1.json", Recipe("a fox", seed=1, engine=1)),
    ],
)
def test_stored_old_recipes_still_mean_the_same(name, recipe):
    assert Recipe.from_json((STORED / name).read_bytes()) == recipe


def test_old_documents_are_brought_up_step_by_step():
    migrations = {
        1: lambda old: {"text" if key == "prompt" else key: value for key, value in old.items()},
        2: lambda old: old | {"text": old["text"].strip()},
    }
    old = recipe_json.parse((STORED / "v1_least.json").read_bytes())
    before = dict(old)
    assert recipe_json.upgrade(old, 3, migrations) == {"engine": 1, "text": "a fox"}
    assert recipe_json.upgrade({"version": 2, "text": " a fox "}, 3, migrations) == {"text": "a fox"}
    assert recipe_json.upgrade({"version": 3, "text": " a "}, 3, migrations) == {"text": " a "}
    assert recipe_json.upgrade({"text": " a "}, 3, migrations) == {"text": " a "}, "written by hand: the present form"
    assert old == before, "the caller's document is left alone"


def test_every_old_version_has_its_migration():
    assert sorted(recipe_json.MIGRATIONS) == list(range(1, recipe_json.VERSION))


def test_a_keyword_of_the_call_that_is_no_field_is_a_sentence_with_the_nearest_one():
    with pytest.raises(UnknownName, match=r'no recipe field "steps".*Did you mean "num_inference_steps"'):
        with_fields("a fox", {"steps": 3})
    with pytest.raises(UnknownName, match=r'Did you mean "guidance_scale"'):
        with_fields(Recipe("a fox"), {"guidance_scal": 3.0})
