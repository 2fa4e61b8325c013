// module.cpp - the tables of module.h.
#include "module.h"

#include <cstdio>
#include <cstring>
#include <map>
#include <string>

#include "heap.h"

namespace emulator {
namespace {

std::map<std::string, KnownKernel> &kernels() {
    static std::map<std::string, KnownKernel> all;
    return all;
}
std::map<std::string, Variable *> &variables() {
    static std::map<std::string, Variable *> all;
    return all;
}

}  // namespace

AddKernel::AddKernel(KnownKernel kernel) { kernels()[kernel.name] = std::move(kernel); }

const KnownKernel *find_kernel(const char *name) {
    auto found = kernels().find(name);
    return found == kernels().end() ? nullptr : &found->second;
}

Variable::Variable(const char *name, size_t bytes, std::vector<unsigned char> initial)
    : bytes_(bytes), initial_(std::move(initial)) {
    variables()[name] = this;
}

uint64_t Variable::address() {
    if (address_ != 0) return address_;
    void *at = device_memory().take(bytes_);
    if (at == nullptr) fail({"module", 0}, "no room for a variable of %zu bytes", bytes_);
    device_memory().open(true);
    std::memset(at, 0, bytes_);
    if (!initial_.empty()) std::memcpy(at, initial_.data(), initial_.size());
    device_memory().open(false);
    address_ = reinterpret_cast<uint64_t>(at);
    return address_;
}

Variable *find_variable(const char *name) {
    auto found = variables().find(name);
    return found == variables().end() ? nullptr : found->second;
}

void make_variables() {
    static size_t made = 0;
    if (made == variables().size()) return;
    for (auto &each : variables()) each.second->address();
    made = variables().size();
}

// Each value of device printf stands at a multiple of its own size.
int print(const char *format, const unsigned char *values) {
    size_t at = 0;
    auto next = [&]<class T>(T value) {
        at = (at + sizeof value - 1) / sizeof value * sizeof value;
        std::memcpy(&value, values + at, sizeof value);
        at += sizeof value;
        return value;
    };
    for (const char *c = format; *c != 0; c++) {
        if (*c != '%' || c[1] == '%') {
            std::putchar(*c);
            c += *c == '%';
            continue;
        }
        size_t length = std::strcspn(c, "diouxXcspfFeEgGaA") + 1;
        std::string one(c, length);
        c += length - 1;
        bool wide = one.find('l') != std::string::npos || one.find('z') != std::string::npos;
        if (std::strchr("fFeEgGaA", one.back())) std::printf(one.c_str(), next(0.0));
        else if (one.back() == 's') std::printf(one.c_str(), next(static_cast<char *>(nullptr)));
        else if (wide || one.back() == 'p') std::printf(one.c_str(), next(uint64_t{0}));
        else std::printf(one.c_str(), next(0u));
    }
    return 0;
}

}  // namespace emulator
