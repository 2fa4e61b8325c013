// kernels.h - what a device computes: one table of functions, one argument struct each.
// Every implementation (reference/, cpu/, later cuda/) fills the same table, so a test can compare
// two tables and the schedule in step.cpp is written once.
//
// Buffers are near memory unless said otherwise; [a][b] is row-major, b contiguous.
// `inputs` are the tokens of one sequence in one step; `count` are rows of several sequences.
#pragma once
#include <cstdint>

namespace specache {

constexpr uint32_t page_tokens = 64;   // the unit of coding, allocation and storage
constexpr uint32_t sink_tokens = 4;    // always exact, outside statistics, tail and top-k
constexpr uint32_t inputs_max = 4;     // the true token and up to three guesses
constexpr uint32_t window_rows =
    128 + inputs_max - 1;  // newest 64..127 tokens, the true one, guesses

// Numbers as stored. Blocks are llama.cpp's: 32 values a block along a row.
enum class Type : uint32_t { f32 = 0, f16 = 1, bf16 = 2, q8_0 = 3, q4_0 = 4, q4_1 = 5 };
enum class Rule : uint32_t { none = 0, paper = 1, rotated = 2 };  // none: mode full

struct Tensor {
    const void *data = nullptr;  // [rows][columns] of `type`
    Type type = Type::f32;
    uint32_t rows = 0, columns = 0;
};

class Stream;  // device.h: the queue that a kernel runs on

// ---- the decoder -------------------------------------------------------------------------------

struct Embed {
    Tensor table;            // [vocabulary][hidden]
    const uint32_t *tokens;  // [count]
    float *out;              // [count][hidden]
    uint32_t count;
};

// out[c][r] = (accumulate ? out[c][r] : 0) + bias[r] + sum over columns of weights[r][i] *
// in[c][i]. The order of the sum depends on `prefill` alone, never on count or threads: else the
// number of inputs, or how a prompt was cut, would change bits.
struct Project {
    Tensor weights;     // [rows][columns]
    const float *bias;  // [rows] or null
    const float *in;    // [count][columns]
    float *out;         // [count][rows]
    uint32_t count;
    bool accumulate, prefill;
};

struct Normalize {      // RMSNorm: out = in / sqrt(mean(in^2) + epsilon) * weight; may be in place
    const float *in;    // [count][columns]
    const float *weight;  // [columns]
    float *out;         // [count][columns]
    uint32_t count, columns;
    float epsilon;
};

struct Rotate {                 // rope, in place; angles in double
    float *heads;               // [count][head_count][head_dim]
    const uint32_t *positions;  // [count]
    const double *frequencies;  // [head_dim / 2] radians per position
    uint32_t count, head_count, head_dim;
    float magnitude;            // yarn's attention factor: scales sine and cosine
    bool neighbours;  // pairs (2i, 2i+1) as llama.cpp stores them; else (i, i + head_dim/2)
};

struct Gate {           // out = silu(gate) * up; may be in place
    const float *gate, *up;  // [values]
    float *out;
    uint64_t values;
};

// ---- the cache ---------------------------------------------------------------------------------

// A row is one token's key then value in one KV head: 2 * head_dim numbers of `kv_type`.
struct Shape {
    uint32_t kv_heads, query_heads, head_dim;
    Type kv_type;   // f32, f16 or bf16
    float scale;    // of the logits, 1/sqrt(head_dim) unless given
};
inline uint32_t type_bytes(Type type) { return type == Type::f32 ? 4 : 2; }
inline uint32_t row_bytes(const Shape &shape) {
    return 2 * shape.head_dim * type_bytes(shape.kv_type);
}

// How one KV head of one layer is coded (DESIGN section 4). Codes.h lays the bytes out.
struct HeadCode {
    Rule rule = Rule::none;
    uint32_t key_bits = 0;      // 1 or 2 planes a channel
    uint32_t value_bits = 0;    // 1 or 2; 0: planes of a profile
    uint32_t group = 0;         // paper: tokens (keys) or channels (values) of one scale, 32 or 64
    uint32_t value_planes = 0;  // planes of a token's value, all rules
    const float *value_basis = nullptr;       // [head_dim][head_dim] y = T x; null: Hadamard
    const uint32_t *plane_channel = nullptr;  // [value_planes] with a profile
    const float *plane_weight = nullptr;      // [value_planes] with a profile
};

// Rounds keys and values to rows. The result is the flat index token * kv_heads + head of the first
// row that holds a NaN or an infinity (before or after rounding), else -1.
struct MakeRows {
    Shape shape;
    const float *keys, *values;  // [tokens][kv_heads][head_dim]
    uint8_t *rows;  // row of (token, head) at rows + token * token_stride + head * head_stride
    uint64_t token_stride, head_stride;  // bytes
    uint32_t tokens;
};

struct Encode {              // one page of one layer
    Shape shape;
    const HeadCode *codes_of;   // [kv_heads]
    const uint8_t *rows;        // [kv_heads][64] rows: a page's part of one layer
    uint8_t *const *codes;      // [kv_heads] where each head's codes of this page go
    bool first;  // page 0: tokens 0..3 are sinks, not coded (their code is the centre)
};

// What an input sees follows from its position alone: pages below coded_pages as codes (mode full:
// by resident rows), the first sink_tokens by rows, everything from 64 * coded_pages on by rows.
inline uint32_t coded_pages(uint32_t position) {
    return position < 2 * page_tokens ? 0 : position / page_tokens - 1;
}

// The exact rows of one layer of one sequence. Token t's window row of a head is at
// window + head * window_rows * row_bytes + (t % window_rows) * row_bytes.
struct NearRows {
    const uint8_t *sinks;             // [kv_heads][4] rows
    const uint8_t *window;            // [kv_heads][window_rows] rows
    const uint8_t *const *resident;   // mode full: [pages], each [kv_heads][64] rows; else null
};

// Logits of every tail token of every input, from the codes.
struct Scan {
    Shape shape;
    const HeadCode *codes_of;       // [kv_heads]
    const uint8_t *const *codes;    // [kv_heads][pages_max]: page p of head h at h * pages_max + p
    const float *queries;           // [inputs][query_heads][head_dim] after rope
    const uint32_t *positions;      // [inputs]
    float *logits;                  // [inputs][query_heads][tokens_max]; sinks' entries = -infinity
    uint32_t inputs, pages_max, tokens_max;
};

// The k tail tokens of largest value for each input and KV head: value = mean over the group's
// query heads of the softmax probability, denominator over all that the input sees. Ties: lower
// token.
struct Choose {
    Shape shape;
    NearRows near;
    const float *queries;       // [inputs][query_heads][head_dim]
    const uint32_t *positions;  // [inputs]
    const float *logits;        // [inputs][query_heads][tokens_max] of Scan
    uint32_t *chosen;           // [inputs][kv_heads][k_max] ascending tokens
    float *values;              // [inputs][kv_heads][k_max]
    uint32_t *counts;           // [inputs][kv_heads]: min(k, tail)
    uint32_t inputs, tokens_max, k, k_max;
};

// One softmax over sinks, tail, window and inputs; tail tokens by row where `rows` names one, else
// by their codes.
struct Attend {
    Shape shape;
    const HeadCode *codes_of;       // [kv_heads]
    const uint8_t *const *codes;    // as Scan
    NearRows near;
    const float *queries;           // [inputs][query_heads][head_dim]
    const uint32_t *positions;      // [inputs]
    float *logits;                  // as Scan; overwritten
    const uint32_t *chosen;         // as Choose
    const uint32_t *counts;         // as Choose
    const uint8_t *const *rows;     // [inputs][kv_heads][k_max]; null: that token stays a code
    float *outputs;                 // [inputs][query_heads][head_dim]
    uint32_t inputs, pages_max, tokens_max, k_max;
    uint8_t *scratch;               // the CPU's: attend_scratch() of as many inputs or more
};

// Exact causal attention of a chunk, page by page, so that far pages can be streamed: call with
// ascending runs of pages, then finish. Each query sums page after page in the same order however
// the prompt was cut.
struct PrefillAttend {
    Shape shape;
    const float *queries;           // [tokens][query_heads][head_dim], positions first_position + i
    const uint8_t *const *pages;    // [page_count], each [kv_heads][64] rows
    float *sums;  // [tokens][query_heads][head_dim + 2]: output, largest, denominator
    uint32_t tokens, first_position, first_page, page_count;
    bool start;                     // clears sums first
};
struct PrefillFinish {
    Shape shape;
    const float *sums;              // as above
    float *outputs;                 // [tokens][query_heads][head_dim]
    uint32_t tokens;
};

// What input 0 of a step lost in one KV head, after Attend: means over the group's query heads.
struct AuditResult {
    double lost = 0;        // exact probability that went to other tokens
    double divergence = 0;  // norm(output - exact) / norm(exact)
    double chosen = 0;      // exact probability of the exact set
    double best = 0;        // of the k tail tokens that have most
};
struct Audit {
    Shape shape;
    uint32_t head;
    NearRows near;
    const uint8_t *const *pages;  // [coded pages] the head's 64 rows of each
    const float *queries;         // [query_heads][head_dim] of input 0
    uint32_t position;
    const float *logits;          // [query_heads][tokens_max] of input 0; Attend hid what is exact
    const uint32_t *exact;        // [exact_count] tail tokens that have a row, or none after all
    uint32_t exact_count;
    const uint8_t *const *rows;   // [exact_count]; null: that token stayed a code
    const float *outputs;         // [query_heads][head_dim] of input 0
    uint32_t tokens_max, k;
    float *scratch;               // audit_floats() of the shape
    AuditResult *result;
};
// Floats of a query head's probabilities: the tail, sinks and window, and a whole vector more.
inline uint64_t audit_stride(uint32_t tokens_max) { return uint64_t(tokens_max) + 160; }
inline uint64_t audit_floats(const Shape &shape, uint32_t tokens_max) {
    uint64_t group = shape.query_heads / shape.kv_heads;
    return (2 * group + 1) * audit_stride(tokens_max) + 2 * group;
}

struct Kernels {
    const char *isa;  // "reference", "portable", "avx2", "avx512"
    void (*embed)(Stream &, const Embed &);
    void (*project)(Stream &, const Project &);
    void (*normalize)(Stream &, const Normalize &);
    void (*rotate)(Stream &, const Rotate &);
    void (*gate)(Stream &, const Gate &);
    int64_t (*make_rows)(Stream &, const MakeRows &);
    void (*encode)(Stream &, const Encode &);
    void (*scan)(Stream &, const Scan &);
    void (*choose)(Stream &, const Choose &);
    void (*attend)(Stream &, const Attend &);
    void (*prefill_attend)(Stream &, const PrefillAttend &);
    void (*prefill_finish)(Stream &, const PrefillFinish &);
    void (*audit)(Stream &, const Audit &);
};

}  // namespace specache
