// faults.h - programs with one known mistake each. A fault is a name, which of the variants must
// catch it, a part of what they say then, and the code. `right` ones are the same without the
// mistake: no variant may say anything.
#pragma once
#include <cstdio>
#include <cstdlib>
#include <vector>

namespace faults {

struct Fault {
    const char *name, *caught_by, *says;
    void (*body)();
};
inline std::vector<Fault> &all() {
    static std::vector<Fault> list;
    return list;
}
struct Register {
    Register(const char *name, const char *caught_by, const char *says, void (*body)()) {
        all().push_back({name, caught_by, says, body});
    }
};
inline void wrong(const char *what) {
    std::printf("wrong result: %s\n", what);
    std::exit(3);
}

}  // namespace faults

// caught_by: words of "plain address thread", parted by spaces; says: a regular expression.
#define FAULT(name, caught_by, says)                                                \
    static void fault_##name();                                                     \
    static faults::Register register_##name(#name, caught_by, says, fault_##name); \
    static void fault_##name()
#define RIGHT(name) FAULT(name, "", "")
