// fma.cpp - the most multiply-adds of 32 bits that this machine's threads do: sums that do not wait
// for one another, all in registers. peak.ts builds it. argv: threads. A line with a number of
// passes in, a line of JSON out.
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <thread>
#include <vector>

namespace {

typedef float Floats __attribute__((vector_size(64)));
constexpr int chains = 12;  // a multiply-add takes 4 cycles, two begin in each
constexpr int rounds = 1 << 20;

float work() {
    Floats sums[chains] = {}, factor{}, more{};
    for (int i = 0; i < 16; i++) factor[i] = .5f, more[i] = 1.0f;
    for (int round = 0; round < rounds; round++) {
        for (Floats &sum : sums) {
            sum = sum * factor + more;
            asm volatile("" : "+v"(sum));  // no round is left out
        }
    }
    float all = 0;
    for (const Floats &sum : sums) all += sum[0];
    return all;
}

}  // namespace

int main(int, char **argv) {
    int threads = std::atoi(argv[1]), passes = 0;
    while (std::scanf("%d", &passes) == 1) {
        auto started = std::chrono::steady_clock::now();
        std::vector<float> sums(size_t(threads), 0.0f);
        std::vector<std::thread> workers;
        for (float &sum : sums) {
            workers.emplace_back([&sum, passes] {
                for (int pass = 0; pass < passes; pass++) sum += work();
            });
        }
        for (std::thread &worker : workers) worker.join();
        std::chrono::duration<double> took = std::chrono::steady_clock::now() - started;
        double operations = 2.0 * 16 * chains * rounds * passes * threads;
        std::printf("{\"flopsPerSecond\": %.6g, \"sum\": %g}\n", operations / took.count(),
                    double(sums[0]));
        std::fflush(stdout);
    }
}
