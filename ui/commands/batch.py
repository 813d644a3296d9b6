"""`xattn batch`: pictures from a file of rows, by a run that can be killed at any moment."""

from __future__ import annotations

import itertools
import json
import os
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

from pipelines.recipe import EMBEDDED
from ui.process import without_collection
from ui.request import Flags, parse_whole
from xattn.errors import BadValue, Cancelled, CannotWrite, UnknownName

if TYPE_CHECKING:
    from pipelines.batch import Ended, Options
    from pipelines.batch.options import Engine, OnError
    from pipelines.batch.templates import Variants
    from xattn.maps import Axis

_AXES: tuple[Axis, ...] = ("step", "layer", "head")


def batch(
    file: Annotated[
        str,
        typer.Argument(
            metavar="FILE",
            help="Rows: .jsonl, .json, .csv, .tsv, .parquet, a .txt of prompts, or - for standard input.",
            show_default=False,
        ),
    ],
    out: Annotated[
        str, typer.Option(metavar="DIR", help="The folder that everything goes to; what it has is not drawn again.")
    ] = "out/batch",
    form: Annotated[
        str | None, typer.Option(metavar="FORM", help="What FILE is, where its name does not tell.", show_default=False)
    ] = None,
    defaults: Annotated[
        str | None,
        typer.Option(metavar="FILE.toml", help="Recipe fields for rows that do not set them.", show_default=False),
    ] = None,
    seed: Annotated[
        str | None,
        typer.Option(
            metavar="N|N-M|N,M…",
            help="Seeds of rows that give none.",
            show_default="from each row's prompt",
        ),
    ] = None,
    count: Annotated[str, typer.Option(metavar="N", help="Pictures a row, each with the next seed.")] = "1",
    sweep: Annotated[
        list[str] | None,
        typer.Option(
            metavar="FIELD=A,B,C",
            help="Draw every row once with each value, seeds kept; again for more fields. Edits too: edits.0.scale=1,2",
            show_default=False,
        ),
    ] = None,
    templates: Annotated[
        str | None,
        typer.Option(
            metavar="all|random",
            help="Read prompts as templates, 'a {fox|cat} on __colors__': all variants, or one a seed.",
            show_default="off",
        ),
    ] = None,
    wildcards: Annotated[
        str | None, typer.Option(metavar="DIR", help="Where colors.txt for __colors__ is.", show_default=False)
    ] = None,
    steps: Annotated[str | None, typer.Option(metavar="N", show_default="the model's")] = None,
    size: Annotated[str | None, typer.Option(metavar="WxH", show_default="the model's")] = None,
    scheduler: Annotated[str | None, typer.Option(metavar="NAME", show_default="the model's")] = None,
    guidance: Annotated[str | None, typer.Option(metavar="X", show_default="the model's")] = None,
    negative: Annotated[str | None, typer.Option(metavar="PROMPT", show_default=False)] = None,
    on_error: Annotated[
        str,
        typer.Option(
            metavar="stop|skip",
            help="stop: draw nothing while a row is bad, end at the first run that fails twice. skip: go on, and keep "
            "a record in rejected.jsonl.",
        ),
    ] = "stop",
    batch_size: Annotated[str, typer.Option(metavar="N|auto", help="Pictures at once.")] = "auto",
    words: Annotated[
        str,
        typer.Option(
            "--maps", metavar="WORD,WORD…|*", help="Keep attention maps of these words, or of all.", show_default=False
        ),
    ] = "",
    by: Annotated[
        str | None,
        typer.Option("--maps-by", metavar="AXIS", help="Keep maps apart by step, layer or head.", show_default=False),
    ] = None,
    save_as: Annotated[str, typer.Option(metavar="png|jpg|webp", help="What pictures are saved as.")] = "png",
    sheet: Annotated[
        str | None,
        typer.Option(
            metavar="FIELD[,FIELD]",
            help="Also a contact sheet over one or two fields: rows, columns.",
            show_default=False,
        ),
    ] = None,
    parquet: Annotated[bool, typer.Option("--parquet", help="Also manifest.parquet, one row a picture.")] = False,
    engine: Annotated[
        str,
        typer.Option(
            metavar="local|ray",
            help="local: here, or in the processes of `accelerate launch`. ray: wherever Ray has room.",
        ),
    ] = "local",
    workers: Annotated[str | None, typer.Option(metavar="N", help="Of Ray.", show_default="1")] = None,
    ray_address: Annotated[
        str | None, typer.Option(metavar="ADDRESS", help="A Ray cluster's; auto finds it.", show_default="this machine")
    ] = None,
    verify: Annotated[bool, typer.Option("--verify", help="Read earlier pictures and compare every byte.")] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Check every row, say what would be made and what it takes; draw nothing.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print events as JSON, one a line.")] = False,
    model: Annotated[str, typer.Option(metavar="NAME|PATH")] = EMBEDDED,
    dtype: Annotated[str, typer.Option(metavar="NAME")] = "float32",
    device: Annotated[str, typer.Option(metavar="NAME")] = "cpu",
    backend: Annotated[str, typer.Option(metavar="NAME")] = "auto",
) -> None:
    """Draw what the rows of a file ask for, and never what is there already: start it again to go on after any kill.

    Exit codes: 0 all is there, 1 some rows or runs failed, 2 a mistake (nothing was drawn), 130 and 143 interrupted.
    """
    from pipelines.batch.options import Options
    from ui.commands.maps import phrases

    if by is not None and by not in _AXES:
        raise UnknownName("--maps-by", by, _AXES)
    with without_collection():
        options = Options(
            model=model,
            dtype=dtype,
            device=device,
            backend=backend,
            defaults=_defaults(defaults, seed, Flags(None, steps, size, scheduler, guidance, negative)),
            sweep=dict(_sweep(one) for one in sweep or ()),
            count=parse_whole("--count", count),
            templates=cast("Variants | None", templates),
            wildcards=wildcards,
            form=save_as,
            batch_size="auto" if batch_size == "auto" else parse_whole("--batch-size", batch_size),
            on_error=cast("OnError", on_error),
            words="*" if words.strip() == "*" else phrases(words),
            keep=tuple(axis for axis in _AXES if axis == by),
            verify=verify,
            engine=cast("Engine", engine),
            workers=None if workers is None else parse_whole("--workers", workers),
            ray_address=ray_address,
        )
    if dry_run:
        _dry_run(file, form, out, options, as_json)
        return
    ended = _draw(file, form, out, options, as_json)
    if sheet is not None or parquet:
        _extras(out, sheet, parquet, as_json)
    if not ended.complete:
        raise typer.Exit(1)


def _draw(file: str, form: str | None, out: str, options: Options, as_json: bool) -> Ended:
    from pipelines.batch import Ended, Planned, run
    from ui.batch_reports import report
    from ui.ending import ending

    last: Ended | None = None
    begun = False
    first = os.environ.get("RANK", "0") == "0" or options.engine != "local"
    with ending() as told, report(as_json, first) as shown:
        try:
            for event in run(file, out=out, options=options, form=form, cancel=told.cancel):
                begun = begun or isinstance(event, Planned)
                told.gentle = begun
                shown.tell(event)
                last = event if isinstance(event, Ended) else last
        except Cancelled:
            told.leave()
            raise
        except CannotWrite as error:
            if not begun:
                raise
            # no mistake in what was asked: what was drawn before is there, and another run goes on from it
            raise RuntimeError(str(error)) from error
    if last is None or not first:  # the first process says how it ended
        raise typer.Exit(0)
    if not as_json:
        print(f"{out}: {last.made + last.kept} of {last.total} pictures, {last.made} of them new{_left_out(last)}")
    return last


def _left_out(ended: Ended) -> str:
    from pipelines.batch.events import counted

    parts = [f"{ended.failed} failed"] if ended.failed else []
    parts += [f"{counted(ended.rejected, 'row')} rejected"] if ended.rejected else []
    return f"; {', '.join(parts)}: see rejected.jsonl" if parts else ""


def _dry_run(file: str, form: str | None, out: str, options: Options, as_json: bool) -> None:
    from pipelines.batch import preview
    from pipelines.batch.events import counted
    from ui.batch_reports import duration
    from ui.terminal import say

    seen = preview(file, out=out, options=options, form=form)
    made, rejected = seen.plan, [one.record() for one in seen.plan.rejected]
    if as_json:
        counts = {"rows": made.rows, "total": made.pictures, "kept": seen.kept, "groups": len(made.groups)}
        cost = {"seconds": round(seen.estimate.seconds, 1), "bytes": seen.estimate.bytes}
        print(json.dumps({"event": "dry-run", **counts, **cost, "rejected": rejected}, ensure_ascii=False))
    else:
        for one in made.rejected:
            say(str(one))
        kept = f", {seen.kept} of them there already" if seen.kept else ""
        pictures = counted(made.pictures, "picture")
        print(f"{counted(made.rows, 'row')} of {made.source}, {len(rejected)} of them bad: {pictures}{kept}.")
        print(f"{counted(len(made.groups), 'group')} of up to {made.batch_size}; the first pictures:")
        for item in itertools.islice(made.items, 5):
            print(f"  {item.stem()}.{options.form}  {item.recipe.prompt}")
        took = f"about {duration(seen.estimate.seconds)} on this machine, as one short run says"
        print(f"Still to draw: {made.pictures - seen.kept}, {took}, and {seen.estimate.bytes / 2**20:.1f} MiB.")
    if rejected:
        raise typer.Exit(2 if options.on_error == "stop" else 1)


def _extras(out: str, sheet: str | None, parquet: bool, as_json: bool) -> None:
    from pipelines.batch import export
    from pipelines.batch.sheet import save_sheets

    written: list[Path] = []
    if parquet:
        written.append(export(out))
    if sheet is not None:
        down, _, across = (part.strip() for part in sheet.partition(","))
        written += save_sheets(out, down, across or None)
    for path in written:
        print(json.dumps({"event": "written", "file": path.name}) if as_json else path)


def _defaults(file: str | None, seed: str | None, flags: Flags) -> dict[str, object]:
    """Recipe fields from a TOML file, under those of the command line."""
    made: dict[str, object] = {}
    if file is not None:
        try:
            made = tomllib.loads(Path(file).read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
            raise BadValue("--defaults", file, "a TOML file of recipe fields", f"It is not: {error}") from error
    made |= flags.fields()
    if seed is not None:
        made["seed"] = [part.strip() for part in seed.split(",")] if "," in seed else seed
    return made


def _sweep(text: str) -> tuple[str, Sequence[object]]:
    """A field and its values from "guidance_scale=1,4,8" or 'prompt=["a fox, red", "a cat"]'."""
    from pipelines.batch.sources import read_value

    name, equals, values = text.partition("=")
    name = name.strip()
    if not equals or not name or not values.strip():
        raise BadValue("--sweep", text, "FIELD=A,B,C", "Try --sweep guidance_scale=1,4,8")
    if values.lstrip().startswith("["):
        try:
            listed = json.loads(values)
        except json.JSONDecodeError as error:
            raise BadValue("--sweep", text, f"FIELD= and a JSON list; {error.msg}") from error
        return name, listed
    return name, [read_value(name, value.strip()) for value in values.split(",")]
