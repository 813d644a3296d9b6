"""A run as training leaves it, but untrained: the real classes with random weights."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from weights.train import stages, vae


@pytest.fixture(scope="session")
def run(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "random"
    folder.mkdir()
    vocabulary = len(stages.load_tokenizer(folder))
    torch.manual_seed(0)
    torch.save(vae.build().state_dict(), folder / "vae_final.pt")
    torch.save({"step": 50, "seconds": 600.0}, folder / "vae.pt")
    pair = stages.new_pair(vocabulary)
    torch.save({"step": 100, "seconds": 1200.0, "ema": {"model": pair.state_dict()}}, folder / "unet.pt")
    (folder / "unet.log").write_text(
        '{"step": 50, "minutes": 9.0, "loss": 0.9}\n'
        '{"step": 75, "minutes": 12.0, "loss": 0.9}\n'
        '{"step": 50, "minutes": 9.0, "loss": 0.5}\n'  # resumed from before step 50
        '{"step": 100, "minutes": 20.0, "loss": 0.45}\n'
        '{"step": 100, "minutes": 20.0, "single": 0.1}\n'
        '{"step": 150, "minutes": 30.0, "loss": 0.3}\n'  # after the last state: a kill threw it away
    )
    return folder
