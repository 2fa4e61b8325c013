"""Writes gguf/llama-k.*.gguf, tiny Llama models whose weights are random K-quants, mixed as
llama.cpp's Q4_K_M and Q5_K_M mix them, and what a float64 reference makes of them. The reference
must first give the logits of gguf/llama-plain.q4_1.gguf, which transformers made.
Run: python3 tests/golden/k_quants.py (numpy, gguf 0.19.0).
"""

import json
from pathlib import Path

import numpy as np
from gguf import GGMLQuantizationType as Type
from gguf import GGUFReader, GGUFWriter
from gguf.quants import dequantize

FOLDER = Path(__file__).parent / "gguf"
HIDDEN, MLP, HEADS, KV_HEADS, HEAD, VOCABULARY = 256, 256, 8, 2, 32, 160
BLOCK_BYTES = {Type.Q4_K: 144, Type.Q5_K: 176, Type.Q6_K: 210}


def pack_scales(scale, least):
    """6 bits each of 8 parts, [blocks][8], as llama.cpp packs them in 12 bytes."""
    low = scale[:, :4] | (scale[:, 4:] >> 4) << 6
    middle = least[:, :4] | (least[:, 4:] >> 4) << 6
    return np.concatenate([low, middle, scale[:, 4:] & 15 | (least[:, 4:] & 15) << 4], axis=1)


def random_blocks(random, kind, rows, columns, spread):
    """Blocks of numbers of mean about 0 and standard deviation about `spread`."""
    blocks = rows * columns // 256
    data = random.integers(0, 256, (blocks, BLOCK_BYTES[kind]), dtype=np.uint8)
    half = lambda x: np.full((blocks, 1), x, np.float16).view(np.uint8)
    if kind == Type.Q6_K:  # q - 32 has deviation 18.5, the scale a mean of 48
        data[:, 192:208] = random.integers(32, 65, (blocks, 16), dtype=np.uint8)
        data[:, 208:210] = half(spread / 18.5 / 48)
    else:  # q has a mean of 7.5 or 15.5, and deviation 4.6 or 9.2
        middle, deviation = (7.5, 4.6) if kind == Type.Q4_K else (15.5, 9.2)
        scale = random.integers(33, 64, (blocks, 8)).astype(np.uint8)
        least = np.clip(scale + random.integers(-2, 3, scale.shape), 0, 63).astype(np.uint8)
        d = spread / deviation / 48
        data[:, 0:4] = np.concatenate([half(d), half(d * middle)], axis=1)
        data[:, 4:16] = pack_scales(scale, least)
    return data.reshape(rows, -1)


def write_model(path, random, layers, kinds):
    writer = GGUFWriter(path, "llama")
    writer.add_name(path.stem)
    writer.add_vocab_size(VOCABULARY)
    writer.add_context_length(512)
    writer.add_embedding_length(HIDDEN)
    writer.add_block_count(layers)
    writer.add_feed_forward_length(MLP)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(KV_HEADS)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_dimension_count(HEAD)
    writer.add_rope_freq_base(10000.0)
    usual, better = kinds

    def add(name, kind, rows, columns, spread):
        data = random_blocks(random, kind, rows, columns, spread)
        writer.add_tensor(name, data, raw_dtype=kind)

    def add_norm(name):
        writer.add_tensor(name, random.normal(1, 0.1, HIDDEN).astype(np.float32))

    add("token_embd.weight", usual, VOCABULARY, HIDDEN, 1)
    add("output.weight", better, VOCABULARY, HIDDEN, 0.2)
    add_norm("output_norm.weight")
    for layer in range(layers):
        block = f"blk.{layer}."
        best = better if layer == 0 else usual  # of half the layers
        add_norm(block + "attn_norm.weight")
        add_norm(block + "ffn_norm.weight")
        add(block + "attn_q.weight", usual, HEADS * HEAD, HIDDEN, 0.12)
        add(block + "attn_k.weight", usual, KV_HEADS * HEAD, HIDDEN, 0.12)
        add(block + "attn_v.weight", best, KV_HEADS * HEAD, HIDDEN, 0.12)
        add(block + "attn_output.weight", usual, HIDDEN, HEADS * HEAD, 0.12)
        add(block + "ffn_gate.weight", usual, MLP, HIDDEN, 0.12)
        add(block + "ffn_up.weight", usual, MLP, HIDDEN, 0.12)
        add(block + "ffn_down.weight", best, HIDDEN, MLP, 0.12)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


class Reference:
    """A Llama of a GGUF file in numbers of one type, weights as dequantised to float32."""

    def __init__(self, path, number):
        reader = GGUFReader(path)
        field = lambda name: reader.fields[f"llama.{name}"].contents()
        self.number = number
        self.layers = field("block_count")
        self.heads, self.kv_heads = field("attention.head_count"), field("attention.head_count_kv")
        self.epsilon = field("attention.layer_norm_rms_epsilon")
        self.base = field("rope.freq_base")
        self.weights = {
            tensor.name: dequantize(tensor.data, tensor.tensor_type).astype(number)
            for tensor in reader.tensors
        }

    def norm(self, x, name):
        size = np.sqrt((x * x).mean(axis=-1, keepdims=True) + self.number(self.epsilon))
        return x / size * self.weights[name]

    def rotate(self, x):  # [tokens][heads][head]: llama.cpp's rows, neighbouring pairs
        half = x.shape[-1] // 2
        angles = np.outer(np.arange(len(x)), self.base ** (-np.arange(half) / half))
        cosine = np.cos(angles)[:, None].astype(self.number)
        sine = np.sin(angles)[:, None].astype(self.number)
        out = np.empty_like(x)
        out[..., 0::2] = x[..., 0::2] * cosine - x[..., 1::2] * sine
        out[..., 1::2] = x[..., 0::2] * sine + x[..., 1::2] * cosine
        return out

    def attend(self, x, block):
        tokens = len(x)
        of = lambda name, heads: (x @ self.weights[f"{block}attn_{name}.weight"].T).reshape(
            tokens, heads, -1
        )
        query, key = self.rotate(of("q", self.heads)), self.rotate(of("k", self.kv_heads))
        group = self.heads // self.kv_heads
        key = np.repeat(key, group, axis=1)
        value = np.repeat(of("v", self.kv_heads), group, axis=1)
        scale = self.number(1 / np.sqrt(query.shape[-1]))
        logits = np.einsum("qhd,khd->hqk", query, key) * scale
        logits = np.where(np.tril(np.ones((tokens, tokens), bool)), logits, -np.inf)
        weights = np.exp(logits - logits.max(axis=-1, keepdims=True))
        weights /= weights.sum(axis=-1, keepdims=True)
        out = np.einsum("hqk,khd->qhd", weights, value).reshape(tokens, -1)
        return out @ self.weights[f"{block}attn_output.weight"].T

    def logits(self, ids):
        """[tokens][vocabulary]"""
        x = self.weights["token_embd.weight"][ids]
        for layer in range(self.layers):
            block = f"blk.{layer}."
            x = x + self.attend(self.norm(x, block + "attn_norm.weight"), block)
            y = self.norm(x, block + "ffn_norm.weight")
            gate = y @ self.weights[block + "ffn_gate.weight"].T
            gate = gate / (1 + np.exp(-gate)) * (y @ self.weights[block + "ffn_up.weight"].T)
            x = x + gate @ self.weights[block + "ffn_down.weight"].T
        return self.norm(x, "output_norm.weight") @ self.weights["output.weight"].T


def numbers(row):
    return [float(f"{x:.7g}") for x in row]


def greedy(reference, ids):
    """48 tokens, and the least lead of one over the next likely."""
    text, gap = list(ids), np.inf
    for _ in range(48):
        last = reference.logits(text)[-1]
        second, first = np.sort(last)[-2:]
        gap = min(gap, first - second)
        text.append(int(last.argmax()))
    return text[len(ids) :], gap


def golden(path, random):
    exact, narrow = Reference(path, np.float64), Reference(path, np.float32)
    prompts = []
    for count, places in ((1, ()), (17, (0, 9)), (130, (63, 64))):
        gap = 0
        while gap < 0.005:  # until rounding cannot change the text
            ids = [int(id) for id in random.integers(0, VOCABULARY, count)]
            text, gap = greedy(exact, ids)
        logits = exact.logits(ids)
        off = np.abs(narrow.logits(ids) - logits).max()
        print(path.name, count, "gap", gap, "float32 off", off)
        prompts.append(
            {
                "ids": ids,
                "logitsLast": numbers(logits[-1]),
                "logitsAt": {str(place): numbers(logits[place]) for place in places},
                "greedy": text,
                "minTop2Gap": float(f"{gap:.3g}"),
                "maxAbsDiffF32F64": float(f"{off:.3g}"),
            }
        )
    golden = {"prompts": prompts, "notes": "Weights as dequantised to float32."}
    text = json.dumps(golden, separators=(",", ":"))
    path.with_suffix(".golden.json").write_text(text + "\n")


def check_reference():
    path = FOLDER / "llama-plain.q4_1.gguf"
    reference = Reference(path, np.float64)
    for prompt in json.loads(path.with_suffix(".golden.json").read_text())["prompts"]:
        off = np.abs(reference.logits(prompt["ids"])[-1] - prompt["logitsLast"]).max()
        assert off < 1e-5, f"the reference is off by {off}"


def main():
    check_reference()
    for seed, (name, layers, kinds) in enumerate(
        [("q4_k_m", 2, (Type.Q4_K, Type.Q6_K)), ("q5_k_m", 1, (Type.Q5_K, Type.Q6_K))]
    ):
        path = FOLDER / f"llama-k.{name}.gguf"
        random = np.random.default_rng(seed + 3)
        write_model(path, random, layers, kinds)
        golden(path, random)


main()
