// codes.h - the bytes of one page's codes in one KV head, on every device.
// No padding: at head_dim 128 a page is about 2,600 bytes and 64 of padding would cost 2 %.
//
// rotated keys: tables of 32 bytes. Table t holds 4 planes of 64 tokens: token j (j < 32) is the
//   low nibble of byte j, token j + 32 the high one. 1 bit: nibble bit i = channel 4t + i. 2 bits:
//   bits 0, 1 = channel 2t with weights 2, 1; bits 2, 3 = channel 2t + 1 likewise. A set bit is +1,
//   a clear one -1.
// rotated values: for each token value_stride bytes; plane p is bit p % 8 of byte p / 8. Without a
//   profile plane p < head_dim is channel p, of weight 1 (1 bit) or 2 (2 bits); plane head_dim + p
//   is channel p with weight 1 (2 bits).
// paper keys: plane-major u64 masks, one for (bit, channel): bit j of the mask = token j. The code
//   is the sum of bit b << b. Parameters: for (channel, group): zero fp16, scale fp16.
// paper values: as rotated values without a profile: plane b * head_dim + channel is bit b of the
//   code. Parameters: for (token, group): zero, scale fp16. Its last group may be shorter.
#pragma once
#include "kernels.h"

namespace specache {

struct CodeLayout {  // offsets and sizes in bytes from the start of a page's codes
    uint32_t keys, key_tables;        // tables x 32 bytes (rotated), bits * head_dim u64 (paper)
    uint32_t key_centre;              // i8 [head_dim]
    uint32_t key_scales;              // u8 [64] token scales in 255ths of the page's largest
    uint32_t key_parameters;          // rotated: fp16 centre scale, fp16 largest token scale
                                      // paper: fp16 [head_dim][64 / group][2] zero, scale
    uint32_t values, value_stride;    // value_stride bytes a token
    uint32_t value_centre;            // i8 [head_dim]
    uint32_t value_scales;            // u8 [64]; absent with a profile
    uint32_t value_parameters;  // rotated: fp16 centre scale, fp16 largest token scale or page
                                // scale paper: fp16 [64][ceil(head_dim / group)][2] zero, scale
    uint32_t bytes;                   // of all, a multiple of 2
};

SPECACHE_BOTH inline CodeLayout code_layout(const HeadCode &code, uint32_t head_dim) {
    CodeLayout layout{};
    uint32_t at = 0;
    auto take = [&](uint32_t bytes) { uint32_t start = at; at += bytes; return start; };
    if (code.rule == Rule::none) return layout;
    layout.value_stride = (code.value_planes + 7) / 8;
    layout.key_tables = head_dim * code.key_bits / 4;
    layout.keys = take(head_dim * code.key_bits * page_tokens / 8);
    layout.values = take(layout.value_stride * page_tokens);
    if (code.rule == Rule::rotated) {
        layout.key_centre = take(head_dim);
        layout.value_centre = take(head_dim);
        layout.key_scales = take(page_tokens);
        layout.value_scales = take(code.value_bits ? page_tokens : 0);
        layout.key_parameters = take(4);
        layout.value_parameters = take(4);
    } else {
        layout.key_parameters = take(head_dim * (page_tokens / code.group) * 4);
        layout.value_parameters =
            take(page_tokens * ((head_dim + code.group - 1) / code.group) * 4);
    }
    layout.bytes = (at + 1) / 2 * 2;
    return layout;
}

}  // namespace specache
