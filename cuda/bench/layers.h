// layers.h - near memory of several layers and sequences, filled with random codes and rows: what
// the kernels of a step read, as a store lays it out. Each layer is memory of its own, so that a
// sweep over them finds in L2 what a step would.
#pragma once
#include "../../native/codes.h"
#include "../../native/scratch.h"
#include "bench.h"

namespace bench {

// A mode's codes and how many rows it has exactly.
struct Coding {
    const char *name;
    Rule rule;
    uint32_t key_bits, value_bits, group, value_planes, k;
};
constexpr Coding specache_coding{"specache", Rule::rotated, 2, 0, 0, 32, 256};  // with a profile
constexpr Coding paper_coding{"paper", Rule::paper, 1, 1, 64, 128, 64};         // as published

// Random bits; of a page's 16-bit parameters sensible ones. All from the seed.
void fill_pages(CudaStream &stream, uint8_t *pool, uint64_t pages, const CodeLayout &layout,
                uint32_t seed);
// Numbers of magnitude 1 to 2 and either sign.
void fill_rows(CudaStream &stream, uint16_t *numbers, uint64_t count, Type type, uint32_t seed);
void fill_queries(CudaStream &stream, float *numbers, uint64_t count, uint32_t seed);

class Layers {
public:
    Layers(CudaStream &stream, const Options &options, const Coding &coding, uint32_t layers,
           uint32_t sequences, uint32_t tokens, uint32_t inputs);
    void scan(CudaStream &stream, uint32_t layer, uint32_t sequence) const;
    void choose(CudaStream &stream, uint32_t layer, uint32_t sequence) const;
    void attend(CudaStream &stream, uint32_t layer, uint32_t sequence) const;
    std::vector<uint32_t> counts(CudaStream &stream) const { return counts_.values(stream); }
    std::vector<float> outputs(CudaStream &stream) const { return outputs_.values(stream); }

    // Bytes of all this, before it is made.
    static uint64_t bytes(const Options &options, const Coding &coding, uint32_t layers,
                          uint32_t sequences, uint32_t tokens, uint32_t inputs);
    // Of one layer and sequence, each byte once: keys' codes, logits, values' codes, exact rows.
    double key_bytes() const;
    double logit_bytes() const;
    double value_bytes() const;
    double row_bytes_read() const;
    double least_bytes() const { return key_bytes() + value_bytes() + row_bytes_read(); }

    const Shape shape;
    const Coding coding;
    const uint32_t layers, sequences, tokens, inputs;

private:
    struct Sizes {  // counts of elements, which decide what is allocated
        uint64_t pool, sinks, window, exact, rows, logits, chosen, choosing, scratch;
        Sizes(const Options &options, const Coding &coding, uint32_t layers, uint32_t sequences,
              uint32_t tokens, uint32_t inputs);
    };
    uint64_t part(uint32_t layer, uint32_t sequence) const {
        return uint64_t(layer) * sequences + sequence;
    }
    NearRows near(uint32_t layer, uint32_t sequence) const;
    HeadCode head_code() const;
    void place(CudaStream &stream);

    const Sizes sizes_;
    const uint32_t tail_pages, pages_max;
    const CodeLayout layout_;
    const uint64_t row_, pairs_;
    Near<uint8_t> pool_;               // [layers][kv_heads][sequences * pages_max] pages' codes
    Near<uint16_t> sinks_, window_, exact_;  // [layers][sequences]...
    Near<float> basis_, weights_;
    Near<uint32_t> channels_, ids_, positions_, chosen_, counts_;
    Near<HeadCode> codes_;             // [layers][kv_heads]
    Near<const uint8_t *> rows_;       // [layers][sequences][inputs][kv_heads][k]
    Near<float> queries_, logits_, values_, outputs_;
    Near<uint8_t> choosing_, scratch_;
};

}  // namespace bench
