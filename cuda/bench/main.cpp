// main.cpp - the bench of device cuda: bench PART [--tokens 8192,32768] [--sequences 1,4,16] ...
//   check    whether what is timed computes what it should; status 1 where it does not
//   card     rates of the card's memory and link
//   kernels  scan, choose, attend of both modes beside dense attention
//   fetch    rows from host memory in both ways, alone and beside the kernels
//   step     whole steps through the C ABI
// --json FILE adds a line for each figure.
#include <cstdlib>
#include <cstring>

#include "bench.h"

namespace {

using bench::Options;

[[noreturn]] void refuse(const std::string &sentence) {
    std::fprintf(stderr, "Cannot bench: %s\n", sentence.c_str());
    std::exit(2);
}

double number(const char *name, const std::string &text, double least, double most) {
    char *end = nullptr;
    double value = std::strtod(text.c_str(), &end);
    if (text.empty() || *end != '\0') {
        refuse(std::string(name) + " " + text + " is not a number");
    }
    if (!(value >= least && value <= most)) {
        char limits[64];
        std::snprintf(limits, sizeof limits, "%g..%g", least, most);
        refuse(std::string(name) + " " + text + " is outside " + limits);
    }
    return value;
}

std::vector<uint32_t> list(const char *name, const std::string &text, double least, double most) {
    std::vector<uint32_t> values;
    for (size_t at = 0; at <= text.size();) {
        size_t comma = std::min(text.find(',', at), text.size());
        values.push_back(uint32_t(number(name, text.substr(at, comma - at), least, most)));
        at = comma + 1;
    }
    return values;
}

Options options_of(int count, char **arguments) {
    Options options;
    if (count < 2) refuse("no part is named: check, card, kernels, fetch or step");
    options.part = arguments[1];
    for (int i = 2; i < count; i += 2) {
        const char *name = arguments[i];
        if (i + 1 == count) refuse(std::string(name) + " is given no value");
        std::string text = arguments[i + 1];
        auto is = [&](const char *other) { return std::strcmp(name, other) == 0; };
        auto whole = [&](double least, double most) {
            return uint32_t(number(name, text, least, most));
        };
        if (is("--tokens")) options.tokens = list(name, text, 192, 1 << 24);
        else if (is("--sequences")) options.sequences = list(name, text, 1, 1024);
        else if (is("--kv-heads")) options.kv_heads = whole(1, 64);
        else if (is("--layers")) options.layers = whole(1, 1024);
        else if (is("--repetitions")) options.repetitions = whole(1, 1000);
        else if (is("--steps")) options.steps = whole(1, 50);
        else if (is("--seconds")) options.seconds = number(name, text, 0, 1e6);
        else if (is("--far-gib")) options.far_gib = number(name, text, 0.001, 1e6);
        else if (is("--copied-mib")) options.copied_mib = number(name, text, 0.1, 65536);
        else if (is("--json")) options.json = text;
        else refuse("option " + std::string(name) + " is not known");
    }
    return options;
}

bool bench_part(const bench::Run &run) {
    const std::string &part = run.options.part;
    if (part == "check") return check_dense(run);
    if (part == "card") bench_card(run);
    else if (part == "kernels") bench_kernels(run);
    else if (part == "fetch") bench_fetch(run);
    else bench_step(run);
    return true;
}

}  // namespace

int main(int count, char **arguments) {
    bench::Run run(options_of(count, arguments));
    const std::string &part = run.options.part;
    bool known = false;
    for (const char *each : {"check", "card", "kernels", "fetch", "step"}) {
        known = known || part == each;
    }
    if (!known) refuse("part " + part + " is none of check, card, kernels, fetch, step");
    try {
        measure_card(run);
        if (run.card.emulated) std::printf("EMULATED: no time here means anything\n");
        return bench_part(run) ? 0 : 1;
    } catch (const specache::Failure &failure) {
        std::fprintf(stderr, "Cannot bench %s: %s\n", part.c_str(), failure.text.c_str());
        return 1;
    }
}
