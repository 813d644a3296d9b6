from __future__ import annotations

import re
import time
from itertools import pairwise

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pipelines.prompt import Alternate, Change, Lora, Reading, Text, When, escape, parse, read, readings
from pipelines.prompt.parser import MAX_LENGTH
from xattn.errors import BadValue, Unsupported, XattnError

FRAGMENTS = [*"()[]:|\\ <>,ab1.-é🦊", "BREAK", "BREAK ", ":1.3)", ":.5]", ":3]", "<lora:x:", "lora:", "<lyco:y>"]
prompts = st.one_of(st.lists(st.sampled_from(FRAGMENTS), max_size=24).map("".join), st.text(max_size=40))


def said(prompt: str, step: int = 0, steps: int = 10) -> list[list[tuple[str, float]]]:
    """Text and weight of every run, block by block."""
    return [[(run.text, run.weight) for run in block] for block in read(parse(prompt), step, steps).blocks]


UP, DOWN = 1.1, 1 / 1.1


@pytest.mark.parametrize(
    ("prompt", "runs"),
    [
        ("normal text", [("normal text", 1)]),
        ("an (important) word", [("an ", 1), ("important", UP), (" word", 1)]),
        ("(fox:1.3)", [("fox", 1.3)]),
        ("(fox: 1.3 )", [("fox", 1.3)]),
        ("(fox:+.5) (cat:-1.) ", [("fox", 0.5), (" ", 1), ("cat", -1), (" ", 1)]),
        ("[fox]", [("fox", DOWN)]),
        ("((fox))", [("fox", UP * UP)]),
        ("([fox])", [("fox", 1)]),
        ("((fox:1.5) cat:2)", [("fox", 3), (" cat", 2)]),
        ("(one)(two)", [("onetwo", UP)]),
        ("fo(x:1)", [("fox", 1)]),
        # what the web UI's own documentation of its parser gives
        (
            "a (((house:1.3)) [on] a (hill:0.5), sun, (((sky))).",
            [
                *(("a ", 1), ("house", 1.5730000000000004), (" ", UP), ("on", 1), (" a ", UP), ("hill", 0.55)),
                *((", sun, ", UP), ("sky", 1.4641000000000006), (".", UP)),
            ],
        ),
        # left open: to the end; never opened: text
        ("(unbalanced", [("unbalanced", UP)]),
        ("a [b", [("a ", 1), ("b", DOWN)]),
        ("a) b] c:1.3)", [("a) b] c:1.3)", 1)]),
        # crossed
        ("(a [b) c]", [("a ", UP), ("b", 1), (" c", DOWN)]),
        ("[a (b] c:1.5)", [("a ", DOWN), ("b", 1.5 * DOWN), (" c", 1.5)]),
        # colons that weigh nothing
        ("(a:b)", [("a:b", UP)]),
        ("(a:b:1.3)", [("a:b", 1.3)]),
        ("(a:1.2.3)", [("a:1.2.3", UP)]),
        ("[a:b]", [("a:b", DOWN)]),
        ("[a|b:3]", [("a|b:3", DOWN)]),
        ("a | b: c", [("a | b: c", 1)]),
        ("()[](:1.3)", []),
        (":-) :( x", [(":-) :", 1), (" x", UP)]),
        # escapes; a backslash before anything else goes away
        (r"\(literal\]", [("(literal]", 1)]),
        (r"(a\:1.3)", [("a:1.3", UP)]),
        (r"\\(a\)", [("\\", 1), ("a)", UP)]),
        ("a\\b\\", [("ab", 1)]),
    ],
)
def test_weights_are_those_of_the_web_ui(prompt: str, runs: list[tuple[str, float]]) -> None:
    assert said(prompt) == [runs]


@pytest.mark.parametrize(
    ("prompt", "texts"),
    [
        # what the web UI's own documentation of its schedules gives, for ten steps
        ("test", ["test"] * 10),
        ("a [b:3]", ["a "] * 3 + ["a b"] * 7),
        ("a [b: 3 ]", ["a "] * 3 + ["a b"] * 7),
        ("a [[[b]]:2]", ["a "] * 2 + ["a b"] * 8),
        ("[(a:2):3]", [""] * 3 + ["a"] * 7),
        ("a [b : c : 1] d", ["a b  d"] + ["a  c  d"] * 9),
        ("a[b:[c:d:2]:1]e", ["abe", "ace"] + ["ade"] * 8),
        ("a [b:.5] c", ["a  c"] * 5 + ["a b c"] * 5),
        ("a [b::0.3] c", ["a b c"] * 3 + ["a  c"] * 7),
        ("[a|(b:1.1)]", ["a", "b"] * 5),
        ("[fe|]male", ["female", "male"] * 5),
        ("[fe||ma]le", ["fele", "le", "male"] * 3 + ["fele"]),
        ("[a|[b|c]]", ["a", "c"] * 5),
        # a whole number is a step, one with a point is a fraction; never past the last step
        ("[a:b:1]", ["a"] + ["b"] * 9),
        ("[a:b:1.0]", ["a"] * 10),
        ("[a:b:99]", ["a"] * 10),
        ("[a:b:0]", ["b"] * 10),
        ("[a:b:-2]", ["b"] * 10),
        # brackets that do not match change nothing over the steps
        ("((a][:b:c [d:3]", ["a]:b:c "] * 3 + ["a]:b:c d"] * 7),
        ("[(a:b:3]", ["a:b:3"] * 10),
        ("[a:b:c:3]", ["a:b:c:3"] * 10),
        ("[a:b:three]", ["a:b:three"] * 10),
        ("[a\\:b:3]", [""] * 3 + ["a:b"] * 7),
        ("x | [a:b:5]", ["x | a"] * 5 + ["x | b"] * 5),
    ],
)
def test_changes_over_the_steps_are_those_of_the_web_ui(prompt: str, texts: list[str]) -> None:
    assert [reading.text for reading in readings(prompt, 10)] == texts


def test_a_weight_may_change_over_the_steps() -> None:
    for prompt in ("(a:[1.2:0.8:1]) b", "[(a:1.2):(a:0.8):1] b"):
        assert [said(prompt, step) for step in (0, 1)] == [[[("a", 1.2), (" b", 1)]], [[("a", 0.8), (" b", 1)]]]
    assert said("(a:[1.2|0.8])", 3) == [[("a", 0.8)]]
    assert said("(a:[x:y:3])") == [[("a:x", UP)]]


@pytest.mark.parametrize(
    ("prompt", "blocks"),
    [
        ("a BREAK b", [["a"], ["b"]]),
        ("a\nBREAK\n  BREAK b", [["a"], [], ["b"]]),
        ("BREAK a BREAK", [[], ["a"], []]),
        ("BREAKFAST break ABREAK", [["BREAKFAST break ABREAK"]]),
        ("(a BREAK b:1.3)", [["a"], ["b"]]),
        ("[a BREAK b:c:0]", [["c"]]),
        (r"a B\REAK b", [["a BREAK b"]]),
    ],
)
def test_break_begins_a_new_block(prompt: str, blocks: list[list[str]]) -> None:
    assert [[text for text, _ in block] for block in said(prompt)] == blocks


@pytest.mark.parametrize(
    ("tag", "lora"),
    [
        ("<lora:ink>", Lora("ink", 1.0, 1.0)),
        ("<lora:ink:0.8>", Lora("ink", 0.8, 0.8)),
        ("<lyco:my ink v2:-.5>", Lora("my ink v2", -0.5, -0.5)),
        ("<lora:ink:0.8:0.4>", Lora("ink", 0.4, 0.8)),
        ("<lora:ink:te=0.8:unet=0.4>", Lora("ink", 0.4, 0.8)),
        ("<lora:ink:0.8:unet=0.4>", Lora("ink", 0.4, 0.8)),
    ],
)
def test_loras_are_handed_on_and_read_as_nothing(tag: str, lora: Lora) -> None:
    prompt = parse(f"a fo{tag}x [b:{tag}:3]")
    assert prompt.loras == (lora, lora)
    assert read(prompt, 0, 10).text == "a fox b"
    assert parse(str(prompt)) == prompt


@pytest.mark.parametrize("tag", ["<lora:ink:much>", "<lora: :1>", "<lora:a:1:2:3>", "<lora:a:dyn=3>", "<lora:a:1e9>"])
def test_a_lora_that_cannot_be_read_is_a_sentence(tag: str) -> None:
    with pytest.raises(BadValue, match=re.escape(tag)) as raised:
        parse(f"a fox {tag}")
    assert "<lora:name:0.8>" in str(raised.value)


def test_a_hypernetwork_is_a_sentence() -> None:
    with pytest.raises(Unsupported, match="<hypernet:old:1>"):
        parse("a <hypernet:old:1>")


def test_other_angles_are_text() -> None:
    assert said("i <3 you <b> 1<2 <lora>") == [[("i <3 you <b> 1<2 <lora>", 1)]]


@pytest.mark.parametrize("prompt", ["(a:101)", "((a:50):3)", "(" * 50 + "a", "(a:-999999999)"])
def test_a_weight_beyond_sense_is_a_sentence(prompt: str) -> None:
    with pytest.raises(BadValue, match=r"prompt weight is .* from -100 to 100"):
        parse(prompt)


@pytest.mark.parametrize("prompt", ["(" * 51, "[" * 60 + "a" + "]" * 60, "[(" * 40, "(]" * 90])
def test_brackets_without_end_are_a_sentence(prompt: str) -> None:
    with pytest.raises(BadValue, match="50 deep"):
        parse(prompt)


def test_a_prompt_without_end_is_a_sentence() -> None:
    with pytest.raises(BadValue, match=r"50001 characters.* at most 50000"):
        parse("a" * (MAX_LENGTH + 1))


@pytest.mark.parametrize("fragment", ["\\(", "(a)", ")", "[a:b:3] ", " ", ": ", "a BREAK  ", "<lora:"])
def test_the_longest_prompts_are_read_in_no_time(fragment: str) -> None:
    started = time.process_time()
    readings(fragment * (MAX_LENGTH // len(fragment)), 2)
    assert time.process_time() - started < 5


@given(prompts, st.integers(1, 12))
@example("a\\", 1)
@example("<lora\\:a(b)>", 1)
def test_any_text_is_read_or_refused_in_a_sentence_and_its_normal_form_reads_the_same(prompt: str, steps: int) -> None:
    try:
        parsed = parse(prompt)
    except XattnError:
        return
    again = parse(str(parsed))
    assert again == parsed
    assert str(again) == str(parsed)
    for step in range(steps):
        assert said(str(parsed), step, steps) == said(prompt, step, steps)


@given(st.text(st.characters(codec="utf-8"), max_size=60))
def test_escaped_text_is_read_letter_for_letter(text: str) -> None:
    assert read(parse(escape(text)), 0, 1).text == text
    (change,) = parse(f"[a:{escape(text, inside=True)}b:3]").nodes
    assert change == Change((Text("a"),), (Text(f"{text}b"),), When(3, fraction=False))


@given(st.text(st.characters(codec="utf-8", exclude_characters="\\()[]<B|"), max_size=60))
def test_a_prompt_without_syntax_is_one_run_letter_for_letter(prompt: str) -> None:
    plain = Reading.plain(prompt)
    assert all(reading == plain or (not prompt and reading.text == "") for reading in readings(prompt, 3))


@given(prompts)
def test_every_character_that_is_read_is_where_it_is_said_to_be(prompt: str) -> None:
    try:
        parsed = parse(prompt)
    except XattnError:
        return
    for step in range(3):
        places = []
        for run in (run for block in read(parsed, step, 3).blocks for run in block):
            assert len(run.text) == len(run.places)
            for character, (start, end) in zip(run.text, run.places, strict=True):
                assert prompt[start:end] in (character, f"\\{character}")
            places += run.places
        assert all(one[1] <= other[0] for one, other in pairwise(places))


def test_pieces_are_what_chips_show() -> None:
    prompt = parse("a (red [fox:cat:0.5]:1.2) [b|c]")
    pieces = [(piece.text, prompt.text[piece.start : piece.end], piece.weight) for piece in prompt.pieces]
    assert pieces == [
        ("a ", "a ", 1),
        ("red ", "red ", 1.2),
        ("fox", "fox", 1.2),
        ("cat", "cat", 1.2),
        (" ", " ", 1),
        ("b", "b", 1),
        ("c", "c", 1),
    ]
    assert [(type(piece.within), piece.branch) for piece in prompt.pieces if piece.within] == [
        (Change, 0),
        (Change, 1),
        (Alternate, 0),
        (Alternate, 1),
    ]
    assert prompt.changes
    assert not parse("(a:1.3) BREAK b").changes
