"""PyTorch's scaled_dot_product_attention, bf16: one query of 32 heads over 8 KV heads of 128.

gqa     as transformers calls it: [1, 32, 1, 128] over [1, 8, tokens, 128], enable_gqa
folded  the 4 query heads of a KV head as 4 queries of one head: the same numbers, rows read once
"""

import sys
import time

import torch
from torch.nn.functional import scaled_dot_product_attention as attend

import rival

KV_HEADS, GROUP, DIM = 8, 4, 128


class Attention:
    def __init__(self):
        self.rows = []

    def fill(self, tokens, copies):
        self.rows = [
            [torch.randn(1, KV_HEADS, tokens, DIM, dtype=torch.bfloat16) for _ in range(2)]
            for _ in range(copies)
        ]
        self.query = 1.5 * torch.randn(1, KV_HEADS * GROUP, 1, DIM).bfloat16()
        off = float((self.gqa(*self.rows[0]) - self.exact(*self.rows[0])).abs().max())
        assert off < 2e-2, f"attention is off by {off}"
        folded = self.folded(*self.rows[0]).reshape(1, KV_HEADS * GROUP, 1, DIM)
        off = float((folded - self.exact(*self.rows[0])).abs().max())
        assert off < 2e-2, f"folded attention is off by {off}"

    def exact(self, keys, values):
        query = self.query.float().view(KV_HEADS, GROUP, DIM)
        logits = query @ keys[0].float().transpose(1, 2) / DIM**0.5
        return (logits.softmax(-1) @ values[0].float()).reshape(1, KV_HEADS * GROUP, 1, DIM)

    def gqa(self, keys, values):
        return attend(self.query, keys, values, enable_gqa=True)

    def folded(self, keys, values):
        return attend(self.query.view(1, KV_HEADS, GROUP, DIM), keys, values)

    def answer(self, ask):
        if ask["do"] == "fill":
            self.fill(ask["tokens"], ask["copies"])
            return {"version": torch.__version__}
        kernel = getattr(self, ask["do"])
        started = time.perf_counter()
        for _ in range(ask["passes"]):
            for keys, values in self.rows:
                kernel(keys, values)
        calls = ask["passes"] * len(self.rows)
        return {"ms": (time.perf_counter() - started) * 1e3 / calls}


torch.set_num_threads(int(sys.argv[1]))
torch.set_grad_enabled(False)
rival.serve(Attention().answer)
