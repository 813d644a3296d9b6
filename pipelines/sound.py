"""Whose fault NaN is: a setting's or a damaged model's. Asked when a run has ended in it, for all weights are read."""

from __future__ import annotations

import torch
from torch import nn

from pipelines.load import Model
from xattn.errors import NonFinite


def check_sound(model: Model) -> None:
    """Raise NonFinite with the first weight that is no number, which no setting of a run can mend."""
    parts: list[tuple[str, nn.Module]] = [("unet", model.unet), ("vae", model.vae.module)]
    parts += [(f"text_encoder{'_2' if place else ''}", one.module) for place, one in enumerate(model.text.towers)]
    for part, module in parts:
        for name, weight in module.named_parameters():
            if not bool(torch.isfinite(weight).all()):
                dtype = str(weight.dtype).removeprefix("torch.")
                raise NonFinite(
                    f"The model's {part} holds NaN or infinity, in {name} as {dtype}, so there is no picture; "
                    "copy that folder of the model again, or load it with a wider dtype."
                )
