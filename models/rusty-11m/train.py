"""Train a Qwen2 model from scratch on the token files of prepare.py.

    python train.py --data DIR --out DIR [--steps 2800] [--device cuda] [--dropout 0.3] ...

Writes OUT/model-0000N.safetensors (Hugging Face tensor names, shards below 15 MB), OUT/model.json (the shape) and
OUT/loss.csv. Each sequence is a random window of one tier, the tier drawn by `MIX`; the loss covers every token.
"""

import argparse
import csv
import dataclasses
import json
import math
import pathlib
import time

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from torch import nn

# How often a sequence comes from each tier. Prose outweighs signatures so that the model writes sentences.
MIX = {"prose": 0.43, "std": 0.20, "code": 0.05, "chat": 0.32}
SHARD_BYTES = 15_000_000


@dataclasses.dataclass
class Shape:
    vocab_size: int = 6144
    hidden_size: int = 256
    intermediate_size: int = 768
    num_hidden_layers: int = 12
    num_attention_heads: int = 4
    num_key_value_heads: int = 2
    head_dim: int = 64
    max_position_embeddings: int = 1024
    rope_theta: float = 10000.0
    rms_norm_eps: float = 1e-6


class RMSNorm(nn.Module):
    def __init__(self, size, eps):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(size))
        self.eps = eps

    def forward(self, x):
        return F.rms_norm(x.float(), (x.shape[-1],), self.weight, self.eps)


class Attention(nn.Module):
    def __init__(self, s):
        super().__init__()
        self.s = s
        self.q_proj = nn.Linear(s.hidden_size, s.num_attention_heads * s.head_dim)
        self.k_proj = nn.Linear(s.hidden_size, s.num_key_value_heads * s.head_dim)
        self.v_proj = nn.Linear(s.hidden_size, s.num_key_value_heads * s.head_dim)
        self.o_proj = nn.Linear(s.num_attention_heads * s.head_dim, s.hidden_size, bias=False)

    def forward(self, x, cos, sin):
        b, t, _ = x.shape
        s = self.s
        q = self.q_proj(x).view(b, t, s.num_attention_heads, s.head_dim).transpose(1, 2)  # (B, H, T, D)
        k = self.k_proj(x).view(b, t, s.num_key_value_heads, s.head_dim).transpose(1, 2)
        v = self.v_proj(x).view(b, t, s.num_key_value_heads, s.head_dim).transpose(1, 2)
        q, k = rotate(q, cos, sin), rotate(k, cos, sin)
        groups = s.num_attention_heads // s.num_key_value_heads
        k, v = k.repeat_interleave(groups, 1), v.repeat_interleave(groups, 1)
        y = F.scaled_dot_product_attention(q.to(v.dtype), k.to(v.dtype), v, is_causal=True)
        return self.o_proj(y.transpose(1, 2).reshape(b, t, -1))


def rotate(x, cos, sin):
    """Rotary position embedding, halves paired as in Qwen2."""
    a, b = x.chunk(2, -1)
    return x * cos + torch.cat((-b, a), -1) * sin


class Mlp(nn.Module):
    def __init__(self, s):
        super().__init__()
        self.gate_proj = nn.Linear(s.hidden_size, s.intermediate_size, bias=False)
        self.up_proj = nn.Linear(s.hidden_size, s.intermediate_size, bias=False)
        self.down_proj = nn.Linear(s.intermediate_size, s.hidden_size, bias=False)

    def forward(self, x):
        return self.down_proj(F.silu(self.gate_proj(x)) * self.up_proj(x))


class Layer(nn.Module):
    def __init__(self, s, dropout):
        super().__init__()
        self.input_layernorm = RMSNorm(s.hidden_size, s.rms_norm_eps)
        self.self_attn = Attention(s)
        self.post_attention_layernorm = RMSNorm(s.hidden_size, s.rms_norm_eps)
        self.mlp = Mlp(s)
        self.drop = nn.Dropout(dropout)

    def forward(self, x, cos, sin):
        x = x + self.drop(self.self_attn(self.input_layernorm(x), cos, sin))
        return x + self.drop(self.mlp(self.post_attention_layernorm(x)))


class Qwen2(nn.Module):
    """Returns the mean cross entropy of `targets` (B, T), or the logits (B, T, V) without them."""

    def __init__(self, s, dropout):
        super().__init__()
        self.s = s
        self.embed_tokens = nn.Embedding(s.vocab_size, s.hidden_size)
        self.layers = nn.ModuleList(Layer(s, dropout) for _ in range(s.num_hidden_layers))
        self.norm = RMSNorm(s.hidden_size, s.rms_norm_eps)
        self.drop = nn.Dropout(dropout)
        inverse = s.rope_theta ** (-torch.arange(0, s.head_dim, 2).float() / s.head_dim)
        angles = torch.outer(torch.arange(s.max_position_embeddings).float(), inverse).repeat(1, 2)
        self.register_buffer("cos", angles.cos(), persistent=False)
        self.register_buffer("sin", angles.sin(), persistent=False)
        for name, p in self.named_parameters():
            if p.dim() == 2:
                # The two projections that write to the residual stream start smaller, by its depth.
                deep = name.endswith(("o_proj.weight", "down_proj.weight"))
                nn.init.normal_(p, std=0.02 / math.sqrt(2 * s.num_hidden_layers) if deep else 0.02)
            elif name.endswith("bias"):
                nn.init.zeros_(p)

    def forward(self, ids, targets=None):
        cos, sin = self.cos[:ids.shape[1]], self.sin[:ids.shape[1]]
        x = self.drop(self.embed_tokens(ids))
        for layer in self.layers:
            x = layer(x, cos, sin)
        logits = F.linear(self.norm(x), self.embed_tokens.weight)
        if targets is None:
            return logits
        return F.cross_entropy(logits.float().view(-1, logits.shape[-1]), targets.reshape(-1))


class Data:
    """Random windows of the training tiers, and the held-out tiers cut into consecutive windows."""

    def __init__(self, folder, context, device, seed):
        self.context, self.device = context, device
        load = lambda tier, split: torch.from_numpy(np.load(folder / f"{tier}.{split}.npy").astype(np.int64)).to(device)
        self.train = {tier: load(tier, "train") for tier in MIX}
        self.val = {tier: load(tier, "val") for tier in MIX}
        # All tiers lie in one tensor, so that a batch is one gather.
        self.all = torch.cat(list(self.train.values()))
        sizes = torch.tensor([len(t) for t in self.train.values()], device=device)
        self.starts = torch.cumsum(sizes, 0) - sizes
        self.room = sizes - context - 1
        self.weights = torch.tensor(list(MIX.values()), device=device)
        self.generator = torch.Generator(device=device).manual_seed(seed)
        self.window = torch.arange(context + 1, device=device)

    def batch(self, size):
        tiers = torch.multinomial(self.weights, size, replacement=True, generator=self.generator)
        offsets = (torch.rand(size, device=self.device, generator=self.generator) * self.room[tiers]).long()
        rows = self.all[(self.starts[tiers] + offsets)[:, None] + self.window]
        return rows[:, :-1], rows[:, 1:]

    def validation(self, tier, limit=64):
        ids = self.val[tier]
        count = min((len(ids) - 1) // self.context, limit)
        x = ids[:count * self.context].view(count, self.context)
        return x, ids[1:count * self.context + 1].view(count, self.context)


@torch.no_grad()
def evaluate(model, data, cast):
    model.eval()
    losses = {}
    for tier in MIX:
        x, y = data.validation(tier)
        with cast():
            losses[tier] = sum(model(x[i:i + 1], y[i:i + 1]).item() for i in range(len(x))) / max(len(x), 1)
    model.train()
    return losses


def optimizers(model, args):
    """AdamW, or Muon for the matrices of the layers and AdamW for the rest."""
    layered = [p for n, p in model.named_parameters() if p.dim() == 2 and n.startswith("layers")]
    embed = [model.embed_tokens.weight]
    flat = [p for p in model.parameters() if p.dim() == 1]
    fused = args.device == "cuda"
    if args.optimizer == "adamw":
        groups = [{"params": layered + embed, "weight_decay": args.weight_decay}, {"params": flat, "weight_decay": 0.0}]
        return [torch.optim.AdamW(groups, lr=args.lr, betas=(0.9, 0.95), fused=fused)]
    muon = torch.optim.Muon(layered, lr=args.lr, weight_decay=args.weight_decay, adjust_lr_fn="match_rms_adamw")
    groups = [{"params": embed, "weight_decay": args.weight_decay}, {"params": flat, "weight_decay": 0.0}]
    return [muon, torch.optim.AdamW(groups, lr=args.lr, betas=(0.9, 0.95), fused=fused)]


def rate(step, args):
    """Linear warm-up, then a cosine down to a fiftieth."""
    if step < args.warmup:
        return (step + 1) / args.warmup
    done = (step - args.warmup) / max(1, args.steps - args.warmup)
    return 0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * min(1.0, done)))


def save(model, folder, dtype):
    """Hugging Face names, in shards."""
    tensors = {f"model.{n}": p.detach().to(getattr(torch, dtype)).cpu().contiguous() for n, p in model.named_parameters()}
    shards, size = [{}], 0
    for name, tensor in tensors.items():
        if size + tensor.nbytes > SHARD_BYTES:
            shards.append({})
            size = 0
        shards[-1][name] = tensor
        size += tensor.nbytes
    for number, shard in enumerate(shards, 1):
        save_file(shard, folder / f"model-{number:05}.safetensors")
    (folder / "model.json").write_text(json.dumps(dataclasses.asdict(model.s), indent=2) + "\n")


def main():
    args = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    args.add_argument("--data", type=pathlib.Path, required=True)
    args.add_argument("--out", type=pathlib.Path, required=True)
    args.add_argument("--steps", type=int, default=2800)
    args.add_argument("--batch", type=int, default=64, help="sequences a step")
    args.add_argument("--context", type=int, default=1024)
    args.add_argument("--lr", type=float, default=4e-3)
    args.add_argument("--warmup", type=int, default=150)
    args.add_argument("--weight-decay", type=float, default=0.1)
    args.add_argument("--dropout", type=float, default=0.3)
    args.add_argument("--optimizer", choices=["adamw", "muon"], default="adamw")
    args.add_argument("--eval-every", type=int, default=200)
    args.add_argument("--seed", type=int, default=1)
    args.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    args.add_argument("--layers", type=int, default=Shape.num_hidden_layers)
    args.add_argument("--save", choices=["float32", "float16"], default="float32")
    args.add_argument("--hours", type=float, default=1.0, help="stop after this time whatever the step")
    args = args.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(args.seed)
    torch.set_float32_matmul_precision("high")

    shape = Shape(num_hidden_layers=args.layers, max_position_embeddings=args.context)
    raw = Qwen2(shape, args.dropout).to(args.device)
    data = Data(args.data, args.context, args.device, args.seed)
    cuda = args.device == "cuda"
    model = torch.compile(raw) if cuda else raw
    cast = lambda: torch.autocast(args.device, dtype=torch.bfloat16, enabled=cuda)
    opts = optimizers(raw, args)
    parameters = sum(p.numel() for p in raw.parameters())
    print(f"{parameters:,} parameters, {len(data.all):,} training tokens, {args.steps * args.batch * args.context:,} to draw", flush=True)

    start, recent = time.time(), []
    with (args.out / "loss.csv").open("w", newline="") as file:
        log = csv.writer(file)
        log.writerow(["step", "tokens", "seconds", "lr", "train", *(f"val_{tier}" for tier in MIX)])
        for step in range(args.steps + 1):
            last = step == args.steps or time.time() - start > args.hours * 3600
            if step % args.eval_every == 0 and step > 0 or last:
                losses = evaluate(raw, data, cast)
                train = torch.stack(recent).mean().item() if recent else float("nan")
                recent = []
                row = [step, step * args.batch * args.context, round(time.time() - start, 1), f"{args.lr * rate(step, args):.3g}",
                       round(train, 4), *(round(v, 4) for v in losses.values())]
                log.writerow(row)
                file.flush()
                print(*row, flush=True)
                save(raw, args.out, args.save)
            if last:
                break
            for opt in opts:
                for group in opt.param_groups:
                    group["lr"] = args.lr * rate(step, args)
            x, y = data.batch(args.batch)
            with cast():
                loss = model(x, y)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(raw.parameters(), 1.0)
            for opt in opts:
                opt.step()
                opt.zero_grad(set_to_none=True)
            recent.append(loss.detach())
    print(f"done in {time.time() - start:.0f} s", flush=True)


if __name__ == "__main__":
    main()
