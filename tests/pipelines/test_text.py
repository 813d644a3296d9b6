from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from pipelines.text import TextEncoder
from xattn.errors import BadModel, BadValue

PROMPTS = ["a fox on red", "", "“a fox’s”  ＲＥＤ 🦊", "a fox on red"]
LONG = "a fox above a castle, " * 30


@pytest.fixture(scope="module")
def sd1(
    tmp_path_factory: pytest.TempPathFactory, sd1_tokenizer: Path, write_tower: Callable[..., Any]
) -> tuple[Path, Any]:
    root = tmp_path_factory.mktemp("sd1")
    shutil.copytree(sd1_tokenizer, root / "tokenizer")
    return root, write_tower(root / "text_encoder", eos_token_id=2)


@pytest.fixture(scope="module")
def sdxl(
    tmp_path_factory: pytest.TempPathFactory, sd1_tokenizer: Path, sd2_tokenizer: Path, write_tower: Callable[..., Any]
) -> tuple[Path, Any, Any]:
    root = tmp_path_factory.mktemp("sdxl")
    shutil.copytree(sd1_tokenizer, root / "tokenizer")
    shutil.copytree(sd2_tokenizer, root / "tokenizer_2")
    # SDXL's first tower has no projection; with one here, reading the pooled text from the wrong tower shows
    first = write_tower(root / "text_encoder", seed=1, projection=True, eos_token_id=2)
    second = write_tower(root / "text_encoder_2", seed=2, projection=True, hidden_act="gelu", hidden_size=40)
    return root, first, second


def tokenise(folder: Path, prompts: list[str]) -> Tensor:
    from transformers import CLIPTokenizer

    tokenizer = CLIPTokenizer.from_pretrained(str(folder), local_files_only=True)
    ids: Tensor = tokenizer(
        prompts, padding="max_length", max_length=77, truncation=True, return_tensors="pt"
    ).input_ids
    return ids


def close(ours: Tensor, theirs: Tensor, tolerance: float = 1e-5) -> bool:
    return bool((ours - theirs).abs().max() <= tolerance * theirs.abs().max())


def test_sd1_text_equals_transformers(sd1: tuple[Path, Any]) -> None:
    root, model = sd1
    encoded = TextEncoder.from_folder(root).encode(PROMPTS)
    with torch.no_grad():
        assert close(encoded.hidden, model(tokenise(root / "tokenizer", PROMPTS)).last_hidden_state)
    assert encoded.hidden.shape == (4, 77, 32)
    assert encoded.pooled is None
    assert [ledger.prompt for ledger in encoded.ledgers] == PROMPTS


def test_clip_skip_reads_a_lower_layer_with_the_final_norm(sd1: tuple[Path, Any]) -> None:
    root, model = sd1
    encoded = TextEncoder.from_folder(root).encode(PROMPTS, clip_skip=1)
    with torch.no_grad():
        states = model(tokenise(root / "tokenizer", PROMPTS), output_hidden_states=True).hidden_states
        assert close(encoded.hidden, model.final_layer_norm(states[-2]))


def test_sdxl_text_is_both_penultimate_layers_side_by_side_and_the_second_towers_pooled_text(
    sdxl: tuple[Path, Any, Any],
) -> None:
    root, first, second = sdxl
    encoded = TextEncoder.from_folder(root).encode(PROMPTS)
    with torch.no_grad():
        left = first(tokenise(root / "tokenizer", PROMPTS), output_hidden_states=True).hidden_states[-2]
        right = second(tokenise(root / "tokenizer_2", PROMPTS), output_hidden_states=True)
    assert close(encoded.hidden, torch.cat([left, right.hidden_states[-2]], dim=-1))
    assert encoded.pooled is not None
    assert close(encoded.pooled, right.text_embeds)


def test_a_long_prompt_is_its_chunks_encoded_one_by_one(sdxl: tuple[Path, Any, Any]) -> None:
    encoder = TextEncoder.from_folder(sdxl[0])
    encoded = encoder.encode([LONG, "a fox"])
    assert encoder.chunks(LONG) == 3
    assert encoded.hidden.shape == (2, 3 * 77, 72)
    assert [len(ledger.tokens) for ledger in encoded.ledgers] == [231, 231]
    first = [word for word in encoded.ledgers[0].words if max(word.tokens) < 77]
    alone = encoder.encode([LONG[: first[-1].end]])
    assert close(encoded.hidden[:1, :70], alone.hidden[:, :70])
    assert encoded.pooled is not None
    short = encoder.encode(["a fox", ""])
    assert short.pooled is not None
    assert close(encoded.hidden[1], torch.cat([short.hidden[0], short.hidden[1], short.hidden[1]]))
    assert close(encoded.pooled[1], short.pooled[0])


def test_a_ledger_names_the_columns_of_what_was_encoded(sd1: tuple[Path, Any]) -> None:
    encoder = TextEncoder.from_folder(sd1[0])
    plain = encoder.encode(["a red fox"])
    other = encoder.encode(["a red cat"])
    changed = (plain.hidden != other.hidden).any(dim=-1)[0]
    (column,) = encoder.ledger("a red fox").columns("fox")
    assert not changed[:column].any()
    assert changed[column]


def test_rows_do_not_depend_on_each_other_and_equal_prompts_are_equal(sd1: tuple[Path, Any]) -> None:
    encoder = TextEncoder.from_folder(sd1[0])
    together = encoder.encode(PROMPTS)
    assert torch.equal(together.hidden[0], together.hidden[3])
    for row, prompt in enumerate(PROMPTS):
        assert close(together.hidden[row : row + 1], encoder.encode([prompt]).hidden)


def test_threads_never_disturb_each_other(sd1: tuple[Path, Any]) -> None:
    encoder = TextEncoder.from_folder(sd1[0])
    prompts = [f"{'a fox ' * (row % 40)} {row}" for row in range(24)]
    expected = [encoder.encode([prompt]) for prompt in prompts]
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda prompt: encoder.encode([prompt]), prompts))
    for ours, theirs in zip(found, expected, strict=True):
        assert torch.equal(ours.hidden, theirs.hidden)
        assert ours.ledgers == theirs.ledgers


@pytest.mark.parametrize("prompts", [[], "a fox", [None], ["a fox", 3], ["\ud800"]])
def test_what_is_no_list_of_prompts_is_refused(sd1: tuple[Path, Any], prompts: list[str]) -> None:
    with pytest.raises(BadValue, match="prompt"):
        TextEncoder.from_folder(sd1[0]).encode(prompts)


def test_fewer_chunks_than_a_prompt_takes_are_refused(sd1: tuple[Path, Any]) -> None:
    encoder = TextEncoder.from_folder(sd1[0])
    assert encoder.encode(["a fox"], chunks=2).hidden.shape == (1, 154, 32)
    with pytest.raises(BadValue, match="chunks is 1, but it must be at least 3"):
        encoder.encode([LONG], chunks=1)


def copied(source: Path, target: Path) -> Path:
    shutil.copytree(source, target)
    return target


def test_folders_whose_parts_do_not_belong_together_are_named(
    tmp_path: Path, sd1: tuple[Path, Any], sdxl: tuple[Path, Any, Any], write_tower: Callable[..., Any]
) -> None:
    from weights.train import tokenizer as clip

    with pytest.raises(BadModel, match="has no text_encoder folder"):
        TextEncoder.from_folder(tmp_path)
    root = copied(sd1[0], tmp_path / "no tokenizer")
    shutil.rmtree(root / "tokenizer")
    with pytest.raises(BadModel, match="no tokenizer folder"):
        TextEncoder.from_folder(root)
    root = copied(sd1[0], tmp_path / "few rows")
    write_tower(root / "text_encoder", vocab_size=1000, eos_token_id=2, bos_token_id=1)
    with pytest.raises(BadModel, match=r"ids up to 49407, but .* rows for 1000 only"):
        TextEncoder.from_folder(root)
    root = copied(sdxl[0], tmp_path / "two cuts")
    clip.build(root / "tokenizer", ["fox"])
    with pytest.raises(BadModel, match="cut a prompt differently"):
        TextEncoder.from_folder(root)
    root = copied(sdxl[0], tmp_path / "wrong end")
    config = root / "text_encoder_2" / "config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | {"eos_token_id": 320}))
    with pytest.raises(BadModel, match=r"eos_token_id is 320, but .* ends a prompt with 49407"):
        TextEncoder.from_folder(root)


def test_importing_the_text_side_imports_neither_transformers_nor_open_clip() -> None:
    check = "import sys, pipelines.text, pipelines.vocabulary; print({'transformers', 'open_clip'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
