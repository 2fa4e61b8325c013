// bench.h - what the parts of the bench share: options, near memory, times by events, results.
//   times    the median of several runs; before each one L2 is filled with something else
//   bytes    counted from the layout, each once; GB/s is these over the time
//   results  a line of text for people, a line of JSON for the file
#pragma once
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <functional>
#include <string>
#include <vector>

#include "../stream.h"

namespace bench {

using namespace specache;
using cuda::check;
using cuda::CudaStream;

struct Options {
    std::string part;
    std::vector<uint32_t> tokens{8192, 32768, 131072}, sequences{1, 4, 16};
    uint32_t kv_heads = 8, group = 4, head_dim = 128;
    uint32_t layers = 32;       // of a whole step, at most
    uint32_t repetitions = 9;   // of each time
    uint32_t steps = 6;         // of a store, for each time of a whole step
    double seconds = 120;       // after which no further shape is begun
    double far_gib = 9;         // pinned memory at most
    double copied_mib = 1024;   // of the copies that tell the card's own rate
    std::string json;           // file that lines are added to; empty: none
    uint32_t query_heads() const { return kv_heads * group; }
    Shape shape() const {
        return {kv_heads, query_heads(), head_dim, Type::bf16, 0.08838834764f};
    }
};

struct Card {
    std::string name;
    uint32_t multiprocessors = 0;
    uint64_t cache_bytes = 0, free_bytes = 0;
    double published = 0;  // GB/s of its memory, 0: not known here
    double read = 0, copy = 0;  // GB/s measured in this run
    bool emulated = false;
};

// Near memory, not cleared.
template <class T> class Near {
public:
    explicit Near(uint64_t count) : count_(count) {
        void *memory = nullptr;
        if (count != 0) check(cudaMalloc(&memory, count * sizeof(T)), "the bench");
        at_ = static_cast<T *>(memory);
    }
    Near(CudaStream &stream, const std::vector<T> &from) : Near(from.size()) {
        check(cudaMemcpyAsync(at_, from.data(), bytes(), cudaMemcpyDefault, stream.stream),
              "the bench");
        stream.finish();
    }
    ~Near() { cudaFree(at_); }
    Near(const Near &) = delete;
    T *data() const { return at_; }
    uint64_t count() const { return count_; }
    uint64_t bytes() const { return count_ * sizeof(T); }
    std::vector<T> values(CudaStream &stream) const {
        std::vector<T> to(count_);
        check(cudaMemcpyAsync(to.data(), at_, bytes(), cudaMemcpyDefault, stream.stream),
              "the bench");
        stream.finish();
        return to;
    }

private:
    T *at_ = nullptr;
    uint64_t count_;
};

class Moment {  // in a stream
public:
    Moment() { check(cudaEventCreate(&event_), "the bench"); }
    ~Moment() { cudaEventDestroy(event_); }
    Moment(const Moment &) = delete;
    void record(CudaStream &stream) { check(cudaEventRecord(event_, stream.stream), "the bench"); }
    double ms_since(const Moment &begin) const {
        float ms = 0;
        check(cudaEventElapsedTime(&ms, begin.event_, event_), "the bench");
        return double(ms);
    }

private:
    cudaEvent_t event_;
};

inline double median(std::vector<double> list) {
    std::sort(list.begin(), list.end());
    return list.empty() ? 0 : list[list.size() / 2];
}

// Work that was put into a stream, to be launched as often as one likes without the host's delays.
class Graph {
public:
    Graph(CudaStream &stream, const std::function<void()> &work) {
        cudaGraph_t graph = nullptr;
        check(cudaStreamBeginCapture(stream.stream, cudaStreamCaptureModeThreadLocal), "a graph");
        work();
        check(cudaStreamEndCapture(stream.stream, &graph), "a graph");
        check(cudaGraphInstantiate(&exec_, graph, 0), "a graph");
        check(cudaGraphDestroy(graph), "a graph");
    }
    ~Graph() { cudaGraphExecDestroy(exec_); }
    Graph(const Graph &) = delete;
    void launch(CudaStream &stream) { check(cudaGraphLaunch(exec_, stream.stream), "a graph"); }

private:
    cudaGraphExec_t exec_ = nullptr;
};

class Timer {
public:
    Timer(const Card &card, const Options &options)
        : filler_(2 * card.cache_bytes), repetitions_(options.repetitions) {}
    CudaStream &stream() { return stream_; }
    // Median milliseconds of the work, which is captured once.
    double graph(const std::function<void()> &work) {
        Graph graph(stream_, work);
        return time([&] { graph.launch(stream_); });
    }
    double time(const std::function<void()> &work) {
        std::vector<double> times;
        for (uint32_t i = 0; i <= repetitions_; i++) {
            fill();
            begin_.record(stream_);
            work();
            end_.record(stream_);
            stream_.finish();
            if (i != 0) times.push_back(end_.ms_since(begin_));  // the first one warms up
        }
        return median(times);
    }
    void fill() {
        check(cudaMemsetAsync(filler_.data(), 1, filler_.bytes(), stream_.stream), "the bench");
    }

private:
    CudaStream stream_;
    Near<uint8_t> filler_;
    Moment begin_, end_;
    const uint32_t repetitions_;
};

// One figure, as a line of JSON.
class Record {
public:
    explicit Record(const std::string &part) { text_ = "{\"part\":\"" + part + "\""; }
    Record &with(const char *name, const std::string &value) {
        text_ += ",\"" + std::string(name) + "\":\"" + value + "\"";
        return *this;
    }
    Record &with(const char *name, double value) {
        char number[40];
        std::snprintf(number, sizeof number, "%.6g", value);
        text_ += ",\"" + std::string(name) + "\":" + number;
        return *this;
    }
    const std::string &text() const { return text_; }  // but for the last brace

private:
    std::string text_;
};

class Run {
public:
    const Options options;
    Card card;
    explicit Run(const Options &options_in)
        : options(options_in), begun_(std::chrono::steady_clock::now()) {}
    void add(const Record &record) const {
        if (options.json.empty()) return;
        std::FILE *file = std::fopen(options.json.c_str(), "a");
        if (file == nullptr) fail(SPECACHE_FILE, "cannot write %s", options.json.c_str());
        const char *emulated = card.emulated ? ",\"emulated\":true}" : "}";
        std::fprintf(file, "%s%s\n", record.text().c_str(), emulated);
        std::fclose(file);
    }
    // Whether there is time for another shape; tells where there is not.
    bool has_time(uint32_t tokens, uint32_t sequences) const {
        std::chrono::duration<double> took = std::chrono::steady_clock::now() - begun_;
        if (took.count() < options.seconds) return true;
        skip(tokens, sequences, "out of time");
        return false;
    }
    void skip(uint32_t tokens, uint32_t sequences, const char *why) const {
        std::printf("%7u tokens, %2u sequences: not measured: %s\n", tokens, sequences, why);
        std::fflush(stdout);
        add(Record(options.part).with("tokens", tokens).with("sequences", sequences)
                .with("not_measured", why));
    }

private:
    const std::chrono::steady_clock::time_point begun_;
};

// The rival's best of several ways to cut the text: of one layer of all sequences.
struct DenseTime {
    double ms = 0, bytes = 0;
    uint32_t splits = 0, layers = 0;  // 0 splits: the cache does not fit
};
DenseTime time_dense(Timer &timer, const Run &run, uint32_t tokens, uint32_t sequences);

inline double gb_per_s(double bytes, double ms) { return ms > 0 ? bytes / ms / 1e6 : 0; }

void measure_card(Run &run);       // card.cu: fills in run.card
void bench_card(const Run &run);   // card.cu
void bench_kernels(const Run &run);  // kernels.cpp
void bench_fetch(const Run &run);    // fetch.cpp
void bench_step(const Run &run);     // step.cpp
bool check_dense(const Run &run);    // check.cpp: whether the rival and the layers are right

}  // namespace bench
