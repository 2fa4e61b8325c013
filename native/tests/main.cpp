// main.cpp - runs every test whose fact or file holds one of the arguments (all without any), tells
// which took long, and counts.
#include <chrono>
#include <cstring>

#include "../failure.h"
#include "test.h"

namespace {

constexpr double long_seconds = 0.5;  // worth a look where the whole takes too long

bool wanted(const test::Case &each, int count, char **arguments) {
    if (count < 2) return true;
    for (int i = 1; i < count; i++) {
        if (std::strstr(each.fact, arguments[i]) != nullptr) return true;
        if (std::strstr(each.file, arguments[i]) != nullptr) return true;
    }
    return false;
}

// What a body throws fails it; the others still run.
void run(const test::Case &each) {
    try {
        each.body();
    } catch (const specache::Failure &failure) {
        std::printf("%s threw: %s\n", each.fact, failure.text.c_str());
        test::failures()++;
    }
}

}  // namespace

int main(int count, char **arguments) {
    std::setvbuf(stdout, nullptr, _IOLBF, 0);  // whoever waits for a failure sees it at once
    int passed = 0, failed = 0;
    for (const test::Case &each : test::cases()) {
        if (!wanted(each, count, arguments)) continue;
        test::failures() = 0;
        auto begun = std::chrono::steady_clock::now();
        run(each);
        std::chrono::duration<double> took = std::chrono::steady_clock::now() - begun;
        if (took.count() > long_seconds) std::printf("%.1f s %s\n", took.count(), each.fact);
        if (test::failures() != 0) std::printf("FAILED %s\n", each.fact);
        (test::failures() == 0 ? passed : failed)++;
    }
    if (passed + failed == 0) std::printf("no test has these words\n");
    std::printf("%d passed, %d failed\n", passed, failed);
    return failed == 0 && passed != 0 ? 0 : 1;
}
