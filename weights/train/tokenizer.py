"""The default model's tokenizer: CLIP's, cut down to what a small model can learn.

A byte-pair encoding keeps its meaning under any prefix of its merges, and under any more merges that are closed
(each merge's two halves can still be built) and stay in rank order: at every step the lowest rank present wins, so
a word whose own merges are all kept is cut exactly as CLIP cuts it. The first 8,000 merges plus those that the
world's words use keep "purple" and "doughnut" whole in 8.7 thousand rows of the embedding instead of 49 thousand.

The merges are those of Radford et al. 2021, "Learning Transferable Visual Models", from the file in `open_clip`.
"""

from __future__ import annotations

import gzip
import importlib.util
import json
import re
from collections.abc import Iterable
from itertools import pairwise
from pathlib import Path

CLIP_MERGES = 49_408 - 512 - 2
"""48,894: the released file goes on after these, but CLIP's vocabulary stops here."""
PREFIX = 8_000
BEGIN, END = "<|startoftext|>", "<|endoftext|>"
LENGTH = 77

Merge = tuple[str, str]


def byte_symbols() -> dict[int, str]:
    """One printable character for each byte, in the order of CLIP's first 256 ids (GPT-2's table)."""
    printable = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    others = [byte for byte in range(256) if byte not in printable]
    return {byte: chr(byte) for byte in printable} | {byte: chr(256 + index) for index, byte in enumerate(others)}


def clip_merges() -> list[Merge]:
    """CLIP's merges in rank order, read from the file that open_clip ships (without importing open_clip)."""
    spec = importlib.util.find_spec("open_clip")
    if spec is None or spec.origin is None:
        raise FileNotFoundError("open_clip is not installed; its bpe_simple_vocab_16e6.txt.gz holds CLIP's merges.")
    packed = (Path(spec.origin).parent / "bpe_simple_vocab_16e6.txt.gz").read_bytes()
    lines = gzip.decompress(packed).decode("utf-8").split("\n")[1 : 1 + CLIP_MERGES]
    return [(left, right) for left, right in (line.split() for line in lines)]


def merges_of(word: str, ranks: dict[Merge, int]) -> set[int]:
    """Ranks of the merges that byte-pair encoding uses on one lower-case word."""
    table = byte_symbols()
    symbols = [table[byte] for byte in word.encode("utf-8")]
    symbols[-1] += "</w>"
    used: set[int] = set()
    while len(symbols) > 1:
        known = [ranks[pair] for pair in pairwise(symbols) if pair in ranks]
        if not known:
            break
        rank = min(known)
        used.add(rank)
        joined: list[str] = []
        for symbol in symbols:
            if joined and ranks.get((joined[-1], symbol)) == rank:
                joined[-1] += symbol
            else:
                joined.append(symbol)
        symbols = joined
    return used


def chosen_merges(words: Iterable[str], prefix: int = PREFIX) -> list[Merge]:
    """The first `prefix` merges and those that `words` use, in rank order."""
    merges = clip_merges()
    ranks = {merge: rank for rank, merge in enumerate(merges)}
    keep = set(range(min(prefix, len(merges))))
    for phrase in words:
        for word in re.findall(r"[^\W\d_]+", phrase.lower()):
            keep |= merges_of(word, ranks)
    return [merges[rank] for rank in sorted(keep)]


def write(folder: Path, merges: Iterable[Merge], pad_token: str = END) -> int:
    """Write a CLIP tokenizer of these merges into `folder`, as transformers does. Returns the number of ids."""
    merges = list(merges)
    symbols = list(byte_symbols().values())
    tokens = [*symbols, *(f"{symbol}</w>" for symbol in symbols), *(left + right for left, right in merges), BEGIN, END]
    vocabulary = {token: index for index, token in enumerate(tokens)}
    if len(vocabulary) != len(tokens):
        raise ValueError("Two merges build the same token, so the ids would not be contiguous.")
    special = {"bos_token": BEGIN, "eos_token": END, "unk_token": END, "pad_token": pad_token}
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "vocab.json").write_text(json.dumps(vocabulary, ensure_ascii=False), encoding="utf-8")
    lines = ["#version: 0.2", *(f"{left} {right}" for left, right in merges)]
    (folder / "merges.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    config = {
        "tokenizer_class": "CLIPTokenizer",
        "model_max_length": LENGTH,  # vanilla diffusers pads to this, and takes 10^30 where it is missing
        "add_prefix_space": False,
        "do_lower_case": True,
        "errors": "replace",
        **special,
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
    (folder / "special_tokens_map.json").write_text(json.dumps(special, indent=2) + "\n", encoding="utf-8")
    return len(tokens)


def build(folder: Path, words: Iterable[str]) -> int:
    """Write the default model's tokenizer into `folder`; every word of `words` is cut as CLIP cuts it.

    `words` may be phrases ("ice cream", "to the left of"). Returns the number of ids, which are contiguous from 0.
    """
    return write(folder, chosen_merges(words))
