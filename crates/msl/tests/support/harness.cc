#include "../../support/host_abi.h"
#include "harness.h"

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ucontext.h>

namespace {

enum State { absent, runnable, waiting, done };

struct Lane {
    ucontext_t context;
    MslThread thread;
    State state;
    unsigned kind, size, line, mask;
    const void *in;
    void *out;
    char *stack;
};

const unsigned stack_bytes = 1 << 18;
Lane lanes[32];
ucontext_t scheduler;
unsigned current;
Kernel body;
char trap_text[160], taken_text[160];
unsigned barriers, atomics, failures;
alignas(64) char threadgroup_memory[16][8192];

void start() {
    body(&lanes[current].thread);
    lanes[current].state = done;
    swapcontext(&lanes[current].context, &scheduler);
}

const MslThread *self() { return &lanes[current].thread; }

unsigned meet(unsigned kind, const void *in, unsigned size, void *out, unsigned line) {
    Lane &lane = lanes[current];
    lane.kind = kind, lane.in = in, lane.size = size, lane.out = out, lane.line = line;
    lane.state = waiting;
    swapcontext(&lane.context, &scheduler);
    return lane.mask;
}
unsigned exchange(unsigned kind, const void *in, unsigned size, void *out, const char *, unsigned line) {
    return meet(kind, in, size, out, line);
}
void barrier(unsigned, unsigned, const char *, unsigned line) {
    ++barriers;
    meet(100, nullptr, 0, nullptr, line);
}
void *threadgroup_alloc(unsigned id, unsigned bytes, unsigned, const char *, const char *, unsigned) {
    if (id >= 16 || bytes > sizeof threadgroup_memory[0]) abort();
    return threadgroup_memory[id];
}
void atomic(const void *, unsigned, unsigned, const char *, unsigned) { ++atomics; }
void trap(const char *message, const char *, unsigned) { snprintf(trap_text, sizeof trap_text, "%s", message); }

const MslRuntime table = {self, barrier, exchange, threadgroup_alloc, atomic, trap};

// The lanes that wait at the earliest line meet: those of one branch, where a branch has parted them.
void let_meet() {
    unsigned line = ~0u, mask = 0;
    for (Lane &lane : lanes)
        if (lane.state == waiting && lane.line < line) line = lane.line;
    for (unsigned i = 0; i < 32; ++i)
        if (lanes[i].state == waiting && lanes[i].line == line) mask |= 1u << i;
    for (unsigned i = 0; i < 32; ++i) {
        if (!(mask >> i & 1)) continue;
        for (unsigned j = 0; j < 32 && lanes[i].out; ++j) {
            char *slot = static_cast<char *>(lanes[i].out) + j * lanes[i].size;
            if (mask >> j & 1) memcpy(slot, lanes[j].in, lanes[i].size);
            else memset(slot, 0, lanes[i].size);
        }
    }
    for (unsigned i = 0; i < 32; ++i)
        if (mask >> i & 1) lanes[i].mask = mask, lanes[i].state = runnable;
}

} // namespace

extern "C" {

void run_lanes(unsigned mask, Kernel kernel, void *const *buffers) {
    body = kernel;
    for (unsigned i = 0; i < 32; ++i) {
        Lane &lane = lanes[i];
        lane.state = mask >> i & 1 ? runnable : absent;
        if (lane.state == absent) continue;
        if (!lane.stack) lane.stack = static_cast<char *>(malloc(stack_bytes));
        memset(&lane.thread, 0, sizeof lane.thread);
        lane.thread.buffers = buffers;
        lane.thread.thread_index_in_simdgroup = lane.thread.thread_index_in_threadgroup = i;
        lane.thread.thread_position_in_threadgroup[0] = lane.thread.thread_position_in_grid[0] = i;
        lane.thread.threads_per_threadgroup[0] = 32;
        lane.thread.threads_per_simdgroup = 32;
        getcontext(&lane.context);
        lane.context.uc_stack.ss_sp = lane.stack;
        lane.context.uc_stack.ss_size = stack_bytes;
        lane.context.uc_link = nullptr;
        makecontext(&lane.context, start, 0);
    }
    for (;;) {
        bool ran = false, waits = false;
        for (current = 0; current < 32; ++current) {
            if (lanes[current].state != runnable) continue;
            ran = true;
            swapcontext(&scheduler, &lanes[current].context);
        }
        for (Lane &lane : lanes) waits = waits || lane.state == waiting;
        if (waits) let_meet();
        else if (!ran) return;
    }
}

const char *take_trap() {
    memcpy(taken_text, trap_text, sizeof trap_text);
    trap_text[0] = 0;
    return taken_text;
}
unsigned barriers_seen() { return barriers; }
unsigned atomics_seen() { return atomics; }

void failed(const char *file, int line, const char *what, double got, double want) {
    if (++failures <= 20) fprintf(stderr, "%s:%d: %s: got %.9g, want %.9g\n", file, line, what, got, want);
}
}

void run_tests();

int main() {
    msl_bind(&table);
    run_tests();
    if (failures) fprintf(stderr, "%u failures\n", failures);
    return failures ? 1 : 0;
}
