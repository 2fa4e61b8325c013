// failure.h - the one way native code says no: a status and the sentence after the colon.
#pragma once
#include <cstdarg>
#include <cstdio>
#include <string>

#include "specache.h"

namespace specache {

struct Failure {
    specache_status status;
    std::string text;
};

[[noreturn]] inline void fail(specache_status status, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

inline void fail(specache_status status, const char *format, ...) {
    char text[512];
    va_list arguments;
    va_start(arguments, format);
    std::vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    throw Failure{status, text};
}

}  // namespace specache
