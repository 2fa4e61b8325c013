// kernels.h - what a device computes: one table of functions, one argument struct each.
// Every implementation (reference/, cpu/, cuda/) fills the same table, so a test can compare
// two tables and the schedule in step.cpp is written once.
//
// Buffers are near memory unless said otherwise: the device's own, whose addresses the host passes
// on and never looks behind. [a][b] is row-major, b contiguous.
// `inputs` are the tokens of one sequence in one step; `count` are rows of several sequences.
#pragma once
#include <cstdint>

// What both sides of a CUDA device compute alike.
#ifdef __CUDACC__
#define SPECACHE_BOTH __host__ __device__
#else
#define SPECACHE_BOTH
#endif

namespace specache {

constexpr uint32_t page_tokens = 64;   // the unit of coding, allocation and storage
constexpr uint32_t sink_tokens = 4;    // always exact, outside statistics, tail and top-k
constexpr uint32_t inputs_max = 4;     // the true token and up to three guesses
constexpr uint32_t window_rows =
    128 + inputs_max - 1;  // newest 64..127 tokens, the true one, guesses

// Numbers as stored. Blocks are llama.cpp's, of 32 or, K-quants, 256 values along a row.
enum class Type : uint32_t {
    f32 = 0, f16 = 1, bf16 = 2, q8_0 = 3, q4_0 = 4, q4_1 = 5, q4_k = 6, q5_k = 7, q6_k = 8
};
constexpr Type last_type = Type::q6_k;
enum class Rule : uint32_t { none = 0, paper = 1, rotated = 2 };  // none: mode full

struct Tensor {
    const void *data = nullptr;  // [rows][columns] of `type`
    Type type = Type::f32;
    uint32_t rows = 0, columns = 0;
};

class Stream;    // device.h: the queue that a kernel runs on
struct OneLoop;  // one_loop.h

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
    // CUDA alone, with prefill: [fast_numbers] of scratch for the inputs and a row of weights or
    // more, 16 bits each. Operands are rounded to 16 bits, and the order of the sum is cuBLAS's.
    uint16_t *fast = nullptr;
    uint64_t fast_numbers = 0;
    // CPU alone, without prefill: inputs are rounded to 8 bits where quantize.h says has_int8.
    bool int8 = false;
    // CPU alone: weights of the same type met the same inputs in the call before; what a kernel
    // made of these may serve again.
    bool again = false;
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

// The token of the largest logit. What is not above -infinity, NaN too, is never it: where nothing
// is, the id is no_token and the logit -infinity.
struct Likeliest {
    uint32_t id;
    float logit;
};
constexpr uint32_t no_token = UINT32_MAX;

struct Argmax {           // of each input; of equal logits the one of the lower id
    const float *logits;  // [count][vocabulary]
    Likeliest *out;       // [count]
    uint32_t count, vocabulary;
    uint64_t *scratch;    // CUDA alone: [count][argmax_slices()]
};
constexpr uint32_t argmax_slice = 2048;  // logits that a CUDA block compares
SPECACHE_BOTH inline uint32_t argmax_slices(uint32_t vocabulary) {
    return (vocabulary + argmax_slice - 1) / argmax_slice;
}

// ---- the cache ---------------------------------------------------------------------------------

// A row is one token's key then value in one KV head: 2 * head_dim numbers of `kv_type`.
struct Shape {
    uint32_t kv_heads, query_heads, head_dim;
    Type kv_type;   // f32, f16 or bf16
    float scale;    // of the logits, 1/sqrt(head_dim) unless given
};
SPECACHE_BOTH inline uint32_t type_bytes(Type type) { return type == Type::f32 ? 4 : 2; }
SPECACHE_BOTH inline uint32_t row_bytes(const Shape &shape) {
    return 2 * shape.head_dim * type_bytes(shape.kv_type);
}

// KV heads [first, first + count) of a layer: those whose logits a step holds at a time (plan.h).
struct HeadRun {
    uint32_t first, count;
    SPECACHE_BOTH bool has(uint32_t head) const { return head - first < count; }
};
// The place of an input's query head among the logits of a run, [inputs][count * group].
SPECACHE_BOTH inline uint64_t logits_place(const Shape &shape, const HeadRun &heads,
                                           uint32_t input, uint32_t query_head) {
    uint32_t group = shape.query_heads / shape.kv_heads;
    return uint64_t(input) * heads.count * group + query_head - heads.first * group;
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
    uint8_t *pool = nullptr;                  // codes of page 0 of the pool
    uint64_t page_bytes = 0;                  // from one page's codes to the next one's
    SPECACHE_BOTH uint8_t *page(uint32_t id) const { return pool + id * page_bytes; }
};

// Rows of pages that lie in a pool, or one behind the other.
struct PageRows {
    const uint8_t *base = nullptr;  // rows of page id 0; null: there are none
    uint64_t stride = 0;            // bytes from one page id's rows to the next one's
    const uint32_t *ids = nullptr;  // [pages] of a sequence's pages; null: page p has id p
    SPECACHE_BOTH const uint8_t *page(uint32_t p) const {
        return base + (ids ? ids[p] : p) * stride;
    }
};

// Rounds keys and values to rows. Where a row holds a NaN or an infinity, before or after rounding,
// *fault becomes the least of what it was and (first + token) * kv_heads + head.
struct MakeRows {
    Shape shape;
    const float *keys, *values;  // [tokens][kv_heads][head_dim]
    uint8_t *rows;  // row of (token, head) at rows + token * token_stride + head * head_stride
    uint64_t token_stride, head_stride;  // bytes
    uint32_t tokens, first;  // how many, and how many came before that *fault counts too
    uint32_t *fault;         // [1]; no_fault: none so far
    const uint32_t *positions = nullptr;  // [tokens]: rows are a window, `token` above stands for
                                          // positions[token] % window_rows; null: for itself
    SPECACHE_BOTH uint8_t *row(uint32_t token, uint32_t head) const {
        uint32_t place = positions != nullptr ? positions[token] % window_rows : token;
        return rows + place * token_stride + head * head_stride;
    }
};
constexpr uint32_t no_fault = UINT32_MAX;

// Rows of tokens in one KV head after the other: a page, sinks (ring 0), or a window.
struct RowPlaces {
    uint8_t *rows;          // of the first head
    uint64_t head_stride;   // bytes
    uint32_t origin, ring;  // token t's row: number t - origin, with a ring t % ring
};
struct CopyRows {           // tokens [first, first + tokens) of every KV head
    Shape shape;
    RowPlaces from, to;
    uint32_t first, tokens;
};

struct Encode {              // one page of one layer
    Shape shape;
    const HeadCode *codes_of;   // [kv_heads]
    const uint8_t *rows;        // [kv_heads][64] rows: a page's part of one layer
    uint32_t page;              // id: each head's codes go to codes_of[head].page(page)
    bool first;  // page 0: tokens 0..3 are sinks, not coded (their code is the centre)
};

// What an input sees follows from its position alone: pages below coded_pages as codes (mode full:
// by resident rows), the first sink_tokens by rows, everything from 64 * coded_pages on by rows.
SPECACHE_BOTH inline uint32_t coded_pages(uint32_t position) {
    return position < 2 * page_tokens ? 0 : position / page_tokens - 1;
}

// The exact rows of one layer of one sequence. Token t's window row of a head is at
// window + head * window_rows * row_bytes + (t % window_rows) * row_bytes.
struct NearRows {
    const uint8_t *sinks;             // [kv_heads][4] rows
    const uint8_t *window;            // [kv_heads][window_rows] rows
    PageRows resident;                // mode full: of each page [kv_heads][64] rows
};

// Logits of every tail token of every input, from the codes.
struct Scan {
    Shape shape;
    HeadRun heads;
    const HeadCode *codes_of;       // [kv_heads]
    const uint32_t *pages;          // [coded pages] ids
    const float *queries;           // [inputs][query_heads][head_dim] after rope
    const uint32_t *positions;      // [inputs]
    float *logits;  // [inputs][heads.count * group][tokens_max]; sinks' entries = -infinity
    uint32_t inputs, tokens_max;    // a multiple of 4: a CUDA device takes 4 logits at a time
    float *blocks = nullptr;  // CPU alone: Blocks of scratch.h; null: logits stay logits
};

// The k tail tokens of largest value for each input and KV head: value = mean over the group's
// query heads of the softmax probability, denominator over all that the input sees. Ties: lower
// token.
struct Choose {
    Shape shape;
    HeadRun heads;
    NearRows near;
    const float *queries;       // [inputs][query_heads][head_dim]
    const uint32_t *positions;  // [inputs]
    const float *logits;        // of Scan; null, device cpu alone: k is as many as the tail has or
                                // more, nobody asks for values, and they are 0
    uint32_t *chosen;           // [inputs][kv_heads][k_max] ascending tokens
    float *values;              // [inputs][kv_heads][k_max]
    uint32_t *counts;           // [inputs][kv_heads]: min(k, tail)
    uint32_t inputs, tokens_max, k, k_max;
    uint8_t *scratch;           // CUDA alone: choose_scratch() of as many inputs or more
    float *blocks = nullptr;    // of Scan
};

// ---- slots (DESIGN section 4) ------------------------------------------------------------------

enum class Slot : uint8_t { empty = 0, visible = 1 };

// The slots of one layer, [kv_heads][places]: visible ones and those in flight.
struct Slots {
    uint8_t *rows;     // rows
    uint32_t *tokens;  // whose row it is
    uint32_t *used;    // the step that chose it last
    Slot *now;         // as the running step sees it
    Slot *next;        // as the next step will
};

struct Copy {       // one row from far to near
    uint64_t from;  // bytes from the start of far
    uint8_t *to;
};

struct Candidate {  // a near row that could be kept, or a wanted one
    uint64_t worth;      // larger is kept first
    const uint8_t *row;  // null: it is in the slot `place`
    uint32_t token, place;
};

struct Counters {   // of a sequence
    uint64_t prefetched_rows, late_rows, reused_rows, fetched_bytes;
};

// Where every exact row of a layer is. Between Choose and Attend, resolve fills `rows` (and for
// mode paper `exact`), and lists what is late and what is wanted; after Attend, settle decides what
// the next step finds in slots.
struct Resolve {
    Shape shape;
    HeadRun heads;               // runs follow one another from head 0 on: the first clears *wanted
    Slots slots;
    uint32_t visible, arriving;  // slots of a head: visible and in flight; places are both
    bool ahead_only;             // mode paper: exact is what the step before fetched
    bool guesses_first;          // settle keeps what guesses chose before all else
    const uint32_t *chosen;      // as Choose
    const float *values;         // as Choose
    const uint32_t *counts;      // as Choose
    uint32_t *exact;             // ahead_only: [inputs][kv_heads][k_max] tokens in slots
    uint32_t *exact_counts;      // ahead_only: [inputs][kv_heads]
    const uint8_t **rows;        // [inputs][kv_heads][k_max]
    const uint32_t *pages;       // [pages] ids
    const uint8_t *far;          // far memory that can be read in place, or null
    uint64_t far_stride, far_at; // a page's rows of this layer: id * far_stride + far_at
    uint8_t *staging;            // without `far`: [inputs * kv_heads * k_max] late rows
    Copy *late_copies;           // without `far`: [inputs * kv_heads * k_max]
    uint32_t *late;              // [1] of them, those of the run
    Copy *copies;                // [kv_heads * arriving] the prefetch
    uint32_t *wanted;            // [1] of them
    // Scratch: of one head, as the CPU works on one after the other; a CUDA device works on all at
    // once and has [kv_heads] of each.
    uint32_t *slot_of;           // [tokens_max] slot + 1 of a token, 0: none; left clean
    float *wanted_value;         // [tokens_max] largest value a guess gave; left clean
    uint32_t *list;              // [inputs * k_max] tokens
    Counters *counters;          // [1]
    uint32_t inputs, trusted, k_max;
    const uint32_t *positions;   // [inputs]; positions[0] tokens came before
    const uint32_t *step;        // [1] number of the step
    float late_above;            // late rows whose value is above this are read
    Candidate *candidates;       // scratch, CUDA alone: [visible + arriving + inputs * k_max]
    uint32_t tokens_max;         // of a head's slot_of and wanted_value
};

// One softmax over sinks, tail, window and inputs; tail tokens by row where `rows` names one, else
// by their codes.
struct Attend {
    Shape shape;
    HeadRun heads;
    const HeadCode *codes_of;       // [kv_heads]
    const uint32_t *pages;          // as Scan
    NearRows near;
    const float *queries;           // [inputs][query_heads][head_dim]
    const uint32_t *positions;      // [inputs]
    float *logits;                  // of Scan; overwritten; null, device cpu alone: the whole tail
                                    // is attended by rows
    const uint32_t *chosen;         // as Choose
    const uint32_t *counts;         // as Choose
    const uint8_t *const *rows;     // [inputs][kv_heads][k_max]; null: that token stays a code
    float *outputs;                 // [inputs][query_heads][head_dim]
    uint32_t inputs, pages_max, tokens_max, k_max;
    uint32_t value_planes;          // of every head's HeadCode
    uint8_t *scratch;               // attend_scratch() of as many inputs or more
    float *blocks = nullptr;        // of Scan
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
    PageRows pages;               // the head's 64 rows of each coded page
    const float *queries;         // [query_heads][head_dim] of input 0
    uint32_t position;
    const float *logits;  // [group][tokens_max] of the head and input 0; Attend hid what is exact
    const uint32_t *exact;        // [*exact_count] tail tokens that have a row, or none after all
    const uint32_t *exact_count;  // [1]
    const uint8_t *const *rows;   // [*exact_count]; null: that token stayed a code
    const float *outputs;         // [query_heads][head_dim] of input 0
    uint32_t tokens_max, k;
    float *scratch;               // audit_floats() of the shape
    AuditResult *result;
};
struct Kernels {
    const char *isa;  // "reference", "portable", "avx2", "avx512", "neon", "amx"
    void (*embed)(Stream &, const Embed &);
    void (*project)(Stream &, const Project &);
    void (*normalize)(Stream &, const Normalize &);
    void (*rotate)(Stream &, const Rotate &);
    void (*gate)(Stream &, const Gate &);
    void (*argmax)(Stream &, const Argmax &);
    void (*make_rows)(Stream &, const MakeRows &);
    void (*copy_rows)(Stream &, const CopyRows &);
    void (*encode)(Stream &, const Encode &);
    void (*scan)(Stream &, const Scan &);
    void (*choose)(Stream &, const Choose &);
    void (*resolve)(Stream &, const Resolve &);
    void (*attend)(Stream &, const Attend &);
    void (*settle)(Stream &, const Resolve &);
    void (*prefill_attend)(Stream &, const PrefillAttend &);
    void (*prefill_finish)(Stream &, const PrefillFinish &);
    void (*audit)(Stream &, const Audit &);
    void (*one_loop)(Stream &, const OneLoop &);  // one_loop.h; null: there is none
    void (*draw)(const struct DrawRow &);         // draw.h; null: a CPU table's is taken
};

}  // namespace specache
