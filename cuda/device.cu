// device.cu - an NVIDIA GPU as a device: VRAM is near, pinned host memory far. Two streams: the
// kernels' own, and one of fetches and of copies between near and far. Late rows need none: they
// are read where they lie.
#include <algorithm>
#include <string>

#include "../native/cpu/threads.h"
#include "../native/store/plan.h"
#include "cublas.h"
#include "fetch.h"
#include "table.h"

namespace specache::cuda {
namespace {

constexpr int least_major = 7, least_minor = 5;  // int8 tensor cores

// Throws where no GPU answers, with the runtime's own words.
cudaDeviceProp open_gpu() {
    int count = 0;
    check(cudaGetDeviceCount(&count), "device cuda");
    if (count == 0) fail(SPECACHE_DEVICE, "device cuda: the driver knows of no GPU");
    cudaDeviceProp gpu{};
    check(cudaSetDevice(0), "device cuda");
    check(cudaGetDeviceProperties(&gpu, 0), "device cuda");
    if (gpu.major < least_major || (gpu.major == least_major && gpu.minor < least_minor)) {
        fail(SPECACHE_DEVICE, "device cuda: compute capability %d.%d of %s is below %d.%d",
             gpu.major, gpu.minor, gpu.name, least_major, least_minor);
    }
    if (!gpu.unifiedAddressing || !gpu.canMapHostMemory) {
        fail(SPECACHE_DEVICE, "device cuda: %s cannot read host memory in place", gpu.name);
    }
    return gpu;
}

class CudaDevice final : public Device {
public:
    explicit CudaDevice(const Plan &plan)
        : gpu_(open_gpu()), threads_(threads_of(plan.config.threads)),
          fetcher_(plan.config.prefetch == 1, plan.config.kv_heads * plan.arriving,
                   uint32_t(plan.row)) {
        host_.threads = threads_.count() > 1 ? &threads_ : nullptr;
        if (plan.config.prefill == 0) return;
        cublas_ = std::make_unique<Cublas>(Cublas::open(), compute_.stream);
        compute_.cublas = cublas_.get();
    }
    void heed(const std::atomic<bool> &) override {}  // a call ends before its work begins
    const Kernels &kernels() const override { return cuda::kernels; }
    std::string name() const override { return gpu_.name; }
    bool shares_memory() const override { return false; }
    uint32_t threads() const override { return threads_.count(); }
    Stream &host() override { return host_; }
    Stream &compute() override { return compute_; }
    Stream &copy() override { return copy_; }
    Stream &late() override { return copy_; }
    std::unique_ptr<Event> event() override { return std::make_unique<CudaEvent>(); }

    uint8_t *reserve(uint64_t bytes) override {
        if (bytes == 0) return nullptr;
        void *memory = nullptr;
        if (cudaMalloc(&memory, bytes) == cudaErrorMemoryAllocation) refuse("GPU", bytes);
        check(cudaGetLastError(), "cudaMalloc");
        clear(memory, bytes);
        return static_cast<uint8_t *>(memory);
    }
    void release(uint8_t *memory, uint64_t) override { cudaFree(memory); }
    uint8_t *reserve_far(uint64_t bytes) override {
        if (bytes == 0) return nullptr;
        void *memory = nullptr;
        if (cudaHostAlloc(&memory, bytes, cudaHostAllocMapped) == cudaErrorMemoryAllocation) {
            refuse("system", bytes);
        }
        check(cudaGetLastError(), "cudaHostAlloc");
        std::fill_n(static_cast<uint8_t *>(memory), bytes, uint8_t(0));
        return static_cast<uint8_t *>(memory);
    }
    void release_far(uint8_t *memory, uint64_t) override { cudaFreeHost(memory); }

    void upload(void *near, const void *from, uint64_t bytes) override {
        transfer(near, from, bytes, cudaMemcpyHostToDevice);
        compute_.finish();  // before that the runtime may still read memory that is not pinned
    }
    void download(void *to, const void *near, uint64_t bytes) override {
        transfer(to, near, bytes, cudaMemcpyDefault);  // mode full has its far rows in VRAM
        compute_.finish();
    }
    void move(void *to, const void *from, uint64_t bytes) override {
        transfer(to, from, bytes, cudaMemcpyDeviceToDevice);
    }
    void clear(void *near, uint64_t bytes) override {
        check(cudaMemsetAsync(near, 0, bytes, compute_.stream), "cudaMemsetAsync");
    }

    void fetch(Stream &stream, const Fetch &fetch) override { fetcher_.fetch(stream, fetch); }
    // What the compute stream has queued so far made the rows.
    void write(const Write &write) override {
        compute_.signal(made_);
        copy_.wait(made_);
        check(cudaMemcpyAsync(write.far.memory + write.to, write.from, write.bytes,
                              cudaMemcpyDefault, copy_.stream),
              "a page on its way to far memory");
    }
    void read(void *near, const uint8_t *far, uint64_t bytes) override {
        check(cudaMemcpyAsync(near, far, bytes, cudaMemcpyHostToDevice, copy_.stream),
              "pages from far memory");
    }
    std::unique_ptr<Recording> record(const std::function<void()> &work) override;
    void launch(Recording &recording) override;
    void drain() override {
        compute_.finish();
        copy_.finish();
    }
    void check() override { cuda::check(cudaPeekAtLastError(), "device cuda"); }

    void delay(uint32_t, uint32_t) override { only_cpu("delays"); }
    void hold(uint32_t) override { only_cpu("held copies"); }
    void unhold() override {}
    void trace_start(uint32_t) override { only_cpu("a trace"); }
    void trace(Trace, uint32_t, uint32_t) override {}
    uint32_t trace_copy(uint64_t *, uint32_t) override { return 0; }

private:
    static void check(cudaError_t error, const char *what) { cuda::check(error, what); }
    [[noreturn]] static void only_cpu(const char *what) {
        fail(SPECACHE_UNSUPPORTED, "device cuda has no %s", what);
    }
    // Throws; the runtime's memory of the error is cleared.
    [[noreturn]] static void refuse(const char *who, uint64_t bytes) {
        cudaGetLastError();
        fail(SPECACHE_MEMORY, "the %s refused %llu bytes of memory", who,
             static_cast<unsigned long long>(bytes));
    }
    void transfer(void *to, const void *from, uint64_t bytes, cudaMemcpyKind kind) {
        if (bytes == 0) return;
        check(cudaMemcpyAsync(to, from, bytes, kind, compute_.stream), "cudaMemcpyAsync");
    }

    const cudaDeviceProp gpu_;
    Threads threads_;
    CpuStream host_;
    RecordingNumber recordings_ = 0, recording_ = 0;  // so far, and the one at work
    CudaStream compute_{&recording_}, copy_{&recording_, true};
    CudaEvent made_, joined_;
    Fetcher fetcher_;
    std::unique_ptr<Cublas> cublas_;  // of a fast prefill
};

struct Graph final : Recording {
    ~Graph() override {
        if (executable != nullptr) cudaGraphExecDestroy(executable);
    }
    cudaGraphExec_t executable = nullptr;
};

std::unique_ptr<Recording> CudaDevice::record(const std::function<void()> &work) {
    auto made = std::make_unique<Graph>();
    cudaGraph_t graph = nullptr;
    check(cudaStreamBeginCapture(compute_.stream, cudaStreamCaptureModeThreadLocal), "a graph");
    recording_ = ++recordings_;
    try {
        work();
        cudaStreamCaptureStatus copies = cudaStreamCaptureStatusNone;
        check(cudaStreamIsCapturing(copy_.stream, &copies), "a graph");
        if (copies == cudaStreamCaptureStatusActive) {  // all ends where it began
            copy_.signal(joined_);
            compute_.wait(joined_);
        }
    } catch (...) {
        recording_ = 0;
        cudaStreamEndCapture(compute_.stream, &graph);
        if (graph != nullptr) cudaGraphDestroy(graph);
        cudaGetLastError();
        throw;
    }
    recording_ = 0;
    check(cudaStreamEndCapture(compute_.stream, &graph), "a graph");
    cudaError_t error = cudaGraphInstantiate(&made->executable, graph, 0);
    cudaGraphDestroy(graph);
    if (error == cudaErrorMemoryAllocation) {  // launched one by one, the work needs none
        cudaGetLastError();
        return nullptr;
    }
    check(error, "a graph");
    return made;
}

void CudaDevice::launch(Recording &recording) {
    copy_.signal(joined_);
    compute_.wait(joined_);
    check(cudaGraphLaunch(static_cast<Graph &>(recording).executable, compute_.stream),
          "cudaGraphLaunch");
    // The next fetch comes after those of the recording.
    compute_.signal(joined_);
    copy_.wait(joined_);
}

}  // namespace
}  // namespace specache::cuda

namespace specache {

std::unique_ptr<Device> open_cuda_device(const Plan &plan) {
    return std::make_unique<cuda::CudaDevice>(plan);
}

uint64_t cuda_cache_bytes() {
    int bytes = 0;
    if (cudaDeviceGetAttribute(&bytes, cudaDevAttrL2CacheSize, 0) == cudaSuccess) return bytes;
    cudaGetLastError();
    return 0;
}

}  // namespace specache
