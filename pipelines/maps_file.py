"""Maps as files: one .npz with named axes, as they are stored and without pickles, or a folder for other programs."""

from __future__ import annotations

import io
import json
import zipfile
from dataclasses import asdict
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from pipelines.asked import read, written
from pipelines.attention_maps import AXES, AttentionMaps, Made, scaled
from pipelines.files import make_folder, write_whole
from xattn.errors import BadValue, XattnError

VERSION = 1
PARTS = ("rest", "places", "shares", "grid", "model")


def save_npz(maps: AttentionMaps, path: str | Path) -> Path:
    """Arrays "values" (as stored), "levels" and "counts" where there are some, "axes", "words", "steps" and "layers"
    for whoever reads it without this project, and "about", JSON; those of `maps.parts` have its name before theirs:
    "rest.values". Raises CannotWrite.
    """
    return write_whole(path, npz_bytes(maps))


def npz_bytes(maps: AttentionMaps) -> bytes:
    """The same file's bytes."""
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **_arrays(maps, ""))  # type: ignore[arg-type]  # its stub takes the arrays for flags
    return buffer.getvalue()


def load_npz(path: str | Path | IO[bytes]) -> AttentionMaps:
    """Back from `save_npz`, by a path or an open file. Raises BadValue."""
    expected = "an .npz file that AttentionMaps.save wrote"
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays: dict[str, NDArray[Any]] = {name: file[name] for name in file.files}
        return _maps(arrays, "")
    except XattnError:
        raise
    except (OSError, ValueError, KeyError, TypeError, AttributeError, zipfile.BadZipFile) as error:
        raise BadValue("path", str(path), expected, str(error) if isinstance(error, OSError) else "") from error


def save_folder(maps: AttentionMaps, folder: Path) -> tuple[Path, ...]:
    """A grey PNG and a float32 .npy a word, and maps.json, which says what they are; the model's own, where they came
    along, in a folder "model" of their own. Raises CannotWrite."""
    make_folder(folder)
    saved = []
    for place, word in enumerate(maps.words):
        name, values = maps.file_name(word), maps.decoded(place)
        grey = np.rint(255 * scaled(maps.over(values))).astype(np.uint8)
        saved += [write_whole(folder / f"{name}.npy", _npy(values)), write_whole(folder / f"{name}.png", _png(grey))]
    about = json.dumps({**maps.document(), "axes": AXES[1:]}, ensure_ascii=False, indent=1)
    saved.append(write_whole(folder / "maps.json", about.encode()))
    return (*saved, *(() if maps.model is None else save_folder(maps.model, folder / "model")))


def _arrays(maps: AttentionMaps, prefix: str) -> dict[str, NDArray[Any]]:
    about = {
        "version": VERSION,
        "words": [written(word) for word in maps.words],
        "steps": maps.steps,
        "times": maps.times,
        "layers": maps.layers,
        "resolutions": maps.resolutions,
        "made": asdict(maps.made),
        "document": maps.document(),
    }
    made: dict[str, NDArray[Any]] = {
        "values": maps.values,
        "axes": np.array(AXES),
        "words": np.array([maps.label(word) for word in maps.words]),
        "steps": np.array(maps.times or maps.steps),
        "layers": np.array(maps.resolutions or maps.layers),
        "about": np.array(json.dumps(about, ensure_ascii=False)),
    }
    if maps.levels is not None:
        made["levels"] = maps.levels
    if maps.counts is not None:
        made["counts"] = maps.counts
    named = {f"{prefix}{name}": array for name, array in made.items()}
    for name, part in maps.parts.items():
        named |= _arrays(part, f"{prefix}{name}.")
    return named


def _maps(arrays: dict[str, NDArray[Any]], prefix: str) -> AttentionMaps:
    about = json.loads(str(arrays[f"{prefix}about"]))
    if about["version"] != VERSION:
        raise BadValue("version", about["version"], f"{VERSION}, which this version reads")
    made = {name: _tuples(value) for name, value in about["made"].items()}
    return AttentionMaps(
        values=arrays[f"{prefix}values"],
        words=tuple(read(word) for word in about["words"]),
        steps=tuple(about["steps"]),
        layers=tuple(about["layers"]),
        made=Made(**made),
        levels=arrays.get(f"{prefix}levels"),
        counts=arrays.get(f"{prefix}counts"),
        resolutions=tuple(about["resolutions"]),
        times=tuple(about["times"]),
        parts={part: _maps(arrays, f"{prefix}{part}.") for part in PARTS if f"{prefix}{part}.about" in arrays},
    )


def _tuples(value: Any) -> Any:
    return tuple(_tuples(one) for one in value) if isinstance(value, list) else value


def _png(grey: NDArray[np.uint8]) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(grey).save(buffer, format="PNG")
    return buffer.getvalue()


def _npy(values: NDArray[np.float32]) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, values)
    return buffer.getvalue()
