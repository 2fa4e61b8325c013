// test.h - a test is a sentence and a block; CHECK goes on after a failure, so that one run tells
// all.
#pragma once
#include <cmath>
#include <cstdio>
#include <vector>

namespace test {

struct Case {
    const char *file, *fact;
    void (*body)();
};
inline std::vector<Case> &cases() {
    static std::vector<Case> list;
    return list;
}
inline int &failures() {  // of the case at work
    static int count = 0;
    return count;
}
struct Register {
    Register(const char *file, const char *fact, void (*body)()) {
        cases().push_back({file, fact, body});
    }
};
inline void fail(const char *file, int line, const char *what, double got, double wanted) {
    std::printf("%s:%d: %s", file, line, what);
    if (std::isfinite(wanted)) std::printf(": %.9g, wanted %.9g", got, wanted);
    std::printf("\n");
    failures()++;
}

// The larger of two; above all is what is not a number, which std::max would drop.
inline double larger(double worst, double x) {
    return std::isnan(x) ? INFINITY : x > worst ? x : worst;
}

}  // namespace test

#define TEST_JOIN_TWO(a, b) a##b
#define TEST_JOIN(a, b) TEST_JOIN_TWO(a, b)
#define TEST(fact)                                                                 \
    static void TEST_JOIN(test_, __LINE__)();                                      \
    static test::Register TEST_JOIN(register_, __LINE__)(__FILE__, fact,           \
                                                         TEST_JOIN(test_, __LINE__)); \
    static void TEST_JOIN(test_, __LINE__)()
#define CHECK(condition) \
    ((condition) ? void() : test::fail(__FILE__, __LINE__, #condition, 0, NAN))
#define CHECK_NEAR(got, wanted, tolerance)                          \
    (std::fabs(double(got) - double(wanted)) <= double(tolerance)   \
         ? void()                                                   \
         : test::fail(__FILE__, __LINE__, #got, double(got), double(wanted)))
