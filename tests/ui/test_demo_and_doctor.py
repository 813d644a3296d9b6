from __future__ import annotations

import re
from pathlib import Path

from tests.ui.conftest import Xattn
from ui.doctor import examine
from xattn.backends import BACKENDS


def test_the_demo_draws_into_out_and_says_where_and_what_next(xattn: Xattn, model: Path, here: Path) -> None:
    done = xattn("demo", "--model", model)
    assert (done.code, done.err) == (0, "")
    assert re.match(r'out/demo.png +"a fox on purple", seed 19, .*\nout/demo-words.png +.*fox and purple', done.out)
    assert "xattn generate out/demo.png" in done.out
    first = (here / "out" / "demo.png").read_bytes()
    assert xattn("demo", "--model", model).code == 0
    assert sorted(path.name for path in (here / "out").iterdir()) == ["demo-words.png", "demo.png"]
    assert (here / "out" / "demo.png").read_bytes() == first


def test_a_demo_that_cannot_write_says_so_before_it_loads(xattn: Xattn, here: Path) -> None:
    (here / "out").write_text("")
    done = xattn("demo", "--model", "no-such")
    assert (done.code, done.out) == (2, "")
    assert "Cannot write" in done.err


def test_doctor_names_every_backend_in_autos_order_and_why(xattn: Xattn) -> None:
    done = xattn("doctor")
    findings = list(examine())
    assert done.code == (1 if any(finding.state == "bad" for finding in findings) else 0)
    backends = [finding for finding in findings if finding.what.startswith("backend ")]
    assert [finding.what.split()[1] for finding in backends][: len(BACKENDS)] == [backend.name for backend in BACKENDS]
    assert sum("auto takes it" in finding.detail for finding in backends[: len(BACKENDS)]) >= 1
    assert all(finding.detail for finding in findings)
    text = " ".join(done.out.split())
    for what in ("python", "memory", "torch", "CUDA", "xformers", "diffusers", "model", "cache", "backend sdpa"):
        assert what in text


def test_doctor_explains_a_cache_that_cannot_be_written(xattn: Xattn, here: Path, monkeypatch) -> None:
    (here / "file").write_text("")
    monkeypatch.setenv("XATTN_CACHE", str(here / "file" / "cache"))
    (cache,) = [finding for finding in examine() if finding.what == "cache"]
    assert cache.state == "no"
    assert "cannot be written" in cache.detail


def test_doctor_says_why_layers_run_torchs_own_way(monkeypatch) -> None:
    import torch

    from unet import laid_out

    def refusing(*_: object) -> None:
        raise RuntimeError("could not create a primitive")

    monkeypatch.setattr(torch.ops.mkldnn, "_linear_pointwise", refusing)
    laid_out.refusal.cache_clear()
    try:
        (found,) = [finding for finding in examine() if finding.what == "CPU layers"]
    finally:
        laid_out.refusal.cache_clear()
    assert found.state == "no"
    assert "could not create a primitive" in found.detail


def test_doctor_says_why_words_need_a_softmax_of_their_own(monkeypatch) -> None:
    import torch

    from xattn import denominator

    def refusing(*_: object, **__: object) -> None:
        raise RuntimeError("no kernel for this")

    monkeypatch.setattr(torch, "_scaled_dot_product_flash_attention_for_cpu", refusing)
    denominator.refusal.cache_clear()
    try:
        (found,) = [finding for finding in examine() if finding.what == "CPU maps"]
    finally:
        denominator.refusal.cache_clear()
    assert found.state == "no"
    assert "no kernel for this" in found.detail
