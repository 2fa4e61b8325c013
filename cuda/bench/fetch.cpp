// fetch.cpp - rows from pinned host memory to near memory in both ways, alone and beside a step's
// kernels on another stream, as the engine's copy stream has them.
#include <cstring>
#include <random>

#include "../fetch.h"
#include "layers.h"

namespace bench {
namespace {

constexpr uint32_t arriving = 64;  // rows of a KV head in flight at most (native/store/plan.h)
constexpr uint32_t fetch_layers = 8;
constexpr const char *ways[] = {"read", "gathered"};

// Lists of random rows, one for each layer and sequence of a sweep. Each has room for as many as a
// fetch may have, since the gathered way copies the whole list.
class Rows {
public:
    Rows(CudaStream &stream, const Options &options, uint32_t lists, uint32_t rows_each_in)
        : rows_each(rows_each_in), most(options.kv_heads * arriving),
          row(row_bytes(options.shape())), far_bytes_(far_of(options)),
          near_(uint64_t(lists) * most * row), copies_(uint64_t(lists) * most), count_(1) {
        void *memory = nullptr;
        check(cudaHostAlloc(&memory, far_bytes_, cudaHostAllocMapped), "the bench");
        far_.reset(static_cast<uint8_t *>(memory));
        std::memset(far_.get(), 5, far_bytes_);
        std::mt19937_64 random(7);
        std::vector<Copy> copies(copies_.count());
        for (uint64_t i = 0; i < copies.size(); i++) {
            copies[i] = {random() % (far_bytes_ / row) * row, near_.data() + i * row};
        }
        check(cudaMemcpyAsync(copies_.data(), copies.data(), copies_.bytes(), cudaMemcpyDefault,
                              stream.stream), "the bench");
        check(cudaMemcpyAsync(count_.data(), &rows_each, 4, cudaMemcpyDefault, stream.stream),
              "the bench");
        stream.finish();
    }
    Fetch list(uint32_t number) const {
        return {{far_.get(), -1}, copies_.data() + uint64_t(number) * most, count_.data(),
                row, 0, 0, nullptr};
    }

    const uint32_t rows_each, most, row;

private:
    static uint64_t far_of(const Options &options) {
        return uint64_t(std::min(options.far_gib, 1.0) * 1073741824);
    }
    const uint64_t far_bytes_;
    std::unique_ptr<uint8_t, cuda::FreeHost> far_;
    Near<uint8_t> near_;
    Near<Copy> copies_;
    Near<uint32_t> count_;
};

void alone(const Run &run, Timer &timer, uint32_t sequences, uint32_t rows_each_head) {
    const Options &options = run.options;
    uint32_t lists = fetch_layers * sequences;
    Rows rows(timer.stream(), options, lists, options.kv_heads * rows_each_head);
    for (bool gathered : {false, true}) {
        cuda::Fetcher fetcher(gathered, rows.most, rows.row);
        double ms = timer.time([&] {
            for (uint32_t i = 0; i < lists; i++) fetcher.fetch(timer.stream(), rows.list(i));
        }) / fetch_layers;
        double bytes = double(sequences) * rows.rows_each * rows.row;
        double rate = gb_per_s(bytes, ms);
        std::printf("%3u sequences, %2u rows of each of %u KV heads, %-8s %10.1f us a layer "
                    "%8.2f GB/s\n", sequences, rows_each_head, options.kv_heads, ways[gathered],
                    1e3 * ms, rate);
        run.add(Record("fetch").with("way", ways[gathered]).with("sequences", sequences)
                    .with("rows_each_head", rows_each_head).with("us", 1e3 * ms)
                    .with("bytes", bytes).with("gb_s", rate));
    }
}

// A step's kernels on one stream, what they want fetched on another.
class Overlap {
public:
    Overlap(Timer &timer, const Layers &layers, const Rows &rows, cuda::Fetcher &fetcher)
        : timer_(timer), layers_(layers), rows_(rows), fetcher_(fetcher) {
        uint32_t lists = layers.layers * layers.sequences;
        for (uint32_t i = 0; i < lists; i++) {
            wanted_.push_back(std::make_unique<cuda::CudaEvent>());
            begun_.push_back(std::make_unique<Moment>());
            ended_.push_back(std::make_unique<Moment>());
        }
    }
    double compute() {
        return timer_.time([&] { put(true, false); });
    }
    double fetches() {
        return timer_.time([&] { put(false, true); });
    }
    double both() {
        return timer_.time([&] { put(true, true); });
    }
    // Of the run before: how long fetches were at work on the copy stream.
    double fetching() const {
        double ms = 0;
        for (size_t i = 0; i < begun_.size(); i++) ms += ended_[i]->ms_since(*begun_[i]);
        return ms;
    }

private:
    void put(bool computes, bool fetches) {
        CudaStream &compute = timer_.stream();
        for (uint32_t layer = 0; layer < layers_.layers; layer++) {
            for (uint32_t s = 0; s < layers_.sequences; s++) {
                uint32_t list = layer * layers_.sequences + s;
                if (computes) layers_.scan(compute, layer, s);
                if (computes) layers_.choose(compute, layer, s);
                if (fetches) fetch(compute, list);
                if (computes) layers_.attend(compute, layer, s);
            }
        }
        if (!fetches) return;
        copy_.signal(arrived_);
        compute.wait(arrived_);
    }
    void fetch(CudaStream &compute, uint32_t list) {
        compute.signal(*wanted_[list]);
        copy_.wait(*wanted_[list]);
        begun_[list]->record(copy_);
        fetcher_.fetch(copy_, rows_.list(list));
        ended_[list]->record(copy_);
    }

    Timer &timer_;
    const Layers &layers_;
    const Rows &rows_;
    cuda::Fetcher &fetcher_;
    CudaStream copy_;
    cuda::CudaEvent arrived_;
    std::vector<std::unique_ptr<cuda::CudaEvent>> wanted_;
    std::vector<std::unique_ptr<Moment>> begun_, ended_;
};

void beside(const Run &run, Timer &timer, uint32_t tokens, uint32_t sequences) {
    const Options &options = run.options;
    uint32_t layers = std::min(options.layers, fetch_layers), inputs = 2;
    uint64_t bytes = Layers::bytes(options, specache_coding, layers, sequences, tokens, inputs);
    while (layers > 1 && bytes > run.card.free_bytes / 2) bytes /= 2, layers /= 2;
    if (bytes > run.card.free_bytes / 2) return run.skip(tokens, sequences, "codes do not fit");
    Layers of(timer.stream(), options, specache_coding, layers, sequences, tokens, inputs);
    Rows rows(timer.stream(), options, layers * sequences, options.kv_heads * arriving);
    for (bool gathered : {false, true}) {
        cuda::Fetcher fetcher(gathered, rows.most, rows.row);
        Overlap overlap(timer, of, rows, fetcher);
        double compute = overlap.compute(), fetches = overlap.fetches(), both = overlap.both();
        double fetching = overlap.fetching();
        double hidden = std::clamp((compute + fetches - both) / fetches, 0.0, 1.0);
        std::printf("%7u tokens, %2u sequences, %-8s compute %9.3f ms, fetches alone %9.3f, both "
                    "%9.3f (fetching %9.3f): %3.0f %% hidden\n", tokens, sequences, ways[gathered],
                    compute, fetches, both, fetching, 100 * hidden);
        std::fflush(stdout);
        run.add(Record("overlap").with("way", ways[gathered]).with("tokens", tokens)
                    .with("sequences", sequences).with("layers", layers)
                    .with("compute_ms", compute).with("fetches_ms", fetches).with("both_ms", both)
                    .with("fetching_beside_ms", fetching).with("hidden", hidden));
    }
}

}  // namespace

void bench_fetch(const Run &run) {
    Timer timer(run.card, run.options);
    std::printf("rows of %u bytes at random places of pinned memory, one fetch a sequence\n",
                row_bytes(run.options.shape()));
    for (uint32_t sequences : run.options.sequences) {
        for (uint32_t rows : {16u, arriving}) alone(run, timer, sequences, rows);
    }
    std::printf("the same beside scan, choose and attend of 2 inputs; hidden: what both together "
                "take less than one after the other, of the fetches\n");
    for (uint32_t sequences : run.options.sequences) {
        for (uint32_t tokens : run.options.tokens) {
            if (run.has_time(tokens, sequences)) beside(run, timer, tokens, sequences);
        }
    }
}

}  // namespace bench
