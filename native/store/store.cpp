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
    : plan(std::move(plan_in)), device(open_cpu_device(plan.config.threads, plan.config.isa)),
      head_codes(plan.codes) {
    try {
        uint64_t dim = plan.config.head_dim, planes = plan.profile_planes;
        if (planes != 0) {
            uint64_t heads = plan.heads();
            uint8_t *memory = reserve(plan.profile);
            float *basis = reinterpret_cast<float *>(memory);
            uint32_t *channels = reinterpret_cast<uint32_t *>(basis + heads * dim * dim);
            float *weights = reinterpret_cast<float *>(channels + heads * planes);
            std::memcpy(basis, profile.value_basis, heads * dim * dim * 4);
            std::memcpy(channels, profile.plane_channel, heads * planes * 4);
            std::memcpy(weights, profile.plane_weight, heads * planes * 4);
            for (uint64_t i = 0; i < heads; i++) {
                head_codes[i].value_basis = basis + i * dim * dim;
                head_codes[i].plane_channel = channels + i * planes;
                head_codes[i].plane_weight = weights + i * planes;
            }
        }
        uint8_t *pool = reserve(plan.near_pool());
        if (plan.rule == Rule::none) far.memory = pool;
        else codes_ = pool;
        uint64_t at = 0;
        for (uint32_t i = 0; i < plan.heads(); i++) {
            code_at_.push_back(at);
            at += plan.code_bytes[i] * plan.pages;
        }
        for (uint32_t page = plan.pages; page > 0; page--) free_.push_back(page - 1);
        references_.assign(plan.pages, 0);
        if (plan.in_file) checksums_.assign(uint64_t(plan.pages) * plan.config.layers, 0);
        work = carve_work(plan, reserve(plan.work));
        if (plan.rule != Rule::none) open_far(far_path);
        code_places_.resize(plan.config.kv_heads);
        page_copies_.resize(staging_pages);
        uint64_t late_max = uint64_t(plan.inputs) * plan.config.kv_heads * plan.config.k_max;
        if (plan.in_file) late_copies.resize(late_max);
        if (plan.in_file && plan.config.audit != 0) audit_copies.resize(plan.pages_max);
        written = device->event();
        late_arrived = device->event();
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

Store::~Store() {
    device->unhold();
    device->drain();
    model.reset();
    release_all();
}

void Store::release_all() {
    if (far.file >= 0) ::close(far.file);
    if (far.memory != nullptr && plan.rule != Rule::none) {
        device->release(far.memory, plan.far_bytes());
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
        far.memory = device->reserve(bytes);
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
    if (error == 0) return;
    struct statvfs disk{};
    uint64_t left = fstatvfs(far.file, &disk) == 0 ? uint64_t(disk.f_bavail) * disk.f_frsize : 0;
    ::close(far.file);
    far.file = -1;
    fail(SPECACHE_CAPACITY, "far file %s needs %llu bytes, its disk has %llu free: %s",
         path.c_str(), static_cast<unsigned long long>(bytes),
         static_cast<unsigned long long>(left), std::strerror(error));
}

void Store::lay_out(Sequence &sequence) {
    uint64_t places = plan.slots + plan.arriving;
    uint8_t *at = sequence.memory;
    auto take = [&](uint64_t bytes) { uint8_t *start = at; at += bytes; return start; };
    sequence.sinks = take(plan.sinks);
    sequence.window = take(plan.window);
    uint8_t *rows = take(plan.slot_rows);
    sequence.copies = reinterpret_cast<Copy *>(take(plan.heads() * plan.arriving * sizeof(Copy)));
    for (uint32_t i = 0; i < plan.heads(); i++) {
        Slots slots{};
        slots.rows = rows + i * places * plan.row;
        slots.tokens = reinterpret_cast<uint32_t *>(take(places * 4));
        slots.used = reinterpret_cast<uint32_t *>(take(places * 4));
        sequence.slots.push_back(slots);
    }
    for (Slots &slots : sequence.slots) {
        slots.now = reinterpret_cast<Slot *>(take(places));
        slots.next = reinterpret_cast<Slot *>(take(places));
    }
    sequence.pages.reserve(plan.pages_max + 1);
    sequence.fetch_ns.assign(plan.config.layers, 0);
    sequence.layer_done.assign(plan.config.layers, 0);
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
        sequence.counters = {};
        std::fill(sequence.audited.begin(), sequence.audited.end(), AuditSums{});
        std::fill(sequence.auditing.begin(), sequence.auditing.end(), AuditSums{});
        std::fill(sequence.fetch_ns.begin(), sequence.fetch_ns.end(), 0);
        for (Slots &slots : sequence.slots) {
            uint32_t places = plan.slots + plan.arriving;
            std::memset(slots.now, 0, places);
            std::memset(slots.next, 0, places);
            std::memset(slots.used, 0, places * 4);
        }
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
    undo(from);
    device->drain();  // rows in flight belong to both from here on
    device->check();
    uint32_t pages = from.length / page_tokens;
    Sequence &to = open_sequence();
    for (uint32_t i = 0; i < pages; i++) {
        to.pages.push_back(from.pages[i]);
        references_[from.pages[i]]++;
    }
    std::memcpy(to.memory, from.memory, plan.sequence_bytes());
    to.length = from.length;
    to.step = from.step;
    return to;
}

void Store::close(Sequence &sequence) {
    device->drain();  // fetches in flight write this sequence's slots
    drop_pages(sequence, 0);
    sequence.id = 0;
    sequence.inputs = sequence.run = 0;
}

uint8_t *Store::sink_rows(const Sequence &sequence, uint32_t layer) const {
    return sequence.sinks + uint64_t(layer) * plan.config.kv_heads * sink_tokens * plan.row;
}

uint8_t *Store::window_rows_of(const Sequence &sequence, uint32_t layer) const {
    return sequence.window + uint64_t(layer) * plan.config.kv_heads * window_rows * plan.row;
}

uint64_t Store::near_bytes(const Sequence &sequence) const {
    return plan.sequence_bytes() + plan.held(sequence.length);
}

}  // namespace specache
