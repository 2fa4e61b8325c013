// streams_fault.cu - mistakes of the host: events, streams, buffers used too early, slots.
#include "device.h"
#include "faults.h"

namespace {

constexpr int n = 256;
constexpr size_t bytes = n * sizeof(float);

__global__ void fill(float value, float *y) {
    for (int i = threadIdx.x; i < n; i += blockDim.x) y[i] = value;
}
__global__ void add(const float *x, float *y) {
    for (int i = threadIdx.x; i < n; i += blockDim.x) y[i] = x[i] + 1;
}

// What all of these have: a copy stream, a compute stream, and buffers on both sides.
struct Step {
    cudaStream_t compute = new_stream(), copies = new_stream();
    cudaEvent_t arrived = new_event(), other = new_event();
    float *slots = on_device<float>(n), *y = on_device<float>(n);
    float *from = pinned<float>(n), *to = pinned<float>(n);

    Step() {
        for (int i = 0; i < n; i++) from[i] = float(i), to[i] = -1;
        fill<<<1, 32, 0, compute>>>(0, slots);
        CALL(cudaStreamSynchronize(compute));
    }
    ~Step() {
        CALL(cudaDeviceSynchronize());
        for (cudaStream_t stream : {compute, copies}) CALL(cudaStreamDestroy(stream));
        for (cudaEvent_t event : {arrived, other}) CALL(cudaEventDestroy(event));
        for (float *at : {from, to}) CALL(cudaFreeHost(at));
    }
    void fetch() { CALL(cudaMemcpyAsync(slots, from, bytes, cudaMemcpyHostToDevice, copies)); }
    void use() { add<<<1, 32, 0, compute>>>(slots, y); }
    void give() { CALL(cudaMemcpyAsync(to, y, bytes, cudaMemcpyDeviceToHost, compute)); }
    void check() {
        for (int i = 0; i < n; i++) {
            if (to[i] != float(i + 1)) faults::wrong("not what was fetched");
        }
    }
};

}  // namespace

RIGHT(fetched_waited_for_used_given) {
    Step step;
    for (int round = 0; round < 3; round++) {
        step.fetch();
        CALL(cudaEventRecord(step.arrived, step.copies));
        CALL(cudaStreamWaitEvent(step.compute, step.arrived, 0));
        step.use();
        step.give();
        CALL(cudaStreamSynchronize(step.compute));
        step.check();
        step.from[0] = 0;
    }
}
FAULT(event_not_waited_for, "plain address thread", "wrong result|data race") {
    Step step;
    step.fetch();
    CALL(cudaEventRecord(step.arrived, step.copies));
    step.use();
    step.give();
    CALL(cudaStreamSynchronize(step.compute));
    step.check();
}
FAULT(wrong_event_waited_for, "plain address thread", "wrong result|data race") {
    Step step;
    step.fetch();
    CALL(cudaEventRecord(step.arrived, step.copies));
    CALL(cudaStreamWaitEvent(step.compute, step.other, 0));  // never recorded
    step.use();
    step.give();
    CALL(cudaStreamSynchronize(step.compute));
    step.check();
}
FAULT(event_recorded_before_the_copy, "plain address thread", "wrong result|data race") {
    Step step;
    CALL(cudaEventRecord(step.arrived, step.copies));
    step.fetch();
    CALL(cudaStreamWaitEvent(step.compute, step.arrived, 0));
    step.use();
    step.give();
    CALL(cudaStreamSynchronize(step.compute));
    step.check();
}
FAULT(event_waited_for_before_it_is_recorded, "plain address thread", "wrong result|data race") {
    Step step;
    CALL(cudaStreamWaitEvent(step.compute, step.arrived, 0));
    step.fetch();
    CALL(cudaEventRecord(step.arrived, step.copies));
    step.use();
    step.give();
    CALL(cudaStreamSynchronize(step.compute));
    step.check();
}
FAULT(event_recorded_on_the_wrong_stream, "plain address thread", "wrong result|data race") {
    Step step;
    step.fetch();
    CALL(cudaEventRecord(step.arrived, step.compute));
    CALL(cudaStreamWaitEvent(step.compute, step.arrived, 0));
    step.use();
    step.give();
    CALL(cudaStreamSynchronize(step.compute));
    step.check();
}
FAULT(slot_written_while_it_is_read, "thread", "data race") {
    Step step;
    step.use();
    step.fetch();  // the compute stream may still read the slots
    CALL(cudaDeviceSynchronize());
}
FAULT(pinned_buffer_reused_too_early, "plain address thread", "wrong result|data race") {
    Step step;
    step.fetch();
    step.from[9] = -5;  // for the next step, while this one's copy may be under way
    CALL(cudaEventRecord(step.arrived, step.copies));
    CALL(cudaStreamWaitEvent(step.compute, step.arrived, 0));
    step.use();
    step.give();
    CALL(cudaStreamSynchronize(step.compute));
    step.check();
}
FAULT(result_read_before_synchronising, "plain address thread", "wrong result|data race") {
    Step step;
    fill<<<1, 32, 0, step.compute>>>(7, step.y);
    step.give();
    if (step.to[9] != 7) faults::wrong("the result was not waited for");
}
FAULT(wrong_stream_synchronised, "plain address thread", "wrong result|data race") {
    Step step;
    fill<<<1, 32, 0, step.compute>>>(7, step.y);
    step.give();
    CALL(cudaStreamSynchronize(step.copies));
    if (step.to[9] != 7) faults::wrong("the result was not waited for");
}
FAULT(kernel_reads_pinned_rows_that_change, "thread", "data race") {
    Step step;
    add<<<1, 32, 0, step.compute>>>(step.from, step.y);
    step.from[0] = 3;
    CALL(cudaDeviceSynchronize());
}
FAULT(graph_with_a_missing_join, "plain address thread", "cudaErrorStreamCaptureUnjoined") {
    Step step;
    cudaGraph_t graph;
    CALL(cudaStreamBeginCapture(step.compute, cudaStreamCaptureModeGlobal));
    CALL(cudaEventRecord(step.arrived, step.compute));
    CALL(cudaStreamWaitEvent(step.copies, step.arrived, 0));
    step.fetch();
    step.use();
    CALL(cudaStreamEndCapture(step.compute, &graph));
}
// In a graph: fetch beside use, joined at the end only.
FAULT(graph_with_a_missing_edge, "thread", "data race") {
    Step step;
    cudaGraph_t graph;
    cudaGraphExec_t exec;
    CALL(cudaStreamBeginCapture(step.compute, cudaStreamCaptureModeGlobal));
    CALL(cudaEventRecord(step.other, step.compute));
    CALL(cudaStreamWaitEvent(step.copies, step.other, 0));
    step.fetch();
    CALL(cudaEventRecord(step.arrived, step.copies));
    step.use();
    CALL(cudaStreamWaitEvent(step.compute, step.arrived, 0));
    CALL(cudaStreamEndCapture(step.compute, &graph));
    CALL(cudaGraphInstantiate(&exec, graph, 0));
    CALL(cudaGraphLaunch(exec, step.compute));
    CALL(cudaStreamSynchronize(step.compute));
    CALL(cudaGraphExecDestroy(exec));
    CALL(cudaGraphDestroy(graph));
}
FAULT(stream_used_after_its_end, "plain address thread", "cudaErrorInvalidResourceHandle") {
    cudaStream_t stream = new_stream();
    CALL(cudaStreamDestroy(stream));
    fill<<<1, 32, 0, stream>>>(1, on_device<float>(n));
    CALL(cudaGetLastError());
}
FAULT(block_too_large, "plain address thread", "cudaErrorInvalidConfiguration") {
    fill<<<1, 1025, 0, main_stream()>>>(1, on_device<float>(n));
    CALL(cudaGetLastError());
}
