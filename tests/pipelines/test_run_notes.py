"""RunStats and Provenance: what a run leaves behind beside its picture."""

import copy
import json
import logging
import pickle
import time
from dataclasses import replace

import pytest
import torch

from pipelines.provenance import Provenance
from pipelines.stats import StatsClock
from xattn.errors import BadValue

HERE = Provenance.here(dtype="float32", backend="auto", device="cpu", batch=2)


class Hand:
    """A clock that a test turns by hand: on a busy machine no sleep is as long as it says."""

    def __init__(self, monkeypatch):
        self.now = 0.0
        monkeypatch.setattr(time, "perf_counter", lambda: self.now)

    def turn(self, seconds):
        self.now += seconds

    def turn_and_fail(self, seconds):
        self.turn(seconds)
        raise RuntimeError("out of memory")


def test_time_is_counted_by_phase_without_the_pauses(monkeypatch):
    hand, clock = Hand(monkeypatch), StatsClock()
    with clock.measure("encode"):
        hand.turn(1)
    hand.turn(64)
    with clock.measure("denoise"):
        with clock.paused("denoise"):
            hand.turn(32)
        hand.turn(2)
    with pytest.raises(RuntimeError, match="memory"), clock.measure("decode"):
        hand.turn_and_fail(4)
    clock.count("sdpa", 3)
    clock.count("explicit")
    clock.count("sdpa")
    stats = clock.stats(20)
    assert (stats.encode_seconds, stats.denoise_seconds) == (1, 2)
    assert stats.decode_seconds == 4, "a failed run's time counts too"
    assert stats.seconds == 7
    assert (stats.steps, stats.kernels) == (20, {"sdpa": 4, "explicit": 1})
    assert stats.peak_bytes > 10_000_000, "torch alone is larger than that"
    assert copy.deepcopy(stats) == pickle.loads(pickle.dumps(stats)) == stats
    assert json.loads(json.dumps(stats.document()))["kernels"] == {"explicit": 1, "sdpa": 4}


def test_later_calls_do_not_change_stats_already_taken():
    clock = StatsClock()
    clock.count("sdpa")
    stats = clock.stats(1)
    clock.count("sdpa")
    assert stats.kernels == {"sdpa": 1}


def test_a_run_is_logged_by_hash_and_numbers_only(caplog):
    stats = StatsClock().stats(7)
    with caplog.at_level(logging.INFO, logger="xattn.run"):
        stats.log("c0ffee")
    (record,) = caplog.records
    assert record.recipe == "c0ffee"
    assert record.stats == stats.document()
    assert "c0ffee" in record.getMessage()
    assert "7 steps" in record.getMessage()


def test_provenance_says_what_can_change_bits():
    assert HERE.device.startswith("cpu ")
    assert HERE.threads == torch.get_num_threads()
    assert dict(HERE.versions)["torch"] == torch.__version__
    assert {"python", "xattn", "diffusers", "transformers"} <= set(dict(HERE.versions))
    hash(HERE)


def test_provenance_comes_back_from_json():
    assert Provenance.from_document(json.loads(json.dumps(HERE.document()))) == HERE
    newer = HERE.document() | {"weather": "fine"}
    assert Provenance.from_document(newer) == HERE
    for broken in ({}, HERE.document() | {"threads": "2"}, HERE.document() | {"versions": []}):
        with pytest.raises(BadValue, match="provenance"):
            Provenance.from_document(broken)


def test_differences_are_named():
    versions = dict(HERE.versions) | {"torch": "1.0"}
    other = replace(HERE, threads=HERE.threads + 1, versions=tuple(versions.items()))
    assert HERE.differences(HERE) == ()
    assert HERE.differences(other) == (
        f"threads: {HERE.threads + 1}, here {HERE.threads}",
        f"torch: 1.0, here {torch.__version__}",
    )
    assert "xformers: absent" in " ".join(
        replace(HERE, versions=(("xformers", "1"),)).differences(replace(HERE, versions=()))
    )
