"""What a recipe will do, told before it is done: rows, text, and for every attention site its call, kernel and cost."""

from __future__ import annotations

from dataclasses import dataclass

from pipelines.capture import Capture
from pipelines.guidance.guide import Guide
from pipelines.load import Model
from pipelines.recipe import Recipe
from pipelines.site_calls import SiteExplanation, sites_of
from pipelines.stages import stages
from pipelines.step_text import said
from xattn.sites import Role


@dataclass(frozen=True, slots=True)
class Explanation:
    """A recipe's plan. `str()` is for people, `document()` for programs."""

    recipe: Recipe
    roles: tuple[Role, ...]
    chunks: int
    sites: tuple[SiteExplanation, ...]
    conflicts: tuple[str, ...] = ()
    commuting: tuple[str, ...] = ()

    @property
    def flops(self) -> int:
        """Of all attention calls of one step."""
        return sum(site.flops for site in self.sites)

    def document(self) -> dict[str, object]:
        """The same as JSON's types."""
        return {
            "recipe": self.recipe.portable().document(),
            "rows": list(self.roles),
            "chunks": self.chunks,
            "attention_flops_a_step": self.flops,
            "conflicts": list(self.conflicts),
            "commuting": list(self.commuting),
            "sites": [
                {
                    "site": one.site.name,
                    "kind": one.site.kind,
                    "grid": list(one.grid),
                    "queries": one.queries,
                    "keys": one.keys,
                    "heads": one.site.heads,
                    "head_dim": one.site.head_dim,
                    "lanes": one.lanes,
                    "kernel": one.kernel,
                    "why": list(one.why),
                    "flops": one.flops,
                    "program": list(one.program),
                }
                for one in self.sites
            ],
        }

    def __str__(self) -> str:
        recipe = self.recipe
        head = [
            f'"{recipe.prompt}"',
            "; then ".join(map(str, stages(recipe))) + f"; guidance {recipe.guidance_scale:g}, seed {recipe.seed}",
            f"Rows a picture: {', '.join(self.roles)}. Text: {self.chunks} × 77 tokens, keys and values made once.",
            "",
        ]
        table = [("site", "grid", "keys", "lanes", "kernel", "MFLOP", "program")]
        for one in self.sites:
            grid = f"{one.grid[0]}×{one.grid[1]}"
            table.append(
                (
                    one.site.name,
                    grid,
                    str(one.keys),
                    str(one.lanes),
                    one.kernel,
                    f"{one.flops / 1e6:.1f}",
                    ", ".join(one.program) or "plain",
                )
            )
        widths = [max(len(row[column]) for row in table) for column in range(len(table[0]))]
        lines = [
            "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in table
        ]
        why = {one.kernel: one.why for one in self.sites}
        tail = [f"Attention: {self.flops / 1e9:.2f} GFLOP a step."]
        for kernel, answers in why.items():
            tail.append(f"{kernel}, because of these, in auto's order, it is the first that can: " + "; ".join(answers))
        tail += [f"Conflict: {sentence}" for sentence in self.conflicts]
        tail += [f"Commute: {sentence}" for sentence in self.commuting]
        if not self.recipe.edits:
            tail.append("No edits, so nothing conflicts and nothing has an order.")
        return "\n".join([*head, *lines, "", *tail])


def explain(model: Model, recipe: Recipe, capture: Capture | None) -> Explanation:
    """The explanation of one resolved recipe, at its own size (later passes run the same sites on larger grids).

    Raises Unsupported, UnknownWord: what is wrong with a recipe is told here as it would be before its run.
    """
    roles = Guide(recipe.guidance, [recipe.guidance_scale or 1.0]).roles
    planned = stages(recipe)[0].planned
    ledgers = {
        role: [model.text.ledger(reading) for reading in dict.fromkeys(said(planned, negative=role == "uncond"))]
        for role in ("cond", "uncond")
    }
    latent = ((recipe.height or 0) // model.vae.factor, (recipe.width or 0) // model.vae.factor)
    watched = 0 if capture is None else len(capture.phrases(*ledgers[capture.role]))
    read = [ledger for role in roles for ledger in ledgers[role]]
    chunks = max(ledger.chunks for ledger in read)
    tokens = max(len(ledger.tokens) // ledger.chunks for ledger in read) * chunks
    return Explanation(recipe, roles, chunks, sites_of(model.unet, latent, len(roles), tokens, watched=watched))
