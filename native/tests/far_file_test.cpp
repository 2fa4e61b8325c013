// far_file_test.cpp - far memory in a file, read in every way that a system may leave us.
#include <cstdlib>
#include <fcntl.h>
#include <linux/magic.h>
#include <memory>
#include <random>
#include <sys/mman.h>
#include <sys/vfs.h>

#include "../cpu/far_file.h"
#include "../store/plan.h"
#include "driver.h"
#include "test.h"

using namespace specache;
using driver::far_path;
using driver::Run;
using driver::same_bits;
using driver::small_config;

namespace {

constexpr FarWishes all_wishes[] = {{true, true}, {true, false}, {false, true}, {false, false}};

// A new file of random bytes, written block by block.
struct Filled {
    int file = -1;
    std::unique_ptr<uint8_t, void (*)(void *)> scratch;
    std::vector<uint8_t> bytes;
    std::unique_ptr<FarFile> far;

    Filled(FarWishes wishes, uint64_t block, uint32_t blocks)
        : scratch(static_cast<uint8_t *>(std::aligned_alloc(4096, far_scratch_bytes)), std::free),
          bytes(block * blocks + 1) {
        std::string path = far_path();
        file = open(path.c_str(), O_RDWR | O_CREAT | O_EXCL, 0600);
        unlink(path.c_str());
        CHECK(posix_fallocate(file, 0, off_t(block * blocks)) == 0);
        far = std::make_unique<FarFile>(file, block, scratch.get(), wishes);
        std::mt19937 random(7);
        for (uint8_t &byte : bytes) byte = uint8_t(random());
        for (uint32_t i = 0; i < blocks; i++) {  // from where nothing is aligned
            far->write({{nullptr, file}, &bytes[1 + i * block], i * block, block});
        }
    }
    ~Filled() { close(file); }
    const uint8_t *at(uint64_t from) const { return &bytes[1 + from]; }

    // Reads of the rows; a prefetch, between whose steps late rows are read.
    uint64_t fetch(const std::vector<uint64_t> &rows, uint32_t row_bytes) {
        std::vector<uint8_t> got(rows.size() * row_bytes), late_got(row_bytes);
        std::vector<Copy> copies;
        for (uint64_t row : rows) copies.push_back({row, &got[copies.size() * row_bytes]});
        Copy late_copy{0, late_got.data()};
        uint32_t count = uint32_t(rows.size()), one = 1;
        Fetch fetch{{nullptr, file}, copies.data(), &count, row_bytes, 0, 0, nullptr};
        Fetch late{{nullptr, file}, &late_copy, &one, row_bytes, 0, 0, nullptr};
        uint64_t before = far->access().reads, between = 0;
        far->begin(false, fetch);
        while (far->step(false)) {
            uint64_t at = far->access().reads;
            far->begin(true, late);
            while (far->step(true)) {}
            CHECK(std::memcmp(late_got.data(), this->at(0), row_bytes) == 0);
            between += far->access().reads - at;
        }
        for (uint32_t i = 0; i < count; i++) {
            CHECK(std::memcmp(&got[i * row_bytes], this->at(rows[i]), row_bytes) == 0);
        }
        return far->access().reads - before - between;
    }

    // A file system that is nothing but page cache.
    bool in_page_cache() const {
        struct statfs system{};
        return fstatfs(file, &system) == 0 && system.f_type == TMPFS_MAGIC;
    }

    // Pages of the file that the page cache holds.
    uint64_t resident() const {
        uint64_t length = bytes.size() - 1;
        void *mapped = mmap(nullptr, length, PROT_READ, MAP_SHARED, file, 0);
        std::vector<unsigned char> pages((length + 4095) / 4096);
        CHECK(mincore(mapped, length, pages.data()) == 0);
        munmap(mapped, length);
        uint64_t held = 0;
        for (unsigned char page : pages) held += page & 1;
        return held;
    }
};

}  // namespace

TEST("rows of a far file come as they were written, however it is read") {
    for (FarWishes wishes : all_wishes) {
        for (uint32_t row : {64u, 96u, 256u, 768u, 1024u}) {
            Filled filled(wishes, 192 * row, 16);
            std::mt19937 random(row);
            std::vector<uint64_t> rows;
            for (uint32_t i = 0; i < 3000; i++) rows.push_back(random() % (192 * 16) * row);
            rows.push_back(rows[0]);  // a row for two inputs
            rows.push_back((192 * 16 - 1) * row);
            filled.fetch(rows, row);
            CHECK(filled.far->failure.empty());
        }
    }
}

TEST("blocks that are larger than a read come in parts") {
    for (FarWishes wishes : all_wishes) {
        uint32_t block = 3 * 64 * 96;  // a multiple of 512 bytes, of no page
        Filled filled(wishes, block, 12);
        std::vector<uint64_t> blocks;
        for (uint32_t i = 0; i < 12; i++) blocks.push_back(uint64_t(i * 7 % 12) * block);
        blocks.push_back(0);  // twice
        filled.fetch(blocks, block);
    }
}

TEST("rows that lie close to one another are one read, others are not") {
    for (FarWishes wishes : all_wishes) {
        Filled filled(wishes, 64 * 256, 64);
        CHECK(filled.fetch({256 * 5, 256 * 3, 256 * 4, 256 * 18}, 256) == 1);
        CHECK(filled.fetch({256 * 5, 256 * 23}, 256) == 2);  // a gap of 17 rows, above 4 KiB
        std::vector<uint64_t> page;
        for (uint64_t row = 0; row < 64; row++) page.push_back(row * 256);
        CHECK(filled.fetch(page, 256) == 1);
    }
}

TEST("what a far file holds is not held by the page cache too") {
    for (FarWishes wishes : all_wishes) {
        Filled filled(wishes, 64 * 256 * 8, 16);
        std::vector<uint64_t> rows;
        for (uint64_t row = 0; row < 64 * 8 * 16; row += 37) rows.push_back(row * 256);
        filled.fetch(rows, 256);
        if (filled.in_page_cache()) continue;
        uint64_t held = filled.resident();
        CHECK(held == 0);
    }
}

TEST("a far file tells how it is read") {
    for (FarWishes wishes : all_wishes) {
        FarAccess access = Filled(wishes, 4096, 4).far->access();
        CHECK(!access.direct || wishes.direct);
        CHECK(!access.ring || wishes.ring);
        CHECK(access.alignment >= 1 && (access.direct || access.alignment == 1));
        CHECK(access.reads_most == (access.ring ? far_reads : 16));
    }
}

TEST("a row behind the end of a far file is told with its place") {
    for (FarWishes wishes : all_wishes) {
        Filled filled(wishes, 4096, 4);
        CHECK(ftruncate(filled.file, 6144) == 0);
        uint8_t got[256];
        for (uint64_t from : {8192u, 6144u}) {
            filled.far->failure.clear();
            Copy copy{from, got};
            uint32_t one = 1;
            Fetch fetch{{nullptr, filled.file}, &copy, &one, 256, 0, 0, nullptr};
            filled.far->begin(true, fetch);
            while (filled.far->step(true)) {}
            CHECK(filled.far->failure == "cannot read 256 bytes of the far file at " +
                                             std::to_string(from) + ": the file ends before");
        }
    }
}

TEST("however a far file is read, a run gives the same bits") {
    specache_config config = small_config();
    config.far = 1;
    config.slots = 40;
    for (uint32_t variant : {0u, 3u, 4u, 5u}) {
        for (uint32_t dim : {64u, 24u}) {
            config.variant = variant;
            config.head_dim = dim;
            config.far = 0;
            Run in_ram(config);
            config.far = 1;
            Run in_file(config, far_path().c_str());
            for (Run *run : {&in_ram, &in_file}) {
                CHECK(run->prefill(0, 500) == SPECACHE_OK);
                CHECK(run->decode(500, 10, 1, 32) == SPECACHE_OK);
            }
            CHECK(same_bits(in_ram.outputs, in_file.outputs));
            uint64_t values[SPECACHE_FAR_COUNT];
            CHECK(specache_far_access(in_file.store, values) == SPECACHE_OK);
            CHECK(values[SPECACHE_FAR_READS] > 0);
            CHECK(variant < 4 || values[SPECACHE_FAR_DIRECT] == 0);
            CHECK(specache_far_access(in_ram.store, values) == SPECACHE_OK);
            CHECK(values[SPECACHE_FAR_READS] == 0 && values[SPECACHE_FAR_READS_MOST] == 0);
        }
    }
}
