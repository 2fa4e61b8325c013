// fma.cpp - the most multiply-adds of 32 bits that this machine's threads do: sums that do not wait
// for one another, all in registers. peak.ts builds it. argv: threads. A line with a number of
// passes in, a line of JSON out.
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <thread>
#include <vector>

namespace {

#if defined(__AVX512F__)
constexpr int lanes = 16;
#define IN_REGISTER "+v"
#elif defined(__AVX__)
constexpr int lanes = 8;
#define IN_REGISTER "+x"
#elif defined(__x86_64__)
constexpr int lanes = 4;
#define IN_REGISTER "+x"
#else
constexpr int lanes = 4;
#define IN_REGISTER "+w"
#endif
typedef float Floats __attribute__((vector_size(lanes * sizeof(float))));
constexpr int chains = 12;  // a multiply-add takes 4 cycles, two begin in each
constexpr int rounds = 1 << 20;

float work() {
    Floats sums[chains] = {}, factor{}, more{};
    for (int i = 0; i < lanes; i++) factor[i] = .5f, more[i] = 1.0f;
    for (int round = 0; round < rounds; round++) {
        for (Floats &sum : sums) {
            sum = sum * factor + more;
            asm volatile("" : IN_REGISTER(sum));  // no round is left out
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
        double operations = 2.0 * lanes * chains * rounds * passes * threads;
        std::printf("{\"flopsPerSecond\": %.6g, \"sum\": %g}\n", operations / took.count(),
                    double(sums[0]));
        std::fflush(stdout);
    }
}
