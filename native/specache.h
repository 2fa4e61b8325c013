// specache.h - the C ABI of libspecache, the only door into the native code.
//
// Handles are u64 ids; a stale or closed one is SPECACHE_HANDLE, never a crash. Every call answers
// a specache_status; specache_error then gives the sentence after the colon ("k 300 is above k_max
// 256"). Structs hold only u32; a 64-bit number is a pair (_low, _high), a float is its bits
// (_bits). Buffers belong to the caller and are lent for the call. The library never prints, exits,
// throws, or calls back. Calls on one store are made by one thread at a time (another answers
// SPECACHE_BUSY); specache_cancel, specache_release and specache_trace may come from any thread.
#ifndef SPECACHE_H
#define SPECACHE_H
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define SPECACHE_ABI_VERSION 8u

typedef enum specache_status {
    SPECACHE_OK = 0,
    SPECACHE_ARGUMENT = 1,   // a value outside its documented range; nothing changed
    SPECACHE_CAPACITY = 2,   // a budget, pool or disk is full; nothing changed
    SPECACHE_HANDLE = 3,     // never opened, or closed
    SPECACHE_MEMORY = 4,     // the system refused memory; nothing changed
    SPECACHE_DEVICE = 5,     // no such device, or it failed
    SPECACHE_FILE = 6,       // a file cannot be opened, read or written
    SPECACHE_DATA = 7,       // NaN or infinity in keys, values or weights; a checksum differs
    SPECACHE_CANCELLED = 8,  // specache_cancel was called; the sequence is as before the call
    SPECACHE_BUSY = 9,       // another call is running on this store
    SPECACHE_UNSUPPORTED = 10  // known but not offered
} specache_status;

typedef struct specache_config {
    uint32_t layers, kv_heads, query_heads, head_dim;
    uint32_t kv_type;      // 0 f32, 1 f16, 2 bf16
    uint32_t scale_bits;   // f32 scale of the logits; 0: 1/sqrt(head_dim)
    uint32_t mode;         // 0 full, 1 paper, 2 specache
    uint32_t rule;         // of codes: 0 the mode's own, 1 paper, 2 rotated
    uint32_t key_bits;     // 1 or 2; ignored where a profile has key bits and this is 0
    uint32_t value_bits;   // 1 or 2; 0: the profile's planes
    uint32_t group;        // rule paper: 32 or 64
    uint32_t k_max;        // largest k of any step
    uint32_t slots;        // near places of fetched rows, visible ones, per layer and KV head
    uint32_t far;          // 0 RAM, 1 file
    uint32_t far_bytes_low, far_bytes_high;    // budget of far memory; 0: none
    uint32_t near_bytes_low, near_bytes_high;  // budget of all near memory; 0: none
    uint32_t tokens_max;      // longest sequence
    uint32_t sequences_max;   // sequences open at a time
    uint32_t pages;           // of 64 tokens, that all sequences share: at least those of
                              // tokens_max; 0: those of tokens_max for each sequence
    uint32_t chunk_tokens;    // prefill tokens at a time, a multiple of 64
    uint32_t guesses_max;     // 0..3 beside the true token
    uint32_t threads;         // compute threads; 0: the machine's cores
    uint32_t device;          // 0 cpu, 1 cuda
    uint32_t prefetch;        // device cuda: 0 rows are read by a kernel, 1 gathered and copied
    uint32_t logits_bytes;    // of logits and values that a step holds at a time, but for one KV
                              // head's; 0: on device cpu 2 MiB or one KV head's a thread, so that
                              // the plan follows from `threads`; on cuda 2/5 of the L2
    uint32_t prefill;         // of a model: 0 exact; 1, device cuda alone: fast, matrix products by
                              // cuBLAS with 16-bit operands
    uint32_t isa;             // 0 best, 1 reference, 2 portable, 3 avx2, 4 avx512, 5 neon, 6 amx:
                              // avx512 whose prefill multiplies by tiles
    uint32_t audit;           // 1: keeps room for audits
    uint32_t variant;         // tests only: 1 waits for each prefetch where it starts, 2 keeps the
                              // rows that guesses chose no longer than others; a far file is read
                              // with 3 by threads, 4 through the page cache, 5 both
} specache_config;

// Values in the head's own basis and key bits by head (DESIGN section 4); all buffers copied.
typedef struct specache_profile {
    uint32_t value_planes;  // head_dim / 4
    uint32_t has_key_bits, has_values;
} specache_profile;

typedef struct specache_options {  // of one step
    uint32_t k;           // 0..k_max
    uint32_t late;        // 0 none, 1 all, 2 above late_above
    uint32_t late_above_bits;  // f32
} specache_options;

// One sequence's share of a model's step: its inputs, and how it attends. The first `trusted`
// inputs (0..inputs; mode paper: 0 or 1) may be kept, as specache_begin says.
typedef struct specache_step_share {
    uint32_t sequence_low, sequence_high;
    uint32_t inputs, trusted;
    uint32_t k, late, late_above_bits;  // as specache_options
    uint32_t logits;                    // 1: its inputs' logits are asked for; 2: only those of
                                        // inputs whose token is SPECACHE_UNDECIDED: what is written
                                        // for others is no answer
} specache_step_share;

// How tokens are drawn: from exp(logit / temperature) of those that top_k, then top_p, then min_p
// leave, by random numbers of seed, position and token alone.
typedef struct specache_sampling {
    uint32_t temperature_low, temperature_high;  // bits of a double; 0: the most probable token,
                                                 // and nothing else is looked at
    uint32_t top_p_low, top_p_high;              // of a double, 0 (the most probable) to 1 (all)
    uint32_t min_p_low, min_p_high;              // of a double, 0 (leaves all) to 1
    uint32_t top_k;                              // 0 leaves all
    uint32_t seed_low, seed_high;
} specache_sampling;

// The token of a draw that another order of a sum, or the last bit of a logarithm, would change:
// who asked has the logits, and decides.
#define SPECACHE_UNDECIDED 0xfffffffeu

// Bytes of each part, in the order of specache_plan's array.
enum {
    SPECACHE_PLAN_CODES = 0,     // of one sequence of `tokens` tokens, near
    SPECACHE_PLAN_ROWS = 1,      // mode full: near rows of its pages
    SPECACHE_PLAN_SINKS = 2,
    SPECACHE_PLAN_WINDOW = 3,
    SPECACHE_PLAN_SLOTS = 4,
    SPECACHE_PLAN_TABLES = 5,    // page and slot tables
    SPECACHE_PLAN_NEAR = 6,      // sum of the above: nearBytes of that sequence
    SPECACHE_PLAN_FAR = 7,       // farBytes reserved
    SPECACHE_PLAN_FULL = 8,      // the 16-bit cache of those tokens
    SPECACHE_PLAN_WORK = 9,      // scratch of the engine
    SPECACHE_PLAN_PROFILE = 10,
    SPECACHE_PLAN_RESERVED = 11, // all near memory that open reserves
    SPECACHE_PLAN_COUNT = 12
};

// Counters of a sequence, in the order of specache_stats' array; DESIGN section 8.
enum {
    SPECACHE_STATS_TOKENS = 0,
    SPECACHE_STATS_NEAR_BYTES = 1,
    SPECACHE_STATS_FAR_BYTES = 2,
    SPECACHE_STATS_FULL_BYTES = 3,
    SPECACHE_STATS_PREFETCHED_ROWS = 4,
    SPECACHE_STATS_LATE_ROWS = 5,
    SPECACHE_STATS_REUSED_ROWS = 6,
    SPECACHE_STATS_FETCHED_BYTES = 7,
    SPECACHE_STATS_HIDDEN_NS = 8,
    SPECACHE_STATS_WAITED_NS = 9,
    SPECACHE_STATS_LATE_NS = 10,
    SPECACHE_STATS_ALLOCATED = 11,  // near bytes that the store's allocator holds now
    SPECACHE_STATS_COUNT = 12
};

// How a far file is read, in the order of specache_far_access' array.
enum {
    SPECACHE_FAR_DIRECT = 0,  // 1: past the page cache (O_DIRECT); 0: dropped from it at once
    SPECACHE_FAR_RING = 1,    // 1: io_uring; 0: threads
    SPECACHE_FAR_ALIGNMENT = 2,   // bytes that reads are multiples of
    SPECACHE_FAR_READS_MOST = 3,  // under way together
    SPECACHE_FAR_READS = 4,   // so far
    SPECACHE_FAR_BYTES = 5,   // that these reads brought
    SPECACHE_FAR_COUNT = 6
};

// Sums of an audit, in the order of specache_audited's array; means over the group's query heads.
enum {
    SPECACHE_AUDIT_SAMPLES = 0,
    SPECACHE_AUDIT_LOST = 1,  // exact probability that went to other tokens
    SPECACHE_AUDIT_LOST_SQUARED = 2,
    SPECACHE_AUDIT_DIVERGENCE = 3,  // norm(output - exact) / norm(exact)
    SPECACHE_AUDIT_DIVERGENCE_SQUARED = 4,
    SPECACHE_AUDIT_CHOSEN = 5,  // exact probability of the exact set
    SPECACHE_AUDIT_BEST = 6,    // and of the best k tail tokens
    SPECACHE_AUDIT_COUNT = 7
};

typedef struct specache_model_config {
    uint32_t vocabulary, hidden, intermediate, tokens_max;
    uint32_t epsilon_bits;        // f32 of RMSNorm
    uint32_t rope_neighbours;     // 1: q and k rows in llama.cpp's order (GGUF)
    uint32_t rope_magnitude_bits; // f32, 1 but for yarn
    uint32_t query_key_norms;     // 1: Qwen3
    uint32_t tied;                // 1: the output is the embedding
    uint32_t int8_activations;    // 1: steps round a product's inputs to 8 bits; CPU alone
} specache_model_config;

// Roles of tensors; those of a layer need `layer`, the others layer 0.
enum {
    SPECACHE_EMBEDDING = 0, SPECACHE_OUTPUT_NORM = 1, SPECACHE_OUTPUT = 2,
    SPECACHE_ATTENTION_NORM = 3, SPECACHE_QUERY = 4, SPECACHE_KEY = 5, SPECACHE_VALUE = 6,
    SPECACHE_ATTENTION_OUTPUT = 7, SPECACHE_QUERY_BIAS = 8, SPECACHE_KEY_BIAS = 9,
    SPECACHE_VALUE_BIAS = 10, SPECACHE_ATTENTION_OUTPUT_BIAS = 11, SPECACHE_QUERY_NORM = 12,
    SPECACHE_KEY_NORM = 13, SPECACHE_MLP_NORM = 14, SPECACHE_MLP_GATE = 15, SPECACHE_MLP_UP = 16,
    SPECACHE_MLP_DOWN = 17, SPECACHE_MLP_GATE_BIAS = 18, SPECACHE_MLP_UP_BIAS = 19,
    SPECACHE_MLP_DOWN_BIAS = 20, SPECACHE_ROLE_COUNT = 21
};

typedef struct specache_tensor {
    uint32_t role, layer;
    uint32_t type;   // 0 f32, 1 f16, 2 bf16, 3 q8_0, 4 q4_0, 5 q4_1, 6 q4_k, 7 q5_k, 8 q6_k
    uint32_t rows, columns;
    uint32_t offset_low, offset_high;  // bytes from the start of the file
} specache_tensor;

// The ABI that this library was built for; callers refuse another.
uint32_t specache_abi_version(void);
// Writes the sentence of this thread's last failure, UTF-8, cut to `bytes`; returns its length.
uint32_t specache_error(uint8_t *text, uint32_t bytes);
// Best instruction set here: 2 portable, 3 avx2, 4 avx512, 5 neon, 6 amx.
uint32_t specache_isa(void);
// Compute threads that 0 means.
uint32_t specache_threads(void);

// parts: [SPECACHE_PLAN_COUNT] bytes for a sequence of `tokens`; allocates nothing. profile may be
// null.
int32_t specache_plan(const specache_config *config, const specache_profile *profile,
                      const uint8_t *key_bits, uint32_t tokens, uint64_t *parts_out);
// Opens a store: checks, plans, reserves everything. path: far file, UTF-8, null for RAM.
// With a profile: key_bits [layers][kv_heads]; value_basis [layers][kv_heads][head_dim][head_dim];
// plane_channel, plane_weight [layers][kv_heads][value_planes]. On failure nothing is left behind.
int32_t specache_store_open(const specache_config *config, const uint8_t *path, uint32_t path_bytes,
                            const specache_profile *profile, const uint8_t *key_bits,
                            const float *value_basis, const uint32_t *plane_channel,
                            const float *plane_weight, uint64_t *store_out);
// Closes a store, its model and its sequences. Waits for a running call, which should be cancelled.
int32_t specache_store_close(uint64_t store);

// What the store's device calls itself: "cpu", or the GPU's name. Cut to `bytes`; its whole length.
int32_t specache_store_device(uint64_t store, uint8_t *name, uint32_t bytes, uint32_t *length_out);
int32_t specache_sequence_open(uint64_t store, uint64_t *sequence_out);
// A second sequence with the same tokens: full pages are shared, the rest copied.
int32_t specache_sequence_fork(uint64_t store, uint64_t sequence, uint64_t *sequence_out);
// Cuts to `tokens`; from there on all is as in a run that never went further.
int32_t specache_sequence_truncate(uint64_t store, uint64_t sequence, uint32_t tokens);
int32_t specache_sequence_close(uint64_t store, uint64_t sequence);
// counters_out: [SPECACHE_STATS_COUNT].
int32_t specache_sequence_stats(uint64_t store, uint64_t sequence, uint64_t *counters_out);
// Pages of the pool that no sequence holds, and all of them.
int32_t specache_pages(uint64_t store, uint32_t *free_out, uint32_t *pages_out);
// Pages that a sequence holds, and those of them that no other one shares: what closing it frees.
int32_t specache_sequence_pages(uint64_t store, uint64_t sequence, uint32_t *held_out,
                                uint32_t *own_out);

// A step is at work from specache_begin or specache_step to specache_keep, a run from the first
// layer's specache_append to the last one's. Meanwhile no other call changes the sequence: begin,
// step, prefill, fork and truncate, and append within a step, are SPECACHE_ARGUMENT, and what is at
// work can be ended as if they had not been made. specache_sequence_close closes it all the same.
//
// Bring your own model. A run of `tokens`: queries may be null (then outputs is), else
// [tokens][query_heads][head_dim]; keys, values [tokens][kv_heads][head_dim]; all f32, keys after
// rope. The run is in the sequence when every layer, in any order, has had it. A layer that is
// refused, say for a NaN, can be asked for again; specache_keep with 0 drops the run.
int32_t specache_append(uint64_t store, uint64_t sequence, uint32_t layer, uint32_t tokens,
                        const float *queries, const float *keys, const float *values,
                        float *outputs);
// Starts a step of `inputs` tokens. The first `trusted` (0..inputs; mode paper: 0 or 1) may be
// kept: the true token, and guesses that may turn out right; all their late rows are read. The
// others are guesses that only prefetch.
int32_t specache_begin(uint64_t store, uint64_t sequence, uint32_t inputs, uint32_t trusted,
                       const specache_options *options);
// The next layer of the step: [inputs][heads][head_dim] f32.
int32_t specache_attend(uint64_t store, uint64_t sequence, uint32_t layer, const float *queries,
                        const float *keys, const float *values, float *outputs);
// Ends a step that all layers have attended: its first `keep` (0..trusted) inputs become part of
// the sequence. 0 drops a step or run at work, wherever it stands: the sequence is as before it.
// But a step of trusted 0 that all layers have attended ran for what its guesses fetch, and that
// stays.
int32_t specache_keep(uint64_t store, uint64_t sequence, uint32_t keep);

// A model on a store (one a store). Tensors are memory-mapped and used in their own format;
// specache_model_ready checks that all are there and that f32, f16, bf16 ones hold no NaN.
int32_t specache_model_open(uint64_t store, const specache_model_config *config,
                            const double *frequencies /* [head_dim / 2] */);
// name: what errors call it.
int32_t specache_model_tensor(uint64_t store, const specache_tensor *tensor, const uint8_t *path,
                              uint32_t path_bytes, const uint8_t *name, uint32_t name_bytes);
int32_t specache_model_ready(uint64_t store);
// Exact prefill of `count` tokens; logits [vocabulary] after the last one, or null.
int32_t specache_prefill(uint64_t store, uint64_t sequence, const uint32_t *tokens, uint32_t count,
                         float *logits);
// One decode step of `count` sequences, 1..sequences_max, each at most once: weights are read once
// for all of them, and each has the bits that it would have alone. For each it is specache_begin
// and the whole model; specache_keep, of one sequence after the other, ends it. On failure no
// sequence has a step at work that had none before, and each is as it was but for counters and
// what its slots hold.
// tokens [rows], the inputs of shares[0], then those of shares[1] and so on. ids [rows] of each
// row's largest logit, the lowest of equal ones, and largest [rows], those logits; where none is
// above -infinity (all may be NaN) the id is 0xffffffff. samplings [count], or null: where one's
// temperature is above 0, and the row's largest logit finite, the id is what is drawn for the
// position behind the input, or SPECACHE_UNDECIDED; its share asks for logits, 1 or 2. logits of
// the rows whose share asks for them, [such rows][vocabulary], or null where none does.
int32_t specache_step(uint64_t store, const specache_step_share *shares, uint32_t count,
                      const uint32_t *tokens, const specache_sampling *samplings, uint32_t *ids,
                      float *largest, float *logits);
// Steps of one sequence in a row, each of one trusted input: `token`, then the token that the step
// before gave. It ends behind `steps` of them, behind a token of ends [ends_count], and before a
// step that would end more than so many microseconds after the first one's begin, if those to come
// take as long as the longest so far. ids and largest [steps] as of specache_step, logits
// [vocabulary] too; *made_out of them were made. All were kept but one whose id is
// SPECACHE_UNDECIDED or whose largest logit is not finite: with it the row ends, and it is at work.
// A step that is refused or fails ends the row before it, and the call with it where it is the
// first: the sequence is as before that step.
int32_t specache_decode(uint64_t store, const specache_step_share *share,
                        const specache_sampling *sampling, uint32_t token, uint32_t steps,
                        uint32_t microseconds, const uint32_t *ends, uint32_t ends_count,
                        uint32_t *ids, float *largest, float *logits, uint32_t *made_out);
// Draws the token of `position` from logits [vocabulary] as a step does; isa as specache_config's.
// A largest logit that is not finite is SPECACHE_DATA.
int32_t specache_sample(const specache_sampling *sampling, const float *logits,
                        uint32_t vocabulary, uint32_t position, uint32_t isa, uint32_t *id_out);
// Copies rows as stored, widened to f32: keys, values [tokens][kv_heads][head_dim] of one layer.
int32_t specache_rows(uint64_t store, uint64_t sequence, uint32_t layer, uint32_t first,
                      uint32_t tokens, float *keys, float *values);

// Audits: from now on the queries of each step's input 0 are kept, until the next step's; of a step
// of several sequences, the last one's.
int32_t specache_record(uint64_t store);
// Copies them: [layers][query_heads][head_dim] f32, after rope.
int32_t specache_recorded(uint64_t store, float *queries);

// Audits a drawn share (f32, 0..1; 0 ends it) of (step, layer, KV head): exact attention of input 0
// beside what the step used. Counts of all sequences begin anew.
int32_t specache_audit(uint64_t store, uint32_t share_bits, uint32_t seed_low, uint32_t seed_high);
// Sums over the kept steps: [layers][kv_heads][SPECACHE_AUDIT_COUNT].
int32_t specache_audited(uint64_t store, uint64_t sequence, double *sums);

// Watches one sequence, or with 0 none: of each step that begins from now on and is kept, which
// tokens of the tail input 0 attends by their rows. Its memory is near memory beside the plan's,
// counted as SPECACHE_STATS_ALLOCATED: 2 * layers * kv_heads * (12 * k_max + 4) bytes and a page
// or less, reserved at the first call and kept until the store is closed; where near_bytes does
// not allow it the call is SPECACHE_CAPACITY.
int32_t specache_watch(uint64_t store, uint64_t sequence);
// The last such step. position_out: of its input 0; 0xffffffff: there is none yet, or truncate
// took it away, and nothing else is written. counts [layers][kv_heads], 0 in mode full; tokens and
// sources [layers][kv_heads][k_max], the first `counts` of each: tokens ascending, and where each
// one's row was, 0 in a slot, 1 far and late, 2 far and left out by `late`, so that its code stood
// in. Where far is RAM and there are no slots all are late.
int32_t specache_watched(uint64_t store, uint32_t *position_out, uint32_t *counts,
                         uint32_t *tokens, uint8_t *sources);

// Makes the running prefill, step, append or keep, or the next one, answer SPECACHE_CANCELLED. A
// step whose keep does is dropped.
int32_t specache_cancel(uint64_t store);

// Tests: delays every fetch by a random time below `microseconds`, drawn from `seed`; 0 ends it.
int32_t specache_delay(uint64_t store, uint32_t seed, uint32_t microseconds);
// Tests: holds prefetches of `layer` on the copy stream until specache_release.
int32_t specache_hold(uint64_t store, uint32_t layer);
int32_t specache_release(uint64_t store);
// Benches and tests of long texts: appends random tokens, numbers of unit variance, of `seed`.
int32_t specache_fill(uint64_t store, uint64_t sequence, uint32_t tokens, uint32_t seed);
// Benches: nanoseconds within the library of all calls on stores so far, whoever made them: what a
// caller waited beyond that is the crossing's and its own.
int32_t specache_time(uint64_t *nanoseconds_out);
// Benches: all compute threads read `bytes` of far memory from `first` on and do nothing else.
int32_t specache_read_far(uint64_t store, uint64_t first, uint64_t bytes,
                          uint64_t *nanoseconds_out);
// How a far file is read, in the order of SPECACHE_FAR_*; all 0 where far memory is none.
int32_t specache_far_access(uint64_t store, uint64_t *values_out);
// Benches: reads `bytes` at each of `reads` random places of the far file, as fetches are read, and
// does nothing else: the limit of what must fetch as many.
int32_t specache_far_reads(uint64_t store, uint32_t reads, uint32_t bytes, uint32_t seed,
                           uint64_t *nanoseconds_out);
// Starts or empties the trace of stream events.
int32_t specache_trace_start(uint64_t store, uint32_t events_max);
// Copies events, 4 u64 each: what (0 attended, 1 wanted, 2 prefetch begun, 3 prefetch done, 4 late
// begun, 5 late done, 6 waited; of a run of KV heads 7 scanned, 8 chosen, 9 summed), layer, step,
// nanoseconds. Answers how many by *events_out.
int32_t specache_trace(uint64_t store, uint64_t *events, uint32_t events_max, uint32_t *events_out);

#ifdef __cplusplus
}
#endif
#endif
