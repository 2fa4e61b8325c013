// faults.cpp - `faults` lists the faults, one a line, parted by tabs; `faults NAME` commits one.
#include "faults.h"

#include <cstring>

int main(int count, char **arguments) {
    for (const faults::Fault &each : faults::all()) {
        if (count < 2) {
            std::printf("%s\t%s\t%s\n", each.name, each.caught_by, each.says);
        } else if (std::strcmp(each.name, arguments[1]) == 0) {
            each.body();
            std::printf("nothing noticed\n");
        }
    }
    return 0;
}
