// main.cpp - runs every test whose fact holds the argument, and counts.
#include <cstring>

#include "test.h"

int main(int count, char **arguments) {
    int passed = 0, failed = 0;
    for (const test::Case &each : test::cases()) {
        if (count > 1 && std::strstr(each.fact, arguments[1]) == nullptr) continue;
        test::failures() = 0;
        each.body();
        if (test::failures() != 0) std::printf("FAILED %s\n", each.fact);
        (test::failures() == 0 ? passed : failed)++;
    }
    std::printf("%d passed, %d failed\n", passed, failed);
    return failed == 0 ? 0 : 1;
}
