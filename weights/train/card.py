"""The model card, made from the files beside it: what was measured is in `figures.json`, hours in `training.json`."""

from __future__ import annotations

import json
from pathlib import Path

from weights.train.figures import Figures, table
from weights.train.history import History
from weights.train.tint import PLAIN, TINTS
from weights.train.world import world

CARD = """---
license: mit
library_name: diffusers
pipeline_tag: text-to-image
---

# emoji-128

A small Stable Diffusion for 128×128 pictures: {objects} objects, alone or two in a relation, on a plain background
of {colors} colours. It is the model that ships with xattn, so that attention can be seen and edited at once. It
was trained from nothing on a CPU, and vanilla `diffusers.StableDiffusionPipeline` runs it.

```python
from diffusers import StableDiffusionPipeline

pipe = StableDiffusionPipeline.from_pretrained("weights/emoji-128")
pipe("a fox on purple", num_inference_steps={num_inference_steps}, guidance_scale={guidance_scale:g}).images[0]
```

## Words
{words}

## Data
Scenes composed on the fly from the icons of [Fluent Emoji](https://github.com/microsoft/fluentui-emoji) (flat
style) by Microsoft, MIT licence, as packed in the npm package `@iconify-json/fluent-emoji-flat`. No photographs, no
people's pictures, nothing scraped. Captions come from templates (`a fox`, `an image of a cat to the left of a pizza
on a blue background`), so that every object's mask and box are known.

## Training
{training}

The command is `python -m weights.train`; `docs/training.md` in the project's tree says how, and how to train on
from these weights. Autoencoder ({vae_million:.1f} M parameters), f8 with eight latent channels; CLIP text tower,
first trained contrastively ({text_million:.1f} M); UNet ({unet_million:.1f} M), v-prediction with zero terminal SNR.
Besides denoising it was taught where words look: a cross entropy binds the attention to each object's name to the
object's mask. Its word maps say what it was taught, where those of other models say what they learned by themselves.
The text tower was taught to say how two objects stand, and an object's colour, along a fixed direction of its states
for each relation and each colour.

## Figures
{figures}

## Limits
It knows the words above and no others: other words change the picture in ways that mean nothing. It draws flat icons
on plain backgrounds, in their own colours; {colorable} also in {tints} ("a blue cat"). A colour before any
other object was never shown to it, nor were more than two objects, counts, styles, scenery, text or people. Now and
then an object comes twice. Objects grow with guidance. Sizes other than 128×128 were never seen in training.
"""

UNMEASURED = "Not measured yet: `python -m weights.train evaluate` fills this in."


def write(model: Path) -> None:
    """Write README.md into a model folder from what lies there."""
    vocabulary: dict[str, dict[str, list[str]]] = json.loads((model / "vocabulary.json").read_text(encoding="utf-8"))
    kinds = vocabulary["kinds"]
    defaults = json.loads((model / "defaults.json").read_text(encoding="utf-8"))
    said = {"colorable": "objects that can be coloured", "tint": "in"}
    words = "\n".join(f"- **{said.get(kind, kind)}**: {', '.join(names)}" for kind, names in kinds.items())
    text = CARD.format(
        objects=len(world().objects),
        colors=len(world().colors),
        colorable=", ".join(PLAIN),
        tints=", ".join(TINTS),
        words=words,
        training=_training(json.loads((model / "training.json").read_text(encoding="utf-8"))),
        figures=_figures(model / "figures.json"),
        vae_million=_millions(model / "vae"),
        text_million=_millions(model / "text_encoder"),
        unet_million=_millions(model / "unet"),
        **defaults,
    )
    (model / "README.md").write_text(text, encoding="utf-8")


def _training(history: History) -> str:
    names = {
        "vae": "autoencoder",
        "text": "text tower alone",
        "unet": "UNet with the text tower",
        "decoder": "decoder alone",
    }
    stages = history["stages"]
    lines = ["| stage | minutes | steps |", "|---|---|---|"]
    lines += [
        f"| {names[stage]} | {each['minutes']:g} | {each['steps']:,} |"
        for stage, each in stages.items()
        if each["steps"]
    ]
    hours = sum(each["minutes"] for each in stages.values()) / 60
    machines = ", then ".join(history["machines"])
    return "\n".join(
        [*lines, "", f"{hours:.1f} hours in all, on {machines}, in bfloat16, as logged in `training.json`."]
    )


def _figures(path: Path) -> str:
    if not path.exists():
        return UNMEASURED
    figures: Figures = json.loads(path.read_text(encoding="utf-8"))
    return (
        "Prompts and seeds of their own, judged by a classifier trained on composed scenes only "
        "(`python -m weights.train evaluate`).\n\n" + table(figures)
    )


def _millions(part: Path) -> float:
    """Parameters of a float16 part, in millions."""
    return sum(path.stat().st_size for path in part.glob("*.safetensors")) / 2e6
