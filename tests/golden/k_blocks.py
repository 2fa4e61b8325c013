"""Writes native/tests/k_block_fixtures.h: random blocks of K-quants and the numbers that llama.cpp
reads from them, by the Python package gguf (0.19.0): python3 tests/golden/k_blocks.py
"""

from pathlib import Path

import numpy as np
from gguf import GGMLQuantizationType as Type
from gguf.quants import dequantize

OUTPUT = Path(__file__).parents[2] / "native/tests/k_block_fixtures.h"
BLOCKS = 2
# Where the fp16 scales of a block lie: random bits there would be NaN now and then.
SCALES = {Type.Q4_K: (0, 2), Type.Q5_K: (0, 2), Type.Q6_K: (208,)}
BYTES = {Type.Q4_K: 144, Type.Q5_K: 176, Type.Q6_K: 210}

HEAD = """// k_block_fixtures.h - random blocks of K-quants and the bits of the floats that llama.cpp reads
// from them, made by tests/golden/k_blocks.py: the outside truth for dequantize.h.
#pragma once
#include <cstdint>

namespace specache {
"""


def numbers(values, form, in_line):
    words = [form.format(value) for value in values]
    lines = [", ".join(words[at : at + in_line]) for at in range(0, len(words), in_line)]
    return "    {" + ",\n     ".join(lines) + "},\n"


def main():
    random = np.random.default_rng(7)
    text = HEAD
    for kind, places in SCALES.items():
        size, name = BYTES[kind], kind.name.lower()
        blocks = random.integers(0, 256, (BLOCKS, size), dtype=np.uint8)
        for place in places:
            scales = random.normal(0, 0.1, (BLOCKS, 1)).astype(np.float16)
            blocks[:, place : place + 2] = scales.view(np.uint8)
        values = dequantize(blocks, kind).astype(np.float32)
        text += f"\n// [{BLOCKS} blocks][{size} bytes]\n"
        text += f"constexpr uint8_t {name}_blocks[{BLOCKS}][{size}] = {{\n"
        text += "".join(numbers(block, "0x{:02x}", 15) for block in blocks) + "};\n"
        text += f"// [{BLOCKS} blocks][256 values]\n"
        text += f"constexpr uint32_t {name}_values[{BLOCKS}][256] = {{\n"
        bits = values.view(np.uint32).reshape(BLOCKS, 256)
        text += "".join(numbers(block, "0x{:08x}", 7) for block in bits) + "};\n"
    OUTPUT.write_text(text + "\n}  // namespace specache\n")


main()
