"""Several processes, one thread each, that train one model: gradients are averaged after every backward pass.

    OMP_NUM_THREADS=1 torchrun --standalone --nproc-per-node 2 -m weights.train

On a machine that does other things too this is much the faster way: threads of one operator wait for each other,
processes once a step.
Every worker holds the whole state and takes the same step; only the first one writes.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence

import torch
from torch import Tensor
from torch import distributed as dist


def join() -> None:
    """Join the other workers, where torchrun started several."""
    if int(os.environ.get("WORLD_SIZE", "1")) > 1 and not dist.is_initialized():
        os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")
        dist.init_process_group("gloo")
        torch.set_num_threads(1)


def rank() -> int:
    return dist.get_rank() if dist.is_initialized() else 0


def share(parameters: Iterable[Tensor]) -> None:
    """Average the gradients over all workers, in place."""
    if not dist.is_initialized():
        return
    gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
    flat = torch.cat([gradient.flatten() for gradient in gradients])
    dist.all_reduce(flat)
    flat /= dist.get_world_size()
    parts = flat.split([gradient.numel() for gradient in gradients])
    torch._foreach_copy_(gradients, [part.view_as(g) for part, g in zip(parts, gradients, strict=True)])


def deal_out(jobs: Sequence[Callable[[], Tensor]], shapes: Sequence[tuple[int, ...]]) -> list[Tensor]:
    """The float16 results of all jobs, of these shapes, each computed by one worker and sent to the others."""
    if not dist.is_initialized():
        return [job() for job in jobs]
    count, mine = dist.get_world_size(), dist.get_rank()
    results = [torch.zeros(shape, dtype=torch.float16) for shape in shapes]
    for place, job in enumerate(jobs):
        turn = place % (2 * count)
        if min(turn, 2 * count - 1 - turn) == mine:
            results[place] = job()
    flat = torch.cat([result.flatten() for result in results])
    dist.all_reduce(flat)
    return [part.view(shape) for part, shape in zip(flat.split([r.numel() for r in results]), shapes, strict=True)]


def agree(value: float) -> float:
    """The first worker's value, so that all decide alike."""
    if not dist.is_initialized():
        return value
    shared = torch.tensor(value, dtype=torch.float64)
    dist.broadcast(shared, src=0)
    return float(shared)


def wait() -> None:
    if dist.is_initialized():
        dist.barrier()
