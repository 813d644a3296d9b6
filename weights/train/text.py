"""Stage 2: the text tower, trained as what it is, contrastively (Radford et al. 2021, CLIP).

Captions against their scenes' latents seen by a small convolutional tower that is thrown away afterwards. Without
this stage the UNet learns backgrounds first and leaves objects blobs of any colour for long.
"""

from __future__ import annotations

import time
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import CLIPTextConfig, CLIPTextModel

from weights.train import workers
from weights.train.data import TOKENS, Ring
from weights.train.loop import Log, Run, flat_tail

WIDTH = 128


def build(vocabulary: int) -> CLIPTextModel:
    """The tower: causal, quick-GELU, as SD1's but 128 wide and four layers deep.

    Eager attention: at this size the fused backward pass on a CPU costs more than the matrices.
    """
    config = CLIPTextConfig(
        vocab_size=vocabulary,
        hidden_size=WIDTH,
        intermediate_size=4 * WIDTH,
        projection_dim=WIDTH,
        num_hidden_layers=4,
        num_attention_heads=4,
        max_position_embeddings=TOKENS,
        bos_token_id=vocabulary - 2,
        eos_token_id=vocabulary - 1,
        pad_token_id=vocabulary - 1,
        attn_implementation="eager",
    )
    return CLIPTextModel(config)


class Eye(nn.Module):
    """Latents `[B, 8, 16, 16]` → unit vectors `[B, 128]`. Strides, not pooling alone: the relation needs places."""

    def __init__(self, width: int = 96) -> None:
        super().__init__()

        def block(inputs: int, outputs: int, stride: int) -> nn.Sequential:
            return nn.Sequential(nn.Conv2d(inputs, outputs, 3, stride, padding=1), nn.GroupNorm(8, outputs), nn.SiLU())

        self.body = nn.Sequential(
            block(8, width, 1), block(width, width, 2), block(width, width, 1), block(width, 2 * width, 2)
        )
        self.head = nn.Linear(2 * width * 16, WIDTH)

    def forward(self, latents: Tensor) -> Tensor:
        return F.normalize(self.head(self.body(latents).flatten(1)), dim=-1)


class Matching(nn.Module):
    """Both towers and the temperature, so that one checkpoint holds them."""

    def __init__(self, vocabulary: int) -> None:
        super().__init__()
        self.text = build(vocabulary)
        self.eye = Eye()
        self.project = nn.Linear(WIDTH, WIDTH, bias=False)
        self.log_scale = nn.Parameter(torch.tensor(2.65))

    def loss(self, latents: Tensor, ids: Tensor) -> tuple[Tensor, Tensor]:
        """InfoNCE both ways and the share of captions that find their own scene."""
        # the tower is causal: tokens past the longest caption change nothing before them
        longest = int((ids != ids[0, -1]).sum(dim=1).max()) + 1
        pooled = self.text(input_ids=ids[:, :longest]).pooler_output
        texts = F.normalize(self.project(pooled).float(), dim=-1)
        logits = self.log_scale.exp().clamp(max=100) * texts @ self.eye(latents).float().T
        target = torch.arange(len(ids))
        loss = (F.cross_entropy(logits, target) + F.cross_entropy(logits.T, target)) / 2
        return loss, (logits.argmax(dim=1) == target).float().mean()


def train(folder: Path, ring: Ring, minutes: float, batch: int = 96, rate: float = 1e-3) -> CLIPTextModel:
    torch.manual_seed(2)
    model = Matching(len(ring.tokenizer))
    optimizer = torch.optim.AdamW(model.parameters(), lr=rate, betas=(0.9, 0.98), weight_decay=0.01, fused=True)
    run = Run(folder / "text.pt", model=model, optimizer=optimizer)
    log = Log(folder / "text.log", every=25)
    generator = torch.Generator().manual_seed(run.step + 2 + 500_000 * workers.rank())
    while run.seconds < minutes * 60:
        began = time.monotonic()
        for group in optimizer.param_groups:
            group["lr"] = rate * flat_tail(run.step, run.seconds / (minutes * 60), warmup=50)
        ring.add(16)
        drawn = ring.sample(batch, generator)
        with torch.autocast("cpu", torch.bfloat16):
            loss, accuracy = model.loss(drawn.latents, drawn.ids)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        workers.share(model.parameters())
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        run.tick(time.monotonic() - began)
        log.add(run, loss=float(loss.detach()), accuracy=float(accuracy))
        if run.step % 200 == 0:
            run.save()
    run.save()
    return model.text
