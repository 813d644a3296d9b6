"""What every edit means, in float64, on materialised probabilities: one matrix a lane, edited as the papers write it.

Written apart from the package: it reads the parts' fields and shares no code with how they are composed or run.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from xattn import parts as p

FLOOR = 1e-12


def softmax_rows(scores: Tensor) -> Tensor:
    """softmax over the last axis; a row of −inf becomes zeros."""
    top = scores.amax(dim=-1, keepdim=True)
    weights = torch.where(top == -torch.inf, 0.0, (scores - torch.where(top == -torch.inf, 0.0, top)).exp())
    total = weights.sum(dim=-1, keepdim=True)
    return torch.where(total == 0, 0.0, weights / torch.where(total == 0, 1.0, total))


def lse_rows(scores: Tensor) -> Tensor:
    return torch.logsumexp(scores, dim=-1)


def scores_of(query: Tensor, key: Tensor, scale: float, bias: Tensor | None = None, causal: bool = False) -> Tensor:
    """[B, H, N, M] in float64, each query head beside its own copy of a key head."""
    q, k = query.double(), key.double()
    heads = [k[:, h // (q.shape[1] // k.shape[1])] for h in range(q.shape[1])]
    scores = torch.einsum("bhnd,bhmd->bhnm", q, torch.stack(heads, dim=1)) * scale
    if bias is not None:
        scores = scores + bias.double()
    if causal:
        n, m = scores.shape[-2:]
        hidden = torch.arange(m)[None, :] > torch.arange(n)[:, None]
        scores = torch.where(hidden, -torch.inf, scores)
    return scores


def attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    bias: Tensor | None = None,
    causal: bool = False,
    scale: float | None = None,
) -> tuple[Tensor, Tensor]:
    """Output and log-sum-exp, float64."""
    scores = scores_of(query, key, query.shape[-1] ** -0.5 if scale is None else scale, bias, causal)
    group = query.shape[1] // key.shape[1]
    values = torch.stack([value.double()[:, h // group] for h in range(query.shape[1])], dim=1)
    return torch.einsum("bhnm,bhmd->bhnd", softmax_rows(scores), values), lse_rows(scores)


@dataclass
class Problem:
    """Inputs of one call: query [B, H, N, D], sources by name (key, value), and the site's own source."""

    query: Tensor
    sources: Mapping[str, tuple[Tensor, Tensor]]
    plain: str

    @property
    def lanes(self) -> int:
        return self.query.shape[0] * self.query.shape[1]

    def to(self, dtype: torch.dtype) -> Problem:
        return Problem(
            self.query.to(dtype), {n: (k.to(dtype), v.to(dtype)) for n, (k, v) in self.sources.items()}, self.plain
        )


class Oracle:
    """Materialised P of each lane and source, and what the parts make of it, one after another."""

    def __init__(self, problem: Problem, parts: Sequence[p.Part]) -> None:
        batch, self.heads, self.places, width = problem.query.shape
        self.count, self.scale, self.plain = batch * self.heads, width**-0.5, problem.plain
        self.query = problem.query.double().flatten(0, 1)
        self.key = {name: self._spread(key) for name, (key, _) in problem.sources.items()}
        self.value = {name: self._spread(value) for name, (_, value) in problem.sources.items()}
        self.parts = parts
        self.softmax = {name: self._softmax(name) for name in problem.sources}
        self.model = {name: softmax_rows(self.query @ self.key[name].mT * self.scale) for name in problem.sources}
        self.probs = {self.plain: self.softmax[self.plain].clone()}
        self.from_lane = {name: self._values(name) for name in problem.sources}
        self.gate = torch.ones(self.count, dtype=torch.float64)
        self.output: dict[int, Tensor] = {}
        self.override: dict[int, Tensor] = {}

    def run(self) -> tuple[Tensor, Tensor | None]:
        """Output [lanes, N, value_dim] and taps [lanes, N, n]."""
        taps: dict[int, Tensor] = {}
        for index, part in enumerate(self.parts):
            if isinstance(part, p.Watch) and part.at != "edited":
                taps[index] = self._read(part)
            elif not isinstance(part, p.Watch):
                self._apply(part)
        for index, part in enumerate(self.parts):
            if isinstance(part, p.Watch) and part.at == "edited":
                taps[index] = self._read(part)
        rows = []
        for lane in range(self.count):
            total = sum(
                probs[lane] @ self.value[name][self.from_lane[name][lane]] for name, probs in self.probs.items()
            )
            rows.append(self.output.get(lane, total) * self.gate[lane])
        return torch.stack(rows), torch.cat([taps[i] for i in sorted(taps)], dim=-1) if taps else None

    def _spread(self, tensor: Tensor) -> Tensor:
        group = self.heads // tensor.shape[1]
        return torch.stack([row[h // group] for row in tensor.double() for h in range(self.heads)])

    def _on(self, part: p.Part) -> list[int]:
        return list(range(self.count)) if part.on is None else list(part.on)

    def _idle(self, part: p.Part) -> bool:
        """A route of lanes to themselves is nothing, by its parameters, whatever stands before it."""
        own = (None, tuple(self._on(part)))
        return isinstance(part, p.Route) and part.key_from in own and part.value_from in own

    def _values(self, name: str) -> list[int]:
        lanes = list(range(self.count))
        for part in self.parts:
            if self._idle(part):
                continue
            if isinstance(part, p.Route) and (part.keys or self.plain) == name and part.value_from:
                for lane, source in zip(self._on(part), part.value_from, strict=True):
                    lanes[lane] = source
        return lanes

    def _softmax(self, name: str) -> Tensor:
        query, key = self.query.clone(), self.key[name].clone()
        about = [q for q in self.parts if not isinstance(q, p.OutputField | p.Gate | p.Replace)]
        about = [q for q in about if (q.keys or self.plain) == name and not self._idle(q)]
        for part in about:
            on = self._on(part)
            if isinstance(part, p.Route) and part.key_from:
                key[on] = self.key[name][list(part.key_from)]
            if isinstance(part, p.QueryTransform):
                query[on] = part.transform(query[on])
        raw = query @ key.mT * self.scale
        scores = raw.clone()
        for part in about:
            if isinstance(part, p.KeyScale):
                for place, lane in enumerate(self._on(part)):
                    scores[lane] = scores[lane] * one(part.factor, place, 1)[None, :]
        for part in about:
            if isinstance(part, p.Bias):
                for place, lane in enumerate(self._on(part)):
                    tokens = one(part.tokens, place, 1)[None, :]
                    if callable(part.field) and not isinstance(part.field, Tensor):
                        field = part.field(raw[lane].amin(-1)[None], raw[lane].amax(-1)[None])[0][:, None]
                    else:
                        field = one(part.field, place, 1)[:, None]
                    scores[lane] += torch.where((field == 0) | (tokens == 0), 0.0, field * tokens)
        return softmax_rows(scores)

    def _read(self, part: p.Watch) -> Tensor:
        name = part.keys or self.plain
        probs = self.model[name] if part.at == "model" else self.probs.get(name, torch.zeros_like(self.model[name]))
        columns = probs @ part.weights.double()
        if part.at != "model" and name == self.plain:
            for lane, instead in self.override.items():
                columns[lane] = instead @ part.weights.double()
        out = torch.zeros_like(columns)
        out[self._on(part)] = columns[self._on(part)]
        return out

    def _apply(self, part: p.Part) -> None:
        on = self._on(part)
        if isinstance(part, p.Mix):
            self._mix(part, on)
            return
        if isinstance(part, p.AddSource):
            self.probs.setdefault(part.keys, torch.zeros_like(self.softmax[part.keys]))
        for place, lane in enumerate(on):
            self._apply_to(part, place, lane)

    def _apply_to(self, part: p.Part, place: int, lane: int) -> None:
        if isinstance(part, p.Gate):
            self.gate[lane] *= one(part.value, place, 0)
        elif isinstance(part, p.Replace):
            self._replace(part, place, lane)
        elif isinstance(part, p.OutputField):
            for probs in self.probs.values():
                probs[lane] *= one(part.field, place, 1)[:, None]
        elif isinstance(part, p.AddSource):
            field = torch.ones(self.places).double() if part.field is None else one(part.field, place, 1)
            self.probs[part.keys][lane] += field[:, None] * self.softmax[part.keys][lane]
        elif isinstance(part, p.TokenDiagonal | p.TokenMap | p.SetMap | p.GainMap | p.MoveMap):
            probs, softmax = self.probs[part.keys or self.plain], self.softmax[part.keys or self.plain]
            probs[lane] = self._column(part, place, probs[lane], softmax[lane])

    def _replace(self, part: p.Replace, place: int, lane: int) -> None:
        if isinstance(part.how, Tensor):
            self.output[lane] = part.how[place].double()
            return
        own = self.model[self.plain][lane]
        self.override[lane] = torch.eye(self.places).double() if part.how == "identity" else part.how(own[None])[0]
        self.output[lane] = self.override[lane] @ self.value[self.plain][lane]

    def _mix(self, part: p.Mix, on: list[int]) -> None:
        probs = self.probs[part.keys or self.plain]
        before = probs.clone()
        width = probs.shape[-1]
        for place, (lane, source) in enumerate(zip(on, part.source, strict=True)):
            matrix = torch.eye(width).double() if part.matrix is None else one(part.matrix, place, 2)
            alpha = one(part.alpha, place, 1)
            alpha = alpha.expand(width) if alpha.dim() == 0 else alpha
            probs[lane] = before[source] @ matrix * alpha + before[lane] * (1 - alpha)

    def _column(self, part: p.Part, place: int, probs: Tensor, softmax: Tensor) -> Tensor:
        if isinstance(part, p.TokenMap):
            return probs @ one(part.matrix, place, 2)
        assert isinstance(part, p.TokenDiagonal | p.SetMap | p.GainMap | p.MoveMap)
        columns, after = list(part.columns), probs.clone()
        if isinstance(part, p.TokenDiagonal):
            after[:, columns] *= one(part.scale, place, 1)
        elif isinstance(part, p.GainMap):
            after[:, columns] *= one(part.field, place, 1)[:, None]
        elif isinstance(part, p.MoveMap):
            moved = part.warp(probs[None][:, :, columns])[0]
            if part.renormalise:
                after *= (1 - moved.sum(-1, keepdim=True)) / others(softmax, columns)
            after[:, columns] = moved
        else:
            mass = probs[:, columns].sum(-1, keepdim=True)
            target = one(part.field, place, 1)[:, None] * (mass.mean() if part.relative else 1.0)
            if part.renormalise:
                target = target.clamp(max=1.0)
                after *= (1 - target) / others(softmax, columns)
            uniform = torch.full((len(columns),), 1 / len(columns)).double()
            share = torch.where(mass > FLOOR, probs[:, columns] / torch.where(mass > FLOOR, mass, 1.0), uniform)
            after[:, columns] = target * share
        return after


def others(softmax: Tensor, columns: list[int]) -> Tensor:
    """What these columns leave of each row, [N, 1]: the others' sum, for 1 − P has no digits left where P is near 1."""
    rest = softmax.clone()
    rest[:, columns] = 0
    return rest.sum(-1, keepdim=True)


def one(given: Tensor | float, place: int, dims: int) -> Tensor:
    """The value of one lane: `given` has `dims` dimensions for all lanes, or one more."""
    tensor = torch.as_tensor(given, dtype=torch.float64)
    return tensor[place] if tensor.dim() > dims else tensor
