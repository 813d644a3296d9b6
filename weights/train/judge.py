"""The judge: which objects are in a picture, where, and in which colours. It has only ever seen composed scenes.

A small fully convolutional net gives class logits (the world's objects, and nothing) on an 8x8 grid, trained with
cross entropy per cell on the known boxes and on the picture as a whole; a second head says which of the colours that
objects can be given an object has. To judge drawn pictures fairly it is shown
scenes a little off: other tints, softer, noisier, resized by a few per cent, off the grid. To judge them strictly it
is shown counterfeits, whose colours are right and whose shape is not (shuffled patches, blobs), as nothing.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from weights.train.loop import Log, Run, flat_tail
from weights.train.muon import Muon
from weights.train.scenes import Scene, colored_pair, colored_single, pair, single
from weights.train.tint import TINTS
from weights.train.vae import to_tensor
from weights.train.world import NEAR_WHITE, SIZE, world

CELLS = 8
"""The heat map's side; a cell is 16 pixels."""
WEIGHTS = Path(__file__).parents[1] / "judge" / "judge.safetensors"
SURE = 0.5
"""An object counts as seen where some cell gives it at least this probability."""
COUNTERFEITS = 0.12
"""Share of training scenes whose objects are spoilt and count as nothing."""
COLORED = 0.25
"""Share of training scenes whose objects have colours not their own."""


class Block(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(width, width, 3, padding=1, bias=False),
            nn.BatchNorm2d(width),
            nn.SiLU(),
            nn.Conv2d(width, width, 3, padding=1, bias=False),
            nn.BatchNorm2d(width),
        )

    def forward(self, hidden: Tensor) -> Tensor:
        return F.silu(hidden + self.body(hidden))


def _down(inputs: int, outputs: int, kernel: int, stride: int) -> nn.Sequential:
    padding = (kernel - stride + 1) // 2
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, kernel, stride, padding, bias=False), nn.BatchNorm2d(outputs), nn.SiLU()
    )


class Judge(nn.Module):
    """Pictures float `[B, 3, 128, 128]` in [-1, 1] → logits of objects and of their colours.

    Objects `[B, objects + 1, 8, 8]`, the last class is nothing; colours `[B, TINTS, 8, 8]`, meant where a coloured
    object is.
    """

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(
            _down(3, 32, 8, 4),
            _down(32, 64, 3, 2),
            Block(64),
            _down(64, 128, 3, 2),
            Block(128),
            Block(128),
        )
        self.head = nn.Conv2d(128, len(world().objects) + 1, 1)
        self.tint = nn.Conv2d(128, len(TINTS), 1)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        hidden = self.body(images)
        return self.head(hidden), self.tint(hidden)


@dataclass(frozen=True, slots=True)
class Seen:
    """An object in a picture: its index in the world, its probability at the best cell, its centre in pixels.

    `tint` is the nearest of `TINTS`, also for objects in their own colours.
    """

    index: int
    probability: float
    x: float
    y: float
    tint: str


@dataclass(frozen=True, slots=True)
class Targets:
    """Classes of a scene's cells, -1 where a cell is on an object's edge and asked nothing."""

    cells: NDArray[np.int64]
    """`[8, 8]`"""
    whole: NDArray[np.float32]
    """`[objects + 1]`, the shares of the objects, or all nothing."""
    tints: NDArray[np.int64]
    """`[8, 8]`, places in `TINTS`, -1 where no coloured object is."""


def targets(boxes: list[tuple[int, float, float, float, float]], colors: Sequence[str | None] | None = None) -> Targets:
    """From boxes (index, x0, y0, x1, y1) in pixels and the objects' colours, None for their own.

    The middle 60 % of a box is its object's, its rim nobody's.
    """
    nothing = len(world().objects)
    centres = (np.arange(CELLS) + 0.5) * (SIZE / CELLS)
    cells = np.full((CELLS, CELLS), nothing, np.int64)
    whole = np.zeros(nothing + 1, np.float32)
    tints = np.full((CELLS, CELLS), -1, np.int64)
    for (index, x0, y0, x1, y1), color in zip(boxes, colors or [None] * len(boxes), strict=True):
        across, down = np.abs(centres - (x0 + x1) / 2), np.abs(centres - (y0 + y1) / 2)
        reach_x, reach_y = (x1 - x0) / 2, (y1 - y0) / 2
        inside = (down < reach_y)[:, None] & (across < reach_x)[None]
        middle = (down < 0.6 * reach_y)[:, None] & (across < 0.6 * reach_x)[None]
        cells[inside & (cells == nothing)] = -1
        cells[middle] = index
        tints[middle] = -1 if color is None else TINTS.index(color)
        whole[index] += 1.0 / len(boxes)
    if not boxes:
        whole[nothing] = 1.0
    return Targets(cells, whole, tints)


def spoil(rng: np.random.Generator, scene: Scene, image: NDArray[np.uint8]) -> None:
    """Make counterfeits of a scene's objects in place: the same colours in no shape."""
    for placed in scene.objects:
        box = image[placed.y : placed.y + placed.size, placed.x : placed.x + placed.size]
        if rng.random() < 0.5:
            side = placed.size // 4
            tiles = [box[y * side : (y + 1) * side, x * side : (x + 1) * side] for y in range(4) for x in range(4)]
            tiles = [tile.copy() for tile in tiles]
            for place, chosen in enumerate(rng.permutation(16)):
                y, x = divmod(place, 4)
                box[y * side : (y + 1) * side, x * side : (x + 1) * side] = tiles[chosen]
        else:
            coarse = F.interpolate(to_tensor([box]), size=(4, 4), mode="area")
            smooth = F.interpolate(coarse, size=box.shape[:2], mode="bilinear")
            box[:] = smooth[0].permute(1, 2, 0).add(1).mul(127.5).round().byte().numpy()


def compose(rng: np.random.Generator) -> Scene:
    """A scene to learn from: half have one object, half two."""
    one, colored = rng.random() < 0.5, rng.random() < COLORED
    if one:
        return colored_single(rng) if colored else single(rng)
    return colored_pair(rng) if colored else pair(rng)


def examples(rng: np.random.Generator, batch: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Augmented pictures `[B, 3, 128, 128]`, classes and colours of cells `[B, 8, 8]`, shares `[B, objects + 1]`."""
    scenes = [compose(rng) for _ in range(batch)]
    arrays = [scene.image() for scene in scenes]
    false = rng.random(batch) < COUNTERFEITS
    for scene, array, spoilt in zip(scenes, arrays, false, strict=True):
        if spoilt:
            spoil(rng, scene, array)
    zoom = rng.uniform(0.92, 1.08, (batch, 1)) * np.exp(rng.uniform(-0.03, 0.03, (batch, 2)))
    shift = rng.uniform(-6, 6, (batch, 2))
    asked = []
    for scene, spoilt, scale, move in zip(scenes, false, zoom, shift, strict=True):
        boxes = []
        for placed in () if spoilt else scene.objects:
            corners = np.array([[placed.x, placed.y], [placed.x + placed.size, placed.y + placed.size]], np.float64)
            (x0, y0), (x1, y1) = (corners - SIZE / 2) * scale + SIZE / 2 + move
            boxes.append((placed.index, float(x0), float(y0), float(x1), float(y1)))
        asked.append(targets(boxes, [] if spoilt else [placed.color for placed in scene.objects]))
    images = _worn(rng, _moved(to_tensor(arrays), zoom, shift))
    cells = torch.from_numpy(np.stack([each.cells for each in asked]))
    whole = torch.from_numpy(np.stack([each.whole for each in asked]))
    tints = torch.from_numpy(np.stack([each.tints for each in asked]))
    return images, cells, tints, whole


def _moved(images: Tensor, zoom: NDArray[np.float64], shift: NDArray[np.float64]) -> Tensor:
    """Scale round the middle, then shift by pixels; what comes in from outside is the border's colour."""
    theta = torch.zeros(len(images), 2, 3)
    for axis in range(2):
        theta[:, axis, axis] = torch.from_numpy(1.0 / zoom[:, axis])
        theta[:, axis, 2] = torch.from_numpy(-shift[:, axis] * 2 / SIZE / zoom[:, axis])
    grid = F.affine_grid(theta, list(images.shape), align_corners=False)
    return F.grid_sample(images, grid, padding_mode="border", align_corners=False)


def _worn(rng: np.random.Generator, images: Tensor) -> Tensor:
    """Softer, tinted and noisy by amounts that a small autoencoder could be blamed for."""
    images = images.clone()
    soft = rng.permutation(len(images))
    for side, rows in zip((48, 64, 96), np.array_split(soft[: len(soft) // 2], 3), strict=True):
        small = F.interpolate(images[rows], size=(side, side), mode="area")
        images[rows] = F.interpolate(small, size=(SIZE, SIZE), mode="bilinear")
    gain = torch.from_numpy(rng.uniform(0.88, 1.12, (len(images), 3, 1, 1))).float()
    lift = torch.from_numpy(rng.uniform(-0.1, 0.1, (len(images), 3, 1, 1))).float()
    noise = torch.randn(images.shape, generator=torch.Generator().manual_seed(int(rng.integers(2**31))))
    noise *= torch.from_numpy(rng.uniform(0, 0.08, (len(images), 1, 1, 1))).float()
    return (images * gain + lift + noise).clamp(-1, 1)


def loss_of(judge: Judge, images: Tensor, cells: Tensor, tints: Tensor, whole: Tensor) -> Tensor:
    with torch.autocast("cpu", torch.bfloat16):
        logits, colors = judge(images)
    logits = logits.float()
    nothing = logits.shape[1] - 1
    each = F.cross_entropy(logits, cells, ignore_index=-1, reduction="none", label_smoothing=0.02)
    # as much for objects as for the plain cells, of which there are many more
    objects, plain = (cells >= 0) & (cells != nothing), cells == nothing
    per_cell = each[objects].mean() + 0.5 * each[plain].mean()
    # an object's share is its mass over the middle cells of all objects; nothing's, the plain cells alone
    mass = pooled(logits.softmax(dim=1))
    per_color = F.cross_entropy(colors.float(), tints, ignore_index=-1)
    return per_cell + per_color - 0.5 * (whole * mass.clamp_min(1e-4).log()).sum(dim=1).mean()


def pooled(heat: Tensor) -> Tensor:
    """Probabilities `[B, objects + 1, 8, 8]` → shares of the picture's things `[B, objects + 1]`, summing to one.

    Nothing counts as much as one cell, so that it wins only where no cell is taken.
    """
    mass = heat.flatten(2).sum(dim=2)
    mass = torch.cat([mass[:, :-1], torch.ones_like(mass[:, -1:])], dim=1)
    return mass / mass.sum(dim=1, keepdim=True)


def train(folder: Path, minutes: float = 7.0, batch: int = 64, rate: float = 3e-3) -> Judge:
    """Train for `minutes` of this process's own time over all its runs; resumes from `folder`."""
    torch.manual_seed(4)
    judge = Judge()
    muon = Muon([p for p in judge.body.parameters() if p.ndim == 4], lr=rate)
    others = [*judge.head.parameters(), *(p for p in judge.body.parameters() if p.ndim < 4)]
    adam = torch.optim.AdamW(others, lr=rate, betas=(0.9, 0.99), weight_decay=0.0, fused=True)
    run = Run(folder / "judge.pt", model=judge, muon=muon, adam=adam)
    log = Log(folder / "judge.log", every=25)
    rng = np.random.default_rng([4, run.step])
    while run.seconds < minutes * 60:
        began = time.monotonic()
        factor = flat_tail(run.step, run.seconds / (minutes * 60), warmup=30, tail=0.6)
        muon.param_groups[0]["lr"] = adam.param_groups[0]["lr"] = rate * factor
        loss = loss_of(judge, *examples(rng, batch))
        muon.zero_grad(set_to_none=True)
        adam.zero_grad(set_to_none=True)
        loss.backward()
        muon.step()
        adam.step()
        run.tick(time.monotonic() - began)
        log.add(run, loss=float(loss.detach()))
        if run.step % 200 == 0:
            run.save()
            log.note(run, **accuracy(judge.eval(), 128))
            judge.train()
    run.save()
    return judge.eval()


def save(judge: Judge, path: Path = WEIGHTS) -> None:
    """Float16 safetensors; the counters of the batch norms are left out."""
    path.parent.mkdir(parents=True, exist_ok=True)
    state = {name: value.half() for name, value in judge.state_dict().items() if value.is_floating_point()}
    save_file(state, path)


def load(path: Path = WEIGHTS) -> Judge:
    """The trained judge, in float32 and ready to judge."""
    if not path.exists():
        raise FileNotFoundError(f"There is no judge at {path}. Train it with `python -m weights.train judge`.")
    judge = Judge()
    state = {name: value.float() for name, value in load_file(path).items()}
    missing, unexpected = judge.load_state_dict(state, strict=False)
    if unexpected or any(not name.endswith("num_batches_tracked") for name in missing):
        raise ValueError(f"{path} holds another judge: missing {missing}, unexpected {unexpected}.")
    return judge.eval().requires_grad_(False)


@torch.no_grad()
def look(judge: Judge, images: list[NDArray[np.uint8]], most: int = 2) -> list[tuple[Seen, ...]]:
    """What each picture `[128, 128, 3]` shows, at most `most` objects, the largest share first."""
    seen = []
    for start in range(0, len(images), 64):
        logits, colors = judge(to_tensor(images[start : start + 64]))
        heat = logits.softmax(dim=1)
        shares = pooled(heat)[:, :-1]
        for picture, color, share in zip(heat, colors.log_softmax(dim=1), shares, strict=True):
            best = [int(index) for index in share.topk(most).indices]
            found = [_seen(picture[index], color, index) for index in best]
            seen.append(tuple(each for each in found if each.probability >= SURE))
    return seen


def _seen(cells: Tensor, colors: Tensor, index: int) -> Seen:
    """One object's heat `[8, 8]` as a place, its centre of mass, and its colour of those `[TINTS, 8, 8]` there."""
    total = cells.sum()
    at = (torch.arange(CELLS) + 0.5) * (SIZE / CELLS)
    x, y = (cells.sum(dim=0) @ at) / total, (cells.sum(dim=1) @ at) / total
    tint = TINTS[int((colors * cells).sum(dim=(1, 2)).argmax())]
    return Seen(index, float(cells.max()), float(x), float(y), tint)


def accuracy(judge: Judge, count: int, seed: int = 10_000) -> dict[str, float]:
    """Shares of held-out rendered scenes judged right: single objects, both of a pair, and both in their colours."""
    rng = np.random.default_rng([5, seed])
    right = {}
    kinds = {"single": single, "pair": pair, "colored single": colored_single, "colored pair": colored_pair}
    for name, composed in kinds.items():
        scenes = [composed(rng) for _ in range(count)]
        looks = look(judge, [scene.image() for scene in scenes], 2 if name.endswith("pair") else 1)
        right[name] = float(np.mean([judged(scene, seen) for scene, seen in zip(scenes, looks, strict=True)]))
    return right


def judged(scene: Scene, seen: tuple[Seen, ...]) -> bool:
    """Whether all objects of the scene are seen and no other, in the colours that they were given."""
    tints = {each.index: each.tint for each in seen}
    return tints.keys() == {placed.index for placed in scene.objects} and all(
        placed.color in (None, tints[placed.index]) for placed in scene.objects
    )


def background(image: NDArray[np.uint8]) -> NDArray[np.float32]:
    """The background's colour `[3]`: the median of the picture's border, three pixels wide."""
    rim = np.ones(image.shape[:2], np.bool_)
    rim[3:-3, 3:-3] = False
    median: NDArray[np.float32] = np.median(image[rim], axis=0).astype(np.float32)
    return median


def color_name(rgb: NDArray[np.float32]) -> str | None:
    """The nearest named colour; None for near-white, which is what scenes without a colour have.

    "white" (if the world names it) and near-white cannot be told apart by the eye: see `color_right`.
    """
    named: list[tuple[str | None, tuple[int, int, int]]] = [(None, NEAR_WHITE), *world().colors.items()]
    return min(named, key=lambda each: float(np.linalg.norm(rgb - np.asarray(each[1], np.float32))))[0]


def color_right(image: NDArray[np.uint8], asked: str | None) -> bool:
    """Whether the background is as asked; near-white is right both for "white" and for no colour."""
    found = color_name(background(image))
    pale = (None, "white")
    return found == asked or (found in pale and asked in pale)
