// chunk.h - a piece of a prompt's attention: some tokens of the chunk in one KV head, whose group
// of query heads see its rows together. What every instruction set that attends counts alike.
#pragma once
#include <algorithm>

#include "../threads.h"

namespace specache::SPECACHE_ISA {

struct ChunkPiece {
    const PrefillAttend &attend;
    uint32_t head, first, tokens;  // of the chunk
    const Shape &shape = attend.shape;
    uint32_t dim = shape.head_dim, group = shape.query_heads / shape.kv_heads;
    uint32_t queries = tokens * group;

    uint32_t position(uint32_t query) const {
        return attend.first_position + first + query / group;
    }
    uint64_t at(uint32_t query) const {  // [token][query head]
        return uint64_t(first + query / group) * shape.query_heads + head * group + query % group;
    }
};

// Calls body(piece) for all pieces of `tokens` tokens. Later ones see more pages: the longest go
// first, so that threads end together.
template <class Body>
static inline void for_chunk_pieces(Stream &stream, const PrefillAttend &attend, uint32_t tokens,
                                    Body body) {
    uint32_t blocks = (attend.tokens + tokens - 1) / tokens, heads = attend.shape.kv_heads;
    parallel_until_cancelled(stream, heads * blocks, [&](uint32_t index) {
        uint32_t first = (blocks - 1 - index / heads) * tokens;
        body(ChunkPiece{attend, index % heads, first, std::min(tokens, attend.tokens - first)});
    });
}

}  // namespace specache::SPECACHE_ISA
