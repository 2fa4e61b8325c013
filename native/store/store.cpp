// store.cpp - opening reserves everything; sequences only share out what is there.
#include "store.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "../failure.h"
#include "../model/model.h"

namespace specache {

Store::Store(Plan plan_in, const std::string &far_path, const Profile &profile)
    : plan(std::move(plan_in)), device(open_device(plan)) {
    try {
        device->heed(cancelled);
        work = carve_work(plan, reserve(plan.work));
        allocated += plan.gathered;  // the device's own
        place_codes(profile);
        for (uint32_t page = plan.pages; page > 0; page--) free_.push_back(page - 1);
        references_.assign(plan.pages, 0);
        if (plan.in_file) checksums_.assign(uint64_t(plan.pages) * plan.config.layers, 0);
        if (plan.rule != Rule::none) open_far(far_path);
        page_blocks.reserve(plan.pages_max + 1);
        written = device->event();
        late_arrived = device->event();
        for (uint32_t half : {0u, 1u}) {
            late_rows[half] = device->event();
            staged[half] = device->event();
            page_copies_[half].resize(staging_pages / 2);
            used[half] = device->event();
        }
        sequences_.resize(plan.config.sequences_max);
        for (Sequence &sequence : sequences_) {
            sequence.memory = reserve(plan.sequence_bytes());
            lay_out(sequence);
        }
    } catch (...) {
        release_all();
        throw;
    }
}

// The pool of pages, and of each head where its codes lie and what they are measured with.
void Store::place_codes(const Profile &profile) {
    std::vector<HeadCode> codes = plan.codes;
    uint64_t dim = plan.config.head_dim, planes = plan.profile_planes, heads = plan.heads();
    if (planes != 0) {
        float *basis = reinterpret_cast<float *>(reserve(plan.profile));
        uint32_t *channels = reinterpret_cast<uint32_t *>(basis + heads * dim * dim);
        float *weights = reinterpret_cast<float *>(channels + heads * planes);
        device->upload(basis, profile.value_basis, heads * dim * dim * 4);
        device->upload(channels, profile.plane_channel, heads * planes * 4);
        device->upload(weights, profile.plane_weight, heads * planes * 4);
        for (uint64_t i = 0; i < heads; i++) {
            codes[i].value_basis = basis + i * dim * dim;
            codes[i].plane_channel = channels + i * planes;
            codes[i].plane_weight = weights + i * planes;
        }
    }
    uint8_t *pool = reserve(plan.near_pool());
    if (plan.rule == Rule::none) far.memory = pool;
    for (uint64_t i = 0; i < heads && plan.rule != Rule::none; i++) {
        codes[i].pool = pool;
        codes[i].page_bytes = plan.code_bytes[i];
        pool += plan.code_bytes[i] * plan.pages;
    }
    device->upload(work.head_codes, codes.data(), heads * sizeof(HeadCode));
}

Store::~Store() {
    device->unhold();
    try {
        device->drain();
    } catch (const Failure &) {
        // A device that failed has told so; what it held is given back all the same.
    }
    model.reset();
    release_all();
}

void Store::release_all() {
    if (far.file >= 0) ::close(far.file);
    if (far.memory != nullptr && plan.rule != Rule::none) {
        device->release_far(far.memory, plan.far_bytes());
    }
    for (auto [memory, bytes] : blocks_) device->release(memory, bytes);
}

uint8_t *Store::reserve(uint64_t bytes) {
    uint8_t *memory = device->reserve(bytes);
    blocks_.emplace_back(memory, bytes);
    allocated += bytes;
    return memory;
}

// The file is unlinked at once: whatever ends the process, nothing is left behind.
void Store::open_far(const std::string &path) {
    uint64_t bytes = plan.far_bytes();
    if (!plan.in_file) {
        far.memory = device->reserve_far(bytes);
        return;
    }
    far.file = ::open(path.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (far.file < 0 && errno == EEXIST) {
        fail(SPECACHE_FILE, "far file %s exists: name a new one, which is removed at the end",
             path.c_str());
    }
    if (far.file < 0) {
        fail(SPECACHE_FILE, "far file %s: %s", path.c_str(), std::strerror(errno));
    }
    ::unlink(path.c_str());
    int error = posix_fallocate(far.file, 0, off_t(bytes));
    if (error == 0) return device->take_far_file(far.file, plan.layer_block);
    struct statvfs disk{};
    uint64_t left = fstatvfs(far.file, &disk) == 0 ? uint64_t(disk.f_bavail) * disk.f_frsize : 0;
    ::close(far.file);
    far.file = -1;
    fail(SPECACHE_CAPACITY, "far file %s needs %llu bytes, its disk has %llu free: %s",
         path.c_str(), static_cast<unsigned long long>(bytes),
         static_cast<unsigned long long>(left), std::strerror(error));
}

void Store::lay_out(Sequence &sequence) {
    uint64_t places = plan.heads() * (plan.slots + plan.arriving);
    uint8_t *at = sequence.memory;
    auto take = [&]<class T>(T *&pointer, uint64_t bytes) {
        pointer = reinterpret_cast<T *>(at);
        at += bytes;
    };
    // What needs eight bytes of alignment first, then four, then one: rows are multiples of 32.
    take(sequence.sinks, plan.sinks);
    take(sequence.window, plan.window);
    take(sequence.slots.rows, plan.slot_rows);
    take(sequence.copies, plan.heads() * plan.arriving * sizeof(Copy));
    take(sequence.counters, sizeof(Counters));
    take(sequence.slots.tokens, places * 4);
    take(sequence.slots.used, places * 4);
    take(sequence.wanted_rows, plan.config.layers * 4);
    take(sequence.faults, plan.config.layers * 4);
    take(sequence.page_ids, plan.pages_max * 4);
    take(sequence.positions, (inputs_max + 1) * 4);
    take(sequence.slots.now, places);
    take(sequence.slots.next, places);
    sequence.pages.reserve(plan.pages_max + 1);
    sequence.fetch_ns.assign(plan.config.layers, 0);
    sequence.layer_runs.assign(plan.config.layers, LayerRun::none);
    for (uint32_t layer = 0; layer < plan.config.layers; layer++) {
        sequence.wanted.push_back(device->event());
        sequence.arrived.push_back(device->event());
    }
}

Sequence &Store::open_sequence() {
    for (Sequence &sequence : sequences_) {
        if (sequence.id != 0) continue;
        sequence.id = ++opened_;
        sequence.length = sequence.step = 0;
        sequence.times = {};
        std::fill(sequence.audited.begin(), sequence.audited.end(), AuditSums{});
        std::fill(sequence.auditing.begin(), sequence.auditing.end(), AuditSums{});
        std::fill(sequence.fetch_ns.begin(), sequence.fetch_ns.end(), 0);
        uint64_t places = plan.heads() * (plan.slots + plan.arriving);
        device->clear(sequence.counters, sizeof(Counters));
        clear_faults(sequence);
        device->clear(sequence.slots.now, places);
        device->clear(sequence.slots.next, places);
        device->clear(sequence.slots.used, places * 4);
        return sequence;
    }
    fail(SPECACHE_CAPACITY, "%u sequences are open, sequences_max is %u",
         plan.config.sequences_max, plan.config.sequences_max);
}

Sequence &Store::sequence(uint64_t id) {
    for (Sequence &sequence : sequences_) {
        if (id != 0 && sequence.id == id) return sequence;
    }
    fail(SPECACHE_HANDLE, "sequence %llu is not open", static_cast<unsigned long long>(id));
}

Sequence &Store::fork(Sequence &from) {
    check_ended(from);
    device->drain();  // rows in flight belong to both from here on
    device->check();
    uint32_t pages = from.length / page_tokens;
    Sequence &to = open_sequence();
    for (uint32_t i = 0; i < pages; i++) {
        to.pages.push_back(from.pages[i]);
        references_[from.pages[i]]++;
    }
    device->move(to.memory, from.memory, plan.sequence_bytes());
    device->clear(to.counters, sizeof(Counters));  // a fork counts its own
    to.length = from.length;
    to.step = from.step;
    return to;
}

void Store::close(Sequence &sequence) {
    device->drain();  // fetches in flight write this sequence's slots
    drop_pages(sequence, 0);
    if (watch.sequence == &sequence) watch.sequence = nullptr;
    sequence.id = 0;
    sequence.inputs = sequence.run = 0;
}

uint8_t *Store::sink_rows(const Sequence &sequence, uint32_t layer) const {
    return sequence.sinks + uint64_t(layer) * plan.config.kv_heads * sink_tokens * plan.row;
}

uint8_t *Store::window_rows_of(const Sequence &sequence, uint32_t layer) const {
    return sequence.window + uint64_t(layer) * plan.config.kv_heads * window_rows * plan.row;
}

Slots Store::slots_of(const Sequence &sequence, uint32_t layer) const {
    uint64_t first = uint64_t(layer) * plan.config.kv_heads * (plan.slots + plan.arriving);
    const Slots &all = sequence.slots;
    return {all.rows + first * plan.row, all.tokens + first, all.used + first, all.now + first,
            all.next + first};
}

uint64_t Store::near_bytes(const Sequence &sequence) const {
    return plan.sequence_bytes() + plan.held(sequence.length);
}

}  // namespace specache
