"""Prompts that are templates, by dynamicprompts: `a {fox|cat} on __colors__`.

Only where they were asked for: the braces are no part of the prompt syntax that people paste.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Literal, get_args

from xattn.errors import BadValue, UnknownName

if TYPE_CHECKING:
    from dynamicprompts.commands import Command
    from dynamicprompts.sampling_context import SamplingContext
    from dynamicprompts.wildcards import WildcardManager

Variants = Literal["all", "random"]
_ENDLESS = 1000
"""Equal results in a row after which a template is taken for one that repeats itself for ever."""


@dataclass(frozen=True)
class Templates:
    """How templates are read.

    variants: "all" draws every variant with each of the row's seeds; "random" draws, for each seed, the variant that
        this seed chooses
    wildcards: the folder with what __name__ stands for: name.txt, one a line, or YAML and JSON collections
    """

    variants: Variants
    wildcards: Path | None = None

    def __post_init__(self) -> None:
        if self.variants not in get_args(Variants):
            raise UnknownName("templates", self.variants, get_args(Variants))
        if self.wildcards is not None and not self.wildcards.is_dir():
            raise BadValue("wildcards", str(self.wildcards), "a folder with files such as colors.txt")

    def spoken(self, template: str, seeds: Sequence[int]) -> Iterator[tuple[str, int]]:
        """The prompts with their seeds. Raises BadValue for what is no template, and for a wildcard with no values."""
        command = self._parsed(template)
        self._check(command, template, frozenset())
        if self.variants == "random":
            for seed in seeds:
                yield self._random(command, seed, template), seed
            return
        for prompt in self._all(command, template):
            for seed in seeds:
                yield prompt, seed

    @cached_property
    def _manager(self) -> WildcardManager:
        from dynamicprompts.wildcards import WildcardManager

        return WildcardManager(self.wildcards)

    def _parsed(self, template: str) -> Command:
        from dynamicprompts.parser.parse import parse
        from pyparsing import ParseBaseException

        try:
            return parse(template)
        except ParseBaseException as error:
            remedy = "Each { needs its }" if "{" in template else ""
            raise BadValue(
                "prompt", template, f"a template; at character {error.loc + 1}: {error.msg}", remedy
            ) from error

    def _check(self, part: object, template: str, inside: frozenset[str]) -> None:
        """Every wildcard that the template can come to has values, and none comes back to itself."""
        from dynamicprompts.commands import Command, LiteralCommand, WildcardCommand

        if isinstance(part, WildcardCommand):
            names = [part.wildcard] if isinstance(part.wildcard, str) else []
            if isinstance(part.wildcard, LiteralCommand):
                names = [part.wildcard.literal]
            for name in names:
                self._check_wildcard(name, template, inside)
        if isinstance(part, Command) or (dataclasses.is_dataclass(part) and not isinstance(part, type)):
            for one in dataclasses.fields(part):  # type: ignore[arg-type]
                self._check(getattr(part, one.name), template, inside)
        elif isinstance(part, list | tuple):
            for inner in part:
                self._check(inner, template, inside)

    def _check_wildcard(self, name: str, template: str, inside: frozenset[str]) -> None:
        if name in inside:
            raise BadValue("prompt", template, f"one whose wildcard __{name}__ does not come back to itself")
        values = self._manager.get_values(name).string_values
        if not values:
            remedy = f"The folder of wildcards has no {name}.txt, or nothing in it"
            if self.wildcards is None:
                remedy = "Give the folder that has them with --wildcards"
            raise BadValue("prompt", template, f"one whose wildcards have values; __{name}__ has none", remedy)
        for value in dict.fromkeys(values):
            self._check(self._parsed(value), template, inside | {name})

    def _random(self, command: Command, seed: int, template: str) -> str:
        from dynamicprompts.enums import SamplingMethod

        context = self._context(SamplingMethod.RANDOM, Random(seed))
        return self._one(itertools.islice(context.generator_from_command(command), 1), template)

    def _all(self, command: Command, template: str) -> Iterator[str]:
        from dynamicprompts.enums import SamplingMethod

        context = self._context(SamplingMethod.COMBINATORIAL, Random(0))
        repeated = 0
        seen: set[str] = set()
        for result in context.generator_from_command(command):
            prompt = str(result).strip()
            repeated = repeated + 1 if prompt in seen else 0
            if repeated >= _ENDLESS:
                return
            if not repeated:
                seen.add(prompt)
                yield prompt
        if not seen:
            raise BadValue("prompt", template, "a template with at least one variant")

    def _one(self, results: Iterator[object], template: str) -> str:
        for result in results:
            return str(result).strip()
        raise BadValue("prompt", template, "a template with at least one variant")

    def _context(self, method: object, rand: Random) -> SamplingContext:
        from dynamicprompts.enums import SamplingMethod
        from dynamicprompts.sampling_context import SamplingContext

        assert isinstance(method, SamplingMethod)
        return SamplingContext(default_sampling_method=method, wildcard_manager=self._manager, rand=rand)
