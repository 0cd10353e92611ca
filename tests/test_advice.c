/* test_advice.c: hints, pins, protection, and storage that is given back. */
#include "support.h"

#include <signal.h>
#include <sys/resource.h>

/* ---- mv_advise ---- */

static void test_advise(void **state)
{
    (void)state;
    const char *path = make_file(scratch("file"), 64 * PAGE);
    static const uint64_t flags[] = {0, MV_OPEN_WRITE, MV_OPEN_PRIVATE | MV_OPEN_WRITE};
    for (size_t i = 0; i < 3; i++) {
        mv_view *view = open_view(path, flags[i]);
        for (uint32_t what = MV_ADVICE_NORMAL; what <= MV_ADVICE_NOHUGE; what++) {
            int r = mv_advise(view, PAGE + 5, 10 * PAGE, what, support_prepare());
            if (r != 0 && what >= MV_ADVICE_COLD) /* this kernel may not know it */
                support_refused(r, -EOPNOTSUPP, "mv_advise", __FILE__, __LINE__);
            else
                support_worked(r, "mv_advise", __FILE__, __LINE__);
            CHECK(has_pattern(mv_data(view), 64 * PAGE, 0)); /* never changes what is shown */
        }
        REFUSED(-EINVAL, mv_advise(view, 0, 1, MV_ADVICE_REWRITE + 1, ERR));
        FAILED_OP("advise");
        REFUSED(-EINVAL, mv_advise(view, 0, 0, UINT32_MAX, ERR));
        close_view(view);
    }
}

/* Private stores survive every advice, above all those that sound like it. */
static void test_advice_keeps_stores(void **state)
{
    (void)state;
    mv_view *view = open_view(make_file(scratch("file"), 8 * PAGE), MV_OPEN_PRIVATE | MV_OPEN_WRITE);
    memset(mv_data(view), 0xEE, 8 * PAGE);
    for (uint32_t what = MV_ADVICE_NORMAL; what <= MV_ADVICE_NOHUGE; what++) {
        mv_advise(view, 0, MV_TO_END, what, NULL);
        for (size_t i = 0; i < 8 * PAGE; i++)
            SAME(((unsigned char *)mv_data(view))[i], 0xEE);
    }
    close_view(view);
}

/* What the kernel noted of the mapping: "rr" random, "sr" sequential. */
static bool has_flag(const void *address, const char *flag)
{
    char line[1024];
    bool found = false, inside = false;
    FILE *maps = fopen("/proc/self/smaps", "re");
    CHECK(maps);
    while (fgets(line, sizeof line, maps)) {
        unsigned long start, end;
        if (sscanf(line, "%lx-%lx ", &start, &end) == 2)
            inside = start <= (unsigned long)address && (unsigned long)address < end;
        else if (inside && strncmp(line, "VmFlags:", 8) == 0)
            found = strstr(line, flag);
    }
    fclose(maps);
    return found;
}

static void test_hints_at_open(void **state)
{
    (void)state;
    const char *path = make_file(scratch("file"), PAGE);
    static const struct {
        uint64_t flags;
        bool random, sequential;
    } cases[] = {{0, false, false}, {MV_OPEN_RANDOM, true, false}, {MV_OPEN_SEQUENTIAL, false, true}};
    for (size_t i = 0; i < 3; i++) {
        mv_options o = with(cases[i].flags);
        mv_view *views[2] = {open_with(path, &o)};
        WORKS(mv_anonymous(PAGE, &o, &views[1], ERR));
        for (size_t k = 0; k < 2; k++) {
            SAME(has_flag(mv_data(views[k]), " rr"), cases[i].random);
            SAME(has_flag(mv_data(views[k]), " sr"), cases[i].sequential);
            close_view(views[k]);
        }
    }
    mv_view *view = open_view(path, 0);
    WORKS(mv_advise(view, 0, MV_TO_END, MV_ADVICE_RANDOM, ERR));
    CHECK(has_flag(mv_data(view), " rr"));
    WORKS(mv_advise(view, 0, MV_TO_END, MV_ADVICE_SEQUENTIAL, ERR));
    CHECK(has_flag(mv_data(view), " sr"));
    WORKS(mv_advise(view, 0, MV_TO_END, MV_ADVICE_NORMAL, ERR));
    CHECK(!has_flag(mv_data(view), " sr") && !has_flag(mv_data(view), " rr"));
    close_view(view);
}

/* ---- mv_prefetch ---- */

static bool is_resident(const unsigned char *page)
{
    unsigned char vector[1];
    CHECK(mincore((void *)(uintptr_t)page, 1, vector) == 0);
    return vector[0] & 1;
}

static void test_prefetch(void **state)
{
    (void)state;
    const char *path = make_file(scratch("file"), 64 * PAGE);
    int fd = open_file(path, O_RDWR);
    CHECK(fsync(fd) == 0);
    (void)posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
    close(fd);
    mv_view *view = open_view(path, MV_OPEN_RANDOM); /* reads nothing that is not asked for */
    const unsigned char *data = mv_data(view);
    static const size_t wanted[] = {3, 40, 41, 20};
    mv_range ranges[] = {{3 * PAGE + 5, 10}, {40 * PAGE, PAGE + 1}, {20 * PAGE - 1, 2}, {0, 0}};
    if (is_resident(data + 50 * PAGE))
        skip_test("pages cannot be taken out of this file system's cache");
    WORKS(mv_prefetch(view, ranges, 4, ERR));
    for (size_t i = 0; i < sizeof wanted / sizeof wanted[0]; i++)
        for (int wait = 0; !is_resident(data + wanted[i] * PAGE); wait++) {
            CHECK(wait < 1000); /* ten seconds */
            usleep(10000);
        }
    CHECK(!is_resident(data + 50 * PAGE));
    CHECK(has_pattern(data, 64 * PAGE, 0));
    close_view(view);
}

/* Which touch is asked for as one. */
static void test_prefetch_merges(void **state)
{
    (void)state;
    const struct {
        unsigned calls;
        uint64_t n;
        mv_range ranges[4];
    } cases[] = {
        {0, 0, {{0, 0}}},
        {0, 2, {{5, 0}, {64 * PAGE, MV_TO_END}}},
        {1, 2, {{0, 1}, {PAGE, 1}}},                /* neighbours */
        {1, 3, {{10, 5}, {20, 5}, {PAGE - 1, 2}}},  /* one page, and into the next */
        {1, 3, {{0, 9 * PAGE}, {PAGE, 1}, {0, 1}}}, /* within */
        {2, 2, {{0, 1}, {2 * PAGE, 1}}},            /* a page between */
        {2, 2, {{PAGE, 1}, {0, 1}}},                /* backwards */
        {2, 4, {{0, 1}, {7, 0}, {PAGE, 1}, {9 * PAGE, MV_TO_END}}},
    };
    mv_view *view = open_view(make_file(scratch("file"), 64 * PAGE), 0);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        failing_reset();
        WORKS(mv_prefetch(view, cases[i].n ? cases[i].ranges : NULL, cases[i].n, ERR));
        SAME(failing_count(FAILING_madvise), cases[i].calls);
    }
    close_view(view);
    view = open_memory(10 * PAGE, 0);
    WORKS(mv_prefetch(view, cases[2].ranges, 2, ERR));
    close_view(view);
}

static void test_prefetch_refused(void **state)
{
    (void)state;
    mv_view *view = open_view(make_file(scratch("file"), 8 * PAGE), 0);
    mv_range ranges[] = {{0, PAGE}, {3 * PAGE, 1}, {8 * PAGE, 1}};
    failing_reset();
    REFUSED(-EINVAL, mv_prefetch(view, ranges, 3, ERR)); /* none is begun */
    FAILED_OP("range");
    AT(8 * PAGE, 1, 0);
    SAME(failing_count(FAILING_madvise), 0);
    REFUSED(-EINVAL, mv_prefetch(view, NULL, 1, ERR));
    FAILED_OP("ranges");
    REFUSED(-EINVAL, mv_prefetch(NULL, ranges, 1, ERR));
    failing_arm(FAILING_madvise, 2, -EIO, false);
    REFUSED(-EIO, mv_prefetch(view, ranges, 2, ERR));
    AT(3 * PAGE, PAGE, 0);
    FAILED_OP("madvise");
    failing_reset();
    WORKS(mv_detach(view, ERR));
    REFUSED(-EBADF, mv_prefetch(view, ranges, 1, ERR));
    close_view(view);
}

/* ---- mv_pin ---- */

static void need_mlock(void)
{
    if (under_sanitizer())
        skip_test("a sanitizer makes mlock do nothing");
}

static void test_pin(void **state)
{
    (void)state;
    need_mlock();
    mv_view *view = open_view(make_file(scratch("file"), 16 * PAGE), MV_OPEN_WRITE);
    void *data = mv_data(view);
    WORKS(mv_pin(view, 10, 4 * PAGE, ERR)); /* touches 5 pages */
    SAME(smaps_kib(data, "Locked"), 5 * PAGE / 1024);
    SAME(smaps_kib(data, "Rss"), 5 * PAGE / 1024);
    WORKS(mv_pin(view, 10, 4 * PAGE, ERR)); /* pins do not nest */
    WORKS(mv_unpin(view, 10, 4 * PAGE, ERR));
    SAME(smaps_kib(data, "Locked"), 0);
    WORKS(mv_unpin(view, 0, MV_TO_END, ERR)); /* and need not be there */
    WORKS(mv_pin(view, 0, MV_TO_END, ERR));
    close_view(view); /* ends them, too */
}

static void pin_over_limit(void *argument)
{
    (void)argument;
    struct rlimit limit = {4 * PAGE, 4 * PAGE};
    mv_view *view = open_view(scratch("file"), 0);
    CHECK(setrlimit(RLIMIT_MEMLOCK, &limit) == 0);
    REFUSED(-ENOMEM, mv_pin(view, 5, 5 * PAGE, ERR));
    AT(5, 5 * PAGE, 0);
    FAILED_OP("mlock");
    CHECK(strstr(support_error.text, "RLIMIT_MEMLOCK"));
    WORKS(mv_pin(view, 0, 4 * PAGE, ERR));
    WORKS(mv_unpin(view, 0, 4 * PAGE, ERR));
    limit.rlim_cur = limit.rlim_max = 0;
    CHECK(setrlimit(RLIMIT_MEMLOCK, &limit) == 0);
    REFUSED(-EPERM, mv_pin(view, 0, 1, ERR));
    AT(0, 1, 0);
    close_view(view);
}

static void test_pin_over_the_limit(void **state)
{
    (void)state;
    need_mlock();
    make_file(scratch("file"), 16 * PAGE);
    as_nobody(pin_over_limit, NULL); /* root has no such limit */
}

/* Pages that are not there cannot be kept, and the reason is told. */
static void test_pin_behind_a_cut(void **state)
{
    (void)state;
    need_mlock();
    mv_view *view = open_view(make_file(scratch("file"), 8 * PAGE), MV_OPEN_WRITE);
    cut_file(scratch("file"), 3 * PAGE);
    REFUSED(-MV_ETRUNCATED, mv_pin(view, 10, MV_TO_END, ERR));
    SAME(support_error.offset, 3 * PAGE);
    WORKS(mv_unpin(view, 0, MV_TO_END, ERR));
    close_view(view);
}

/* ---- mv_protect ---- */

static void check_access(mv_view *view, size_t page, int reading, int writing)
{
    unsigned char *at = (unsigned char *)mv_data(view) + page * PAGE;
    SAME(touch(at, MV_READ), reading);
    SAME(touch(at, MV_WRITE), writing);
}

static void test_protect(void **state)
{
    (void)state;
    const char *path = make_file(scratch("file"), 4 * PAGE);
    static const uint64_t flags[] = {MV_OPEN_WRITE, MV_OPEN_WRITE | MV_OPEN_PRIVATE};
    for (size_t i = 0; i < 2; i++) {
        mv_view *view = open_view(path, flags[i]);
        WORKS(mv_protect(view, 2 * PAGE - 1, 1, 0, ERR)); /* its whole page */
        check_access(view, 0, 0, 0);
        check_access(view, 1, SIGSEGV, SIGSEGV);
        check_access(view, 2, 0, 0);
        WORKS(mv_protect(view, PAGE, 1, MV_READ, ERR));
        check_access(view, 1, 0, SIGSEGV);
        WORKS(mv_protect(view, PAGE + 5, 10, MV_WRITE, ERR)); /* alone it is both */
        check_access(view, 1, 0, 0);
        WORKS(mv_protect(view, 0, MV_TO_END, 0, ERR));
        WORKS(mv_protect(view, 0, MV_TO_END, MV_READ | MV_WRITE, ERR));
        check_access(view, 3, 0, 0);
        CHECK(has_pattern(mv_data(view), 4 * PAGE, 0));
        close_view(view);
    }
}

static void test_protect_refused(void **state)
{
    (void)state;
    const char *path = make_file(scratch("file"), 4 * PAGE);
    static const uint64_t flags[] = {0, MV_OPEN_PRIVATE};
    for (size_t i = 0; i < 2; i++) {
        mv_view *view = open_view(path, flags[i]);
        REFUSED(-EACCES, mv_protect(view, 0, 1, MV_WRITE, ERR));
        REFUSED(-EACCES, mv_protect(view, 0, 1, MV_READ | MV_WRITE, ERR));
        FAILED_OP("protect");
        WORKS(mv_protect(view, 0, 1, 0, ERR));
        SAME(touch(mv_data(view), MV_READ), SIGSEGV);
        WORKS(mv_protect(view, 0, 1, MV_READ, ERR));
        check_access(view, 0, 0, SIGSEGV);
        REFUSED(-EINVAL, mv_protect(view, 0, 1, 4, ERR));
        REFUSED(-EINVAL, mv_protect(view, 0, 1, UINT32_MAX, ERR));
        close_view(view);
    }
}

/* Growing and shrinking leave the protection where it was. */
static void test_protect_and_resize(void **state)
{
    (void)state;
    mv_options o = with(MV_OPEN_WRITE);
    o.reserve = 16 * PAGE;
    mv_view *view = open_with(make_file(scratch("file"), 100), &o);
    WORKS(mv_protect(view, 0, MV_TO_END, MV_READ, ERR));
    WORKS(mv_resize(view, 8 * PAGE, ERR));
    check_access(view, 0, 0, SIGSEGV);
    check_access(view, 1, 0, 0);
    CHECK(has_pattern(mv_data(view), 100, 0) && has_zeros((char *)mv_data(view) + 100, PAGE));
    close_view(view);
}

/* Stale bytes behind the end are cleared also where nobody may write. */
static void test_stale_tail_under_protection(void **state)
{
    (void)state;
    for (uint32_t what = 0; what <= MV_READ; what++) {
        mv_options o = with(MV_OPEN_WRITE);
        o.reserve = 16 * PAGE;
        const char *path = make_file(scratch_memory("file"), 100);
        mv_view *view = open_with(path, &o);
        memset((char *)mv_data(view) + 100, 0xEE, PAGE - 100);
        WORKS(mv_protect(view, 0, MV_TO_END, what, ERR));
        WORKS(mv_resize(view, 2 * PAGE, ERR));
        CHECK(file_has_pattern(path, 0, 100) && file_has_zeros(path, 100, 2 * PAGE - 100));
        close_view(view);
    }
}

/* ---- mv_discard ---- */

static void check_discard(mv_view *view, const char *path, uint64_t lead, uint64_t from, uint64_t to)
{
    unsigned char *data = mv_data(view);
    uint64_t size = mv_size(view);
    SAME(WORKS(mv_discard(view, from, to - from, ERR)), 0);
    CHECK(has_pattern(data, from, lead) && has_pattern(data + to, size - to, lead + to));
    CHECK(has_zeros(data + from, to - from));
    CHECK(file_has_zeros(path, lead + from, to - from));
    CHECK(file_has_pattern(path, 0, lead + from) && file_has_pattern(path, lead + to, size - to));
    SAME(file_length(path), lead + size);
}

static void test_discard_shared(void **state)
{
    (void)state;
    const char *path = scratch("file");
    const uint64_t leads[] = {0, 100};
    const uint64_t edges[] = {0, 1, 3900, PAGE, PAGE + 1, 3 * PAGE - 100, 5 * PAGE - 100};
    for (size_t i = 0; i < 2; i++)
        for (size_t j = 0; j < 7; j++)
            for (size_t k = j + 1; k < 7; k++) {
                mv_options o = with(MV_OPEN_WRITE);
                o.offset = leads[i];
                mv_view *view = open_with(make_file(path, 5 * PAGE - 100 + leads[i]), &o);
                check_discard(view, path, leads[i], edges[j], edges[k]);
                close_view(view);
            }
}

static void test_discard_gives_blocks_back(void **state)
{
    (void)state;
    const char *const paths[] = {scratch("file"), scratch_memory("file")};
    for (size_t i = 0; i < 2; i++) {
        mv_view *view = open_view(make_file(paths[i], 64 * PAGE), MV_OPEN_WRITE);
        WORKS(mv_sync(view, 0, MV_TO_END, MV_SYNC_FULL, ERR));
        uint64_t before = file_storage(paths[i]);
        WORKS(mv_discard(view, 0, 32 * PAGE, ERR));
        CHECK(file_storage(paths[i]) <= before - 30 * PAGE);
        check_usable(view);
        close_view(view);
    }
}

static void test_discard_memory(void **state)
{
    (void)state;
    mv_options o = with(MV_OPEN_PRIVATE);
    mv_view *views[2] = {open_memory(4 * PAGE, 0)};
    WORKS(mv_anonymous(4 * PAGE, &o, &views[1], ERR));
    for (size_t i = 0; i < 2; i++) {
        unsigned char *data = mv_data(views[i]);
        memset(data, 0xEE, 4 * PAGE);
        WORKS(mv_discard(views[i], 10, 2 * PAGE, ERR));
        CHECK(data[9] == 0xEE && has_zeros(data + 10, 2 * PAGE) && data[2 * PAGE + 10] == 0xEE);
        WORKS(mv_discard(views[i], 3 * PAGE + 5, 6, ERR)); /* within one page */
        CHECK(data[3 * PAGE + 4] == 0xEE && has_zeros(data + 3 * PAGE + 5, 6) &&
              data[3 * PAGE + 11] == 0xEE);
        WORKS(mv_discard(views[i], 0, MV_TO_END, ERR));
        CHECK(has_zeros(data, 4 * PAGE));
        close_view(views[i]);
    }
}

/* A private view shows the file again, byte for byte, and keeps what it was
 * not asked to drop. */
static void test_discard_private(void **state)
{
    (void)state;
    const char *path = make_file(scratch("file"), 5 * PAGE);
    const uint64_t leads[] = {0, 100};
    for (size_t i = 0; i < 2; i++) {
        const uint64_t size = 5 * PAGE - leads[i];
        const uint64_t edges[] = {0, 1, PAGE - leads[i], PAGE + 5, 3 * PAGE - leads[i], size - 1, size};
        for (size_t j = 0; j < 7; j++)
            for (size_t k = j + 1; k < 7; k++) {
                mv_options o = with(MV_OPEN_WRITE | MV_OPEN_PRIVATE);
                o.offset = leads[i];
                mv_view *view = open_with(path, &o);
                unsigned char *data = mv_data(view);
                memset(data, 0xFF, size);
                WORKS(mv_discard(view, edges[j], edges[k] - edges[j], ERR));
                for (uint64_t at = 0; at < size; at++)
                    SAME(data[at], at < edges[j] || at >= edges[k] ? 0xFF : pattern(leads[i] + at));
                close_view(view);
            }
    }
    CHECK(file_has_pattern(path, 0, 5 * PAGE));
}

static void test_discard_private_gives_memory_back(void **state)
{
    (void)state;
    mv_view *view = open_view(make_file(scratch("file"), 64 * PAGE), MV_OPEN_WRITE | MV_OPEN_PRIVATE);
    memset(mv_data(view), 0xEE, 64 * PAGE);
    SAME(smaps_kib(mv_data(view), "Anonymous"), 64 * PAGE / 1024);
    WORKS(mv_discard(view, 10, MV_TO_END, ERR));
    SAME(smaps_kib(mv_data(view), "Anonymous"), PAGE / 1024);
    close_view(view);
}

static void test_discard_refused(void **state)
{
    (void)state;
    const char *path = make_file(scratch("file"), 2 * PAGE);
    static const uint64_t reading[] = {0, MV_OPEN_PRIVATE};
    mv_view *view;
    for (size_t i = 0; i < 2; i++) {
        view = open_view(path, reading[i]);
        REFUSED(-EACCES, mv_discard(view, 0, 1, ERR));
        FAILED_OP("discard");
        close_view(view);
    }
    view = open_view(path, MV_OPEN_WRITE);
    failing_reset();
    failing_arm(FAILING_fallocate, 1, -EOPNOTSUPP, true);
    REFUSED(-EOPNOTSUPP, mv_discard(view, 5, 6, ERR));
    AT(5, 6, 0);
    FAILED_OP("fallocate");
    failing_reset();
    failing_arm(FAILING_fallocate, 1, -EINTR, false);
    WORKS(mv_discard(view, 5, 6, ERR));
    close_view(view);

    mv_options o = with(MV_OPEN_DEVICE | MV_OPEN_WRITE);
    o.length = PAGE;
    view = open_with("/dev/zero", &o);
    REFUSED(-ENODEV, mv_discard(view, 0, 1, ERR));
    close_view(view);

    view = open_view(path, MV_OPEN_WRITE | MV_OPEN_PRIVATE);
    WORKS(mv_protect(view, 0, MV_TO_END, MV_READ, ERR));
    REFUSED(-EACCES, mv_discard(view, 5, 6, ERR));
    FAILED_OP("protect");
    close_view(view);
}

static void test_discard_pinned(void **state)
{
    (void)state;
    mv_view *view = open_view(make_file(scratch("file"), 4 * PAGE), MV_OPEN_WRITE | MV_OPEN_PRIVATE);
    memset(mv_data(view), 0xEE, 4 * PAGE);
    WORKS(mv_pin(view, 0, MV_TO_END, ERR));
    int r = mv_discard(view, 0, MV_TO_END, support_prepare());
    if (r == 0)
        CHECK(has_pattern(mv_data(view), 4 * PAGE, 0));
    else
        support_refused(r, -EBUSY, "mv_discard", __FILE__, __LINE__);
    close_view(view);
}

static void test_discard_sealed(void **state)
{
    (void)state;
    int fd = memfd_create("test", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    CHECK(fd >= 0 && ftruncate(fd, (off_t)PAGE) == 0);
    mv_options o = with(MV_OPEN_WRITE);
    mv_view *view;
    WORKS(mv_open_fd(fd, &o, &view, ERR));
    CHECK(fcntl(fd, F_ADD_SEALS, F_SEAL_FUTURE_WRITE) == 0);
    REFUSED(-EPERM, mv_discard(view, 0, 1, ERR));
    check_usable(view);
    close_view(view);
    close(fd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_advise),
        TEST(test_advice_keeps_stores),
        TEST(test_hints_at_open),
        TEST(test_prefetch),
        TEST(test_prefetch_merges),
        TEST(test_prefetch_refused),
        TEST(test_pin),
        TEST(test_pin_over_the_limit),
        TEST(test_pin_behind_a_cut),
        TEST(test_protect),
        TEST(test_protect_refused),
        TEST(test_protect_and_resize),
        TEST(test_stale_tail_under_protection),
        TEST(test_discard_shared),
        TEST(test_discard_gives_blocks_back),
        TEST(test_discard_memory),
        TEST(test_discard_private),
        TEST(test_discard_private_gives_memory_back),
        TEST(test_discard_refused),
        TEST(test_discard_pinned),
        TEST(test_discard_sealed),
    };
    return RUN(tests);
}
