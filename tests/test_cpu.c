/* test_cpu.c: the guarded copies and numbers of cpu.h, on bare memory: no view,
 * and on a known processor no handler but the test's own. */
#include "support.h"

#include <pthread.h>
#include <signal.h>

/* ---- the handler ---- */

/* Where the next faults give the bytes back before they resume. */
static struct {
    void *at;
    size_t n;
} healing;

static unsigned long faults;

#ifndef MV__CPU_ANY
static void on_test_fault(int number, siginfo_t *info, void *context)
{
    (void)info;
    faults++;
    if (healing.at)
        mprotect(healing.at, healing.n, PROT_READ | PROT_WRITE);
    if (!mv__cpu_resume(context))
        sigaction(number, &(struct sigaction){.sa_handler = SIG_DFL}, NULL);
}
#endif

static void handle(int number, void (*handler)(int, siginfo_t *, void *))
{
    struct sigaction action = {.sa_sigaction = handler, .sa_flags = SA_SIGINFO};
    CHECK(sigaction(number, &action, NULL) == 0);
}

/* Before every test. cpu_any.c needs the pads, and so the handler, of guard.c. */
static int begin(void **state)
{
    int r = support_begin(state);
    memset(&healing, 0, sizeof healing);
    faults = 0;
#ifdef MV__CPU_ANY
    CHECK(mv__guard_install() == 0);
#else
    mv__cpu_prepare();
    handle(SIGSEGV, on_test_fault);
    handle(SIGBUS, on_test_fault);
#endif
    return r;
}

/* ---- memory with walls ---- */

/* A room is memory between two walls: bytes that cannot be accessed. */
struct room {
    unsigned char *start, *end;
};

static struct room source, target;

static void make_room(struct room *room, size_t pages)
{
    unsigned char *all =
        mmap(NULL, (pages + 2) * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    CHECK(all != MAP_FAILED);
    room->start = all + PAGE;
    room->end = room->start + pages * PAGE;
    CHECK(mprotect(room->start, pages * PAGE, PROT_READ | PROT_WRITE) == 0);
    for (size_t i = 0; i < pages * PAGE; i++)
        room->start[i] = pattern(i);
}

static void leave_room(struct room *room)
{
    CHECK(munmap(room->start - PAGE, (size_t)(room->end - room->start) + 2 * PAGE) == 0);
}

/* How the copies below go: by mv__cpu_copy or, where they are large and it can
 * be chosen, by one of its ways. */
static const char *way_name;

#ifdef MV__CPU_CHECKS
static mv__cpu_way *way;
static size_t least_of_way;

static size_t copy(void *to, const void *from, size_t n)
{
    static const _Atomic uint64_t word;
    if (!way || n < least_of_way)
        return mv__cpu_copy(to, from, n);
    return (size_t)way(to, from, n, &word, 0, MV__CPU_COUNT);
}

static bool way_stops(void)
{
    return way == mv__cpu_string;
}

static void by_way(const char *name, mv__cpu_way *chosen, size_t least, void (*test)(void))
{
    way_name = name;
    way = chosen;
    least_of_way = least;
    test();
    way = NULL;
}

static void by_every_way(void (*test)(void))
{
    extern bool mv__cpu_wide __attribute__((visibility("hidden")));
    bool is_wide = mv__cpu_wide;
    by_way("as it comes", NULL, 0, test);
    by_way("loop", mv__cpu_loop, 129, test);
    by_way("string", mv__cpu_string, 1, test);
    by_way("stream", mv__cpu_stream, 65, test);
    mv__cpu_wide = false; /* as on a processor without AVX */
    by_way("as it comes, narrow", NULL, 0, test);
    by_way("loop, narrow", mv__cpu_loop, 129, test);
    mv__cpu_wide = is_wide;
}
#else
static size_t copy(void *to, const void *from, size_t n)
{
    return mv__cpu_copy(to, from, n);
}

static bool way_stops(void)
{
    return false;
}

static void by_every_way(void (*test)(void))
{
    way_name = "as it comes";
    test();
}
#endif

static void with_rooms(size_t pages, void (*test)(void))
{
    make_room(&source, pages);
    make_room(&target, pages);
    by_every_way(test);
    leave_room(&source);
    leave_room(&target);
}

enum { UNTOUCHED = 0, BESIDE = 64 }; /* no byte of a pattern is 0 */

static bool is_untouched(const unsigned char *from, const unsigned char *to)
{
    while (from < to)
        if (*from++ != UNTOUCHED)
            return false;
    return true;
}

/* ---- copies ---- */

static void copies(unsigned char *from, unsigned char *to, size_t n)
{
    memset(to - BESIDE, UNTOUCHED, n + 2 * (size_t)BESIDE);
    CHECK(copy(to, from, n) == n);
    CHECK(memcmp(to, from, n) == 0);
    CHECK(is_untouched(to - BESIDE, to) && is_untouched(to + n, to + n + BESIDE));
}

static void copy_small(void)
{
    for (size_t n = 0; n <= 300; n++)
        for (size_t from = 0; from < 16; from++)
            for (size_t to = 0; to < 16; to++)
                copies(source.start + from, target.start + BESIDE + to, n);
    SAME(faults, 0);
}

/* What takes many blocks of vectors. */
static const size_t large[] = {4096, 32768, 65536};
enum { LARGE = sizeof large / sizeof *large, LARGE_PAGES = 20 };

static void copy_large(void)
{
    static const size_t places[] = {0, 1, 15, 31, 63};
    for (size_t i = 0; i < LARGE; i++)
        for (size_t n = large[i] - 130; n <= large[i] + 130; n += n % 64 == 2 ? 3 : 1)
            for (size_t j = 0; j < 5; j++)
                copies(source.start + places[j], target.start + BESIDE + places[4 - j], n);
    SAME(faults, 0);
}

static void copies_every_size_at_every_alignment(void **state)
{
    (void)state;
    with_rooms(1, copy_small);
}

static void copies_large_sizes(void **state)
{
    (void)state;
    with_rooms(LARGE_PAGES, copy_large);
}

/* Of the n bytes only so many can be read, and so many written. */
static void stops(size_t n, size_t readable, size_t writable)
{
    size_t least = n < readable ? n : readable;
    least = least < writable ? least : writable;
    unsigned char *from = source.end - readable, *to = target.end - writable;
    size_t seen = writable < 1024 ? writable : n < writable ? n : writable;
    memset(to, UNTOUCHED, seen);
    size_t done = copy(to, from, n);
    if (done != least || memcmp(to, from, done) != 0 || !is_untouched(to + done, to + seen)) {
        char text[160];
        snprintf(text, sizeof text, "%s: %zu of %zu bytes copied, %zu readable, %zu writable", way_name,
                 done, n, readable, writable);
        support_failed(text, __FILE__, __LINE__);
    }
}

static void stop_in_source_or_target(void)
{
    for (size_t n = 1; n <= 300; n++)
        for (size_t k = 0; k < n; k++) {
            stops(n, k, n + 20);
            stops(n, n + 20, k);
        }
}

static void stop_in_both(void)
{
    for (size_t n = 1; n <= 300; n += n < 70 ? 1 : 23)
        for (size_t k = 0; k <= n; k += n < 70 ? 3 : 5)
            for (size_t l = 0; l <= n; l += n < 70 ? 4 : 7)
                stops(n, k, l);
}

static void stop_in_large(void)
{
    for (size_t i = 0; i < LARGE; i++)
        for (size_t n = large[i] - 1; n <= large[i] + 1; n++)
            for (size_t k = 0; k < n; k = k == 300 ? n - 300 : k + 1) {
                stops(n, k, n);
                stops(n, n, k);
            }
}

static void a_copy_stops_at_a_wall(void **state)
{
    (void)state;
    with_rooms(1, stop_in_source_or_target);
    with_rooms(1, stop_in_both);
}

static void a_large_copy_stops_at_a_wall(void **state)
{
    (void)state;
    with_rooms(LARGE_PAGES, stop_in_large);
}

/* The first byte is behind the wall before a room, others are in it. */
static void start_outside(void)
{
    unsigned char *to = target.start;
    memset(to, UNTOUCHED, 400);
    for (size_t n = 1; n <= 300; n++)
        for (size_t outside = 1; outside <= n + 1; outside += 1 + outside / 40) {
            CHECK(copy(to, source.start - outside, n) == 0);
            CHECK(copy(to - outside, source.start, n) == 0);
        }
    for (size_t i = 0; i < LARGE; i++) {
        CHECK(copy(to, source.start - 1, large[i]) == 0);
        CHECK(copy(to - 1, source.start, large[i]) == 0);
    }
#ifndef MV__CPU_ANY /* whose memcpy may begin at the other end */
    CHECK(is_untouched(to, to + 400));
#endif
}

static void a_copy_from_outside_copies_nothing(void **state)
{
    (void)state;
    with_rooms(LARGE_PAGES, start_outside);
}

/* A page in the middle is missing, and the next is there again. */
static void stop_at_hole(void)
{
    unsigned char *middle = source.start + PAGE, *other = target.start + PAGE;
    CHECK(mprotect(middle, PAGE, PROT_NONE) == 0 && mprotect(other, PAGE, PROT_READ) == 0);
    for (size_t k = 1; k <= 300; k++)
        for (size_t beyond = 1; beyond < 200; beyond += 33) {
            CHECK(copy(target.start, middle - k, k + PAGE + beyond) == k);
            CHECK(memcmp(target.start, middle - k, k) == 0);
            CHECK(copy(other - k, middle + PAGE, k + beyond) == k);
            CHECK(memcmp(other - k, middle + PAGE, k) == 0);
        }
    CHECK(mprotect(middle, PAGE, PROT_READ | PROT_WRITE) == 0);
    CHECK(mprotect(other, PAGE, PROT_READ | PROT_WRITE) == 0);
}

static void a_copy_stops_at_a_hole(void **state)
{
    (void)state;
    with_rooms(3, stop_at_hole);
}

/* A page is back when the fault has been handled: the copy goes on over it, or
 * says where it stopped. The string instruction stops, and so does an aligned
 * number, which is copied at once or not at all. */
static void copies_over_bad(size_t n, size_t before)
{
    unsigned char *from = source.start + 10 * PAGE - before;
    bool is_number = before == 0 && (n == 1 || n == 2 || n == 4 || n == 8);
    healing.at = source.start + 10 * PAGE;
    healing.n = 10 * PAGE;
    memset(target.start, UNTOUCHED, n);
    CHECK(mprotect(healing.at, healing.n, PROT_NONE) == 0);
    size_t done = copy(target.start, from, n);
    CHECK(done == (way_stops() ? before : is_number ? 0 : n));
    CHECK(memcmp(target.start, from, done) == 0);
    CHECK(is_untouched(target.start + done, target.start + n));
    CHECK(mprotect(healing.at, healing.n, PROT_READ | PROT_WRITE) == 0);
    healing.at = NULL;
}

static void heal(void)
{
    for (size_t n = 1; n <= 40000; n += n < 300 ? 1 : 1999) {
        copies_over_bad(n, 0);
        copies_over_bad(n, n / 2);
        copies_over_bad(n, n - 1);
    }
}

static void a_page_comes_back_during_a_copy(void **state)
{
    (void)state;
#ifdef MV__CPU_ANY
    skip_test("guard.c's handler cannot bring a page back");
#endif
    with_rooms(20, heal);
}

/* ---- numbers ---- */

static const uint32_t widths[] = {1, 2, 4, 8};

static uint64_t of_width(uint64_t value, uint32_t width)
{
    return width == 8 ? value : value & (((uint64_t)1 << (8 * width)) - 1);
}

static void number_at(unsigned char *at, uint32_t width)
{
    static const uint64_t values[] = {0, 1, 0x80, 0xFEDCBA9876543210, UINT64_MAX};
    for (int i = 0; i < 5; i++) {
        uint64_t value = of_width(values[i], width), seen = 4711, stored = 0;
        memset(at - 8, UNTOUCHED, 24);
        CHECK(mv__cpu_store(at, width, value));
        CHECK(is_untouched(at - 8, at) && is_untouched(at + width, at + 16));
        CHECK(mv__cpu_load(at, width, &seen) && seen == value);
        memcpy((unsigned char *)&stored + (BYTE_ORDER == BIG_ENDIAN ? 8 - width : 0), at, width);
        CHECK(stored == value);
    }
}

static void numbers_of_each_width(void **state)
{
    (void)state;
    make_room(&source, 1);
    for (int i = 0; i < 4; i++)
        for (size_t at = 16; at < 80; at += widths[i])
            number_at(source.start + at, widths[i]);
    SAME(faults, 0);
    leave_room(&source);
}

static void a_number_faults(void **state)
{
    (void)state;
    uint64_t value = 1;
    make_room(&source, 1);
    for (int i = 0; i < 4; i++) {
        CHECK(!mv__cpu_load(source.end, widths[i], &value));
        CHECK(!mv__cpu_load(source.start - widths[i], widths[i], &value));
        CHECK(!mv__cpu_store(source.end, widths[i], value));
        CHECK(!mv__cpu_store(source.start - widths[i], widths[i], value));
        CHECK(mv__cpu_load(source.end - widths[i], widths[i], &value));
        CHECK(mprotect(source.start, PAGE, PROT_READ) == 0);
        CHECK(mv__cpu_load(source.start, widths[i], &value));
        CHECK(!mv__cpu_store(source.start, widths[i], ~(uint64_t)0));
        CHECK(mprotect(source.start, PAGE, PROT_READ | PROT_WRITE) == 0);
        CHECK(source.start[0] == pattern(0)); /* nothing went there */
        CHECK(mv__cpu_store(source.start, widths[i], of_width(pattern(0), widths[i])));
    }
    leave_room(&source);
}

/* ---- at once ---- */

/* One thread changes a number between all ones and all zeros. Who reads it sees
 * no mixture. */
static struct {
    uint64_t number;
    uint32_t width;
    bool by_copy;
    atomic_bool over;
    atomic_ulong changes;
} flicker;

static void *change(void *argument)
{
    static const uint64_t ones = UINT64_MAX, zeros = 0;
    (void)argument;
    while (!atomic_load(&flicker.over)) {
        const uint64_t *next = atomic_fetch_add(&flicker.changes, 1) & 1 ? &ones : &zeros;
        if (flicker.by_copy)
            copy(&flicker.number, next, flicker.width);
        else
            mv__cpu_store(&flicker.number, flicker.width, of_width(*next, flicker.width));
    }
    return NULL;
}

static void no_mixture(uint32_t width, bool by_copy)
{
    pthread_t thread;
    bool whole = true;
    memset(&flicker, 0, sizeof flicker);
    flicker.width = width;
    flicker.by_copy = by_copy;
    CHECK(pthread_create(&thread, NULL, change, NULL) == 0);
    for (unsigned long seen = 0; seen < 20000; seen = atomic_load(&flicker.changes)) {
        uint64_t loaded = 0, copied = 0;
        mv__cpu_load(&flicker.number, width, &loaded);
        copy(&copied, &flicker.number, width);
        whole = whole && (loaded == 0 || loaded == of_width(UINT64_MAX, width));
        whole = whole && (copied == 0 || copied == of_width(UINT64_MAX, width));
    }
    atomic_store(&flicker.over, true);
    CHECK(pthread_join(thread, NULL) == 0);
    CHECK(whole);
}

static void a_number_is_seen_whole(void **state)
{
    (void)state;
    for (int i = 0; i < 4; i++) {
        no_mixture(widths[i], false);
        no_mixture(widths[i], true);
    }
}

/* What one thread has written before it stores a number, another one sees that
 * has loaded the number. */
static struct {
    uint64_t number __attribute__((aligned(128)));
    _Atomic uint64_t message __attribute__((aligned(128)));
} post;

enum { LETTERS = 100000 };

static void *send_letters(void *argument)
{
    for (uint64_t i = 1; i <= LETTERS; i++) {
        atomic_store_explicit(&post.message, i, memory_order_relaxed);
        mv__cpu_store(&post.number, 8, i);
    }
    return argument;
}

static void a_number_comes_after_its_message(void **state)
{
    (void)state;
    pthread_t thread;
    bool in_order = true;
    memset(&post, 0, sizeof post);
    CHECK(pthread_create(&thread, NULL, send_letters, NULL) == 0);
    for (uint64_t number = 0; number < LETTERS;) {
        CHECK(mv__cpu_load(&post.number, 8, &number));
        if (atomic_load_explicit(&post.message, memory_order_relaxed) < number)
            in_order = false;
    }
    CHECK(pthread_join(thread, NULL) == 0);
    CHECK(in_order);
}

#ifdef __x86_64__
/* A number is copied by one store: when somebody else has answered to it, a
 * second one would destroy the answer. After each instruction of the copy it
 * is looked at, and answered. */
static volatile uint64_t question;
static unsigned answers;

static void answer(int number, siginfo_t *info, void *context)
{
    (void)number;
    (void)info;
    (void)context;
    if (question != 1)
        return;
    question = 2;
    answers++;
}

#define FLAG_TRAP 0x100U

static void step(bool on)
{
    unsigned long long flags = __builtin_ia32_readeflags_u64();
    __builtin_ia32_writeeflags_u64(on ? flags | FLAG_TRAP : flags & ~FLAG_TRAP);
}
#endif

static void a_number_is_stored_once(void **state)
{
    (void)state;
#ifdef __x86_64__
    static const uint64_t one = 1;
    handle(SIGTRAP, answer);
    answers = 0;
    for (int i = 0; i < 4; i++) {
        question = 0;
        step(true);
        copy((void *)&question, &one, widths[i]);
        step(false);
        SAME(answers, i + 1);
        SAME(question, 2);
    }
    CHECK(sigaction(SIGTRAP, &(struct sigaction){.sa_handler = SIG_DFL}, NULL) == 0);
#else
    skip_test("only x86-64 can be stepped through from inside the process");
#endif
}

#define CPU_TEST(function) cmocka_unit_test_setup_teardown(function, begin, support_end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CPU_TEST(copies_every_size_at_every_alignment),
        CPU_TEST(copies_large_sizes),
        CPU_TEST(a_copy_stops_at_a_wall),
        CPU_TEST(a_large_copy_stops_at_a_wall),
        CPU_TEST(a_copy_from_outside_copies_nothing),
        CPU_TEST(a_copy_stops_at_a_hole),
        CPU_TEST(a_page_comes_back_during_a_copy),
        CPU_TEST(numbers_of_each_width),
        CPU_TEST(a_number_faults),
        CPU_TEST(a_number_is_seen_whole),
        CPU_TEST(a_number_comes_after_its_message),
        CPU_TEST(a_number_is_stored_once),
    };
    return cmocka_run_group_tests(tests, support_group_begin_cold, support_group_end);
}
