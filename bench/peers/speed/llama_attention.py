"""llama.cpp's flash attention, keys and values f16 as in its cache: one query of 32 heads.

argv: threads, folder of llama.cpp's shared libraries. Each copy is a layer of one graph, as in a
decode step; no mask, which spares llama.cpp some work.

tokens  rows lie token by token, [tokens, 8, 128], as its cache has them
heads   rows lie head by head, [8, tokens, 128], which is kinder to it: fewer pages of memory a head
"""

import ctypes
import glob
import sys
import time
from ctypes import POINTER, c_bool, c_char_p, c_float, c_int, c_int64, c_size_t, c_void_p

import numpy

import rival

KV_HEADS, GROUP, DIM = 8, 4, 128
F32, F16, CPU = 0, 1, 0


class InitParams(ctypes.Structure):
    _fields_ = [("mem_size", c_size_t), ("mem_buffer", c_void_p), ("no_alloc", c_bool)]


SIGNATURES = {
    "ggml_init": (c_void_p, [InitParams]),
    "ggml_free": (None, [c_void_p]),
    "ggml_new_tensor_4d": (c_void_p, [c_void_p, c_int] + [c_int64] * 4),
    "ggml_permute": (c_void_p, [c_void_p, c_void_p] + [c_int] * 4),
    "ggml_flash_attn_ext": (c_void_p, [c_void_p] * 5 + [c_float] * 3),
    "ggml_new_graph": (c_void_p, [c_void_p]),
    "ggml_build_forward_expand": (None, [c_void_p, c_void_p]),
    "ggml_backend_load_all_from_path": (None, [c_char_p]),
    "ggml_backend_init_by_type": (c_void_p, [c_int, c_char_p]),
    "ggml_backend_get_device": (c_void_p, [c_void_p]),
    "ggml_backend_dev_backend_reg": (c_void_p, [c_void_p]),
    "ggml_backend_reg_get_proc_address": (c_void_p, [c_void_p, c_char_p]),
    "ggml_backend_alloc_ctx_tensors": (c_void_p, [c_void_p, c_void_p]),
    "ggml_backend_buffer_free": (None, [c_void_p]),
    "ggml_backend_tensor_set": (None, [c_void_p, c_void_p, c_size_t, c_size_t]),
    "ggml_backend_tensor_get": (None, [c_void_p, c_void_p, c_size_t, c_size_t]),
    "ggml_backend_graph_compute": (c_int, [c_void_p, c_void_p]),
}


def functions(folder):
    names = [*glob.glob(f"{folder}/libggml-base*.so"), *glob.glob(f"{folder}/libggml.*so")]
    libraries = [ctypes.CDLL(name, mode=ctypes.RTLD_GLOBAL) for name in names]
    for name, (result, arguments) in SIGNATURES.items():
        function = next(getattr(it, name) for it in libraries if hasattr(it, name))
        function.restype, function.argtypes = result, arguments
        yield name.removeprefix("ggml_"), function


class Attention:
    def __init__(self, threads, folder):
        self.ggml = ggml = type("Ggml", (), {it: staticmethod(f) for it, f in functions(folder)})
        ggml.backend_load_all_from_path(folder.encode())
        self.backend = ggml.backend_init_by_type(CPU, None)
        registry = ggml.backend_dev_backend_reg(ggml.backend_get_device(self.backend))
        place = ggml.backend_reg_get_proc_address(registry, b"ggml_backend_set_n_threads")
        ctypes.CFUNCTYPE(None, c_void_p, c_int)(place)(self.backend, threads)
        self.context = self.buffer = None
        self.graphs = {}
        self.random = numpy.random.default_rng(1)

    def fill(self, tokens, copies):
        ggml = self.ggml
        if self.context is not None:
            ggml.backend_buffer_free(self.buffer)
            ggml.free(self.context)
        self.context = context = ggml.init(InitParams(16 << 20, None, True))
        tensor = lambda kind, *sizes: ggml.new_tensor_4d(context, kind, *sizes, 1)
        query = tensor(F32, DIM, 1, KV_HEADS * GROUP)
        numbers = self.random.standard_normal(KV_HEADS * GROUP * DIM, "f4") * 1.5
        layers = {
            "tokens": [[tensor(F16, DIM, KV_HEADS, tokens) for _ in "kv"] for _ in range(copies)],
            "heads": [[tensor(F16, DIM, tokens, KV_HEADS) for _ in "kv"] for _ in range(copies)],
        }
        outputs = {name: self.build(name, query, rows) for name, rows in layers.items()}
        self.buffer = ggml.backend_alloc_ctx_tensors(context, self.backend)
        self.set(query, numbers)
        for name, rows in layers.items():
            for keys, values in rows:
                first = [self.set_random(it, tokens, name) for it in (keys, values)]
            self.compute(name)
            out = numpy.empty(KV_HEADS * GROUP * DIM, "f4")
            ggml.backend_tensor_get(outputs[name], out.ctypes.data, 0, out.nbytes)
            off = abs(out.reshape(KV_HEADS, GROUP, DIM) - exact(numbers, *first)).max()
            assert off < 2e-2, f"attention over {name} is off by {off}"

    def build(self, name, query, rows):
        """A graph of one layer after the other; the last one's output."""
        ggml, context = self.ggml, self.context
        self.graphs[name] = ggml.new_graph(context)
        for keys, values in rows:
            if name == "tokens":
                keys, values = (ggml.permute(context, it, 0, 2, 1, 3) for it in (keys, values))
            scales = DIM**-0.5, 0.0, 0.0
            output = ggml.flash_attn_ext(context, query, keys, values, None, *scales)
            ggml.build_forward_expand(self.graphs[name], output)
        return output

    def set(self, tensor, numbers):
        self.ggml.backend_tensor_set(tensor, numbers.ctypes.data, 0, numbers.nbytes)

    def set_random(self, tensor, tokens, name):
        """Fills a tensor; its numbers as [8, tokens, 128]."""
        numbers = self.random.standard_normal((KV_HEADS, tokens, DIM), "f4").astype("f2")
        lying = numbers.transpose(1, 0, 2) if name == "tokens" else numbers
        self.set(tensor, numpy.ascontiguousarray(lying))
        return numbers

    def compute(self, name):
        status = self.ggml.backend_graph_compute(self.backend, self.graphs[name])
        assert status == 0, "a graph failed"

    def answer(self, ask):
        if ask["do"] == "fill":
            self.copies = ask["copies"]
            self.fill(ask["tokens"], self.copies)
            return {}
        started = time.perf_counter()
        for _ in range(ask["passes"]):
            self.compute(ask["do"])
        calls = ask["passes"] * self.copies
        return {"ms": (time.perf_counter() - started) * 1e3 / calls}


def exact(query, keys, values):
    query = query.reshape(KV_HEADS, GROUP, DIM)
    keys, values = (it.astype("f4") for it in (keys, values))
    logits = query @ keys.transpose(0, 2, 1) * DIM**-0.5
    weights = numpy.exp(logits - logits.max(-1, keepdims=True))
    return weights / weights.sum(-1, keepdims=True) @ values


rival.serve(Attention(int(sys.argv[1]), sys.argv[2]).answer)
