"""One tiny model for all, loaded once; and a server for real processes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipelines.pipeline import Pipeline
from tests import forked
from tests.models import write_model


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Draws 64-px pictures in two steps unless told otherwise; knows a, fox, cat, dog, on, purple, red."""
    folder = write_model(tmp_path_factory.mktemp("models") / "tiny")
    (folder / "defaults.json").write_text(json.dumps({"num_inference_steps": 2}))
    return folder


@pytest.fixture(scope="session")
def pipe(model: Path) -> Pipeline:
    return Pipeline.from_pretrained(model)


@pytest.fixture(scope="session")
def processes(tmp_path_factory: pytest.TempPathFactory, model: Path) -> Iterator[forked.Server]:
    with forked.server(model, XATTN_CACHE=str(tmp_path_factory.mktemp("cache"))) as made:
        yield made
