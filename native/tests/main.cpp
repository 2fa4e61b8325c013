// main.cpp - runs every test whose fact holds one of the arguments (all without any), tells which
// took long, and counts.
#include <chrono>
#include <cstring>

#include "test.h"

namespace {

constexpr double long_seconds = 0.5;  // of a test that is worth a look where the whole takes long

bool wanted(const char *fact, int count, char **arguments) {
    if (count < 2) return true;
    for (int i = 1; i < count; i++) {
        if (std::strstr(fact, arguments[i]) != nullptr) return true;
    }
    return false;
}

}  // namespace

int main(int count, char **arguments) {
    int passed = 0, failed = 0;
    for (const test::Case &each : test::cases()) {
        if (!wanted(each.fact, count, arguments)) continue;
        test::failures() = 0;
        auto begun = std::chrono::steady_clock::now();
        each.body();
        std::chrono::duration<double> took = std::chrono::steady_clock::now() - begun;
        if (took.count() > long_seconds) std::printf("%.1f s %s\n", took.count(), each.fact);
        if (test::failures() != 0) std::printf("FAILED %s\n", each.fact);
        (test::failures() == 0 ? passed : failed)++;
    }
    std::printf("%d passed, %d failed\n", passed, failed);
    if (passed + failed == 0) std::printf("no test holds these words\n");
    return failed == 0 && passed != 0 ? 0 : 1;
}
