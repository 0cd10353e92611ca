/* test_caps.c: what the kernel and a view's file system can do, and what the
 * library does where they cannot. */
#include "support.h"

/* ---- answers of this kernel ---- */

static void test_without_a_view(void **state)
{
    (void)state;
    void *page = mmap(NULL, PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(page != MAP_FAILED);
    SAME(mv_has(NULL, MV_HAS_POPULATE), madvise(page, PAGE, 22 /* MADV_POPULATE_READ */) == 0);
    CHECK(munmap(page, PAGE) == 0);
    char from = 1, to = 0;
    struct iovec local = {&to, 1}, remote = {&from, 1};
    SAME(mv_has(NULL, MV_HAS_KERNEL_COPY), process_vm_readv(getpid(), &local, 1, &remote, 1, 0) == 1);
    SAME(mv_has(NULL, MV_HAS_ALLOCATE), 1);
    SAME(mv_has(NULL, MV_HAS_OWN_DESCRIPTION), 0);
    SAME(mv_has(NULL, MV_HAS_RESIZE), 0);
    SAME(mv_has(NULL, 0), 0);
    SAME(mv_has(NULL, 6), 0);
    SAME(mv_has(NULL, UINT32_MAX), 0);
}

static void check_view(mv_view *view, int allocate, int own, int resize)
{
    SAME(mv_has(view, MV_HAS_POPULATE), mv_has(NULL, MV_HAS_POPULATE));
    SAME(mv_has(view, MV_HAS_KERNEL_COPY), mv_has(NULL, MV_HAS_KERNEL_COPY));
    if (allocate >= 0)
        SAME(mv_has(view, MV_HAS_ALLOCATE), allocate);
    SAME(mv_has(view, MV_HAS_OWN_DESCRIPTION), own);
    SAME(mv_has(view, MV_HAS_RESIZE), resize);
    SAME(mv_has(view, 0), 0);
    SAME(mv_has(view, 4711), 0);
    CHECK(mv_detach(view, NULL) == 0);
    for (uint32_t capability = 0; capability < 8; capability++)
        SAME(mv_has(view, capability), -EBADF);
    close_view(view);
}

static void test_of_views(void **state)
{
    (void)state;
    const char *path = make_file(scratch_memory("file"), 3 * PAGE);
    mv_view *view;
    check_view(open_view(path, MV_OPEN_WRITE), 1, 1, 1);
    check_view(open_view(path, 0), -1, 0, 0);
    check_view(open_view(path, MV_OPEN_WRITE | MV_OPEN_PRIVATE), -1, 0, 0);
    check_view(open_memory(PAGE, 0), 0, 1, 1); /* comes at first touch */
    mv_options o = with(MV_OPEN_WRITE);
    o.length = PAGE;
    check_view(open_with(path, &o), 1, 1, 0);
    o = with(MV_OPEN_PRIVATE);
    WORKS(mv_anonymous(PAGE, &o, &view, ERR));
    check_view(view, 0, 0, 0);
    o = with(MV_OPEN_DEVICE | MV_OPEN_WRITE);
    o.length = PAGE;
    check_view(open_with("/dev/zero", &o), 0, 1, 0);
}

/* MV_HAS_RESIZE says what mv_resize does. */
static void test_resize_as_promised(void **state)
{
    (void)state;
    static const uint64_t flags[] = {0, MV_OPEN_WRITE, MV_OPEN_PRIVATE,
                                     MV_OPEN_WRITE | MV_OPEN_PRIVATE};
    for (size_t i = 0; i < 8; i++) {
        mv_options o = with(flags[i % 4]);
        o.length = i < 4 ? 0 : 10;
        mv_view *view = open_with(make_file(scratch("file"), PAGE), &o);
        SAME(mv_has(view, MV_HAS_RESIZE), mv_resize(view, 5, NULL) == 0);
        close_view(view);
    }
}

/* ---- kernels that can do less ---- */

/* The answers are kept for the process: each of these has a child, made before
 * the library has asked. */
static void without_populate(void *argument)
{
    const uint64_t *way = argument;
    unsigned char bytes[3 * LARGEST_PAGE];
    uint64_t value;
    const char *path = make_file(scratch("file"), 4 * PAGE);
    mv_view *view = open_view(path, MV_OPEN_WRITE | *way);
    failing_reset();
    failing_arm(FAILING_madvise, 1, -EINVAL, true);
    SAME(mv_has(NULL, MV_HAS_POPULATE), 0);
    REFUSED(-EOPNOTSUPP, mv_probe(view, 0, 1, MV_READ, ERR));
    REFUSED(-EOPNOTSUPP, mv_prefault(view, 0, MV_TO_END, MV_WRITE, ERR));
    SAME(failing_count(FAILING_madvise), 1); /* asked once */
    SAME(WORKS(mv_read(view, bytes, 3 * PAGE, 10, ERR)), 3 * PAGE);
    CHECK(has_pattern(bytes, 3 * PAGE, 10));
    WORKS(mv_pin(view, 0, PAGE, ERR));
    WORKS(mv_discard(view, 0, 1, ERR));
    WORKS(mv_sync(view, 0, MV_TO_END, MV_SYNC_DATA, ERR));
    cut_file(path, 2 * PAGE); /* faults have their reasons all the same */
    REFUSED(-MV_ETRUNCATED, mv_read(view, bytes, 3 * PAGE, 10, ERR));
    AT(2 * PAGE, PAGE + 10, 2 * PAGE - 10);
    REFUSED(-MV_ETRUNCATED, mv_write(view, bytes, 3 * PAGE, 10, ERR));
    AT(2 * PAGE, PAGE + 10, 2 * PAGE - 10);
    if (*way == 0) {
        REFUSED(-MV_ETRUNCATED, mv_load(view, 2 * PAGE, 8, &value, ERR));
        REFUSED(-MV_ETRUNCATED, mv_store(view, 2 * PAGE, 8, 0, ERR));
        AT(2 * PAGE, 8, 0);
    }
    close_view(view);
}

/* An emulator that says yes to any advice, and does nothing. */
static void emulated(void *argument)
{
    (void)argument;
    failing_reset();
    failing_arm(FAILING_madvise, 1, 0, true);
    SAME(mv_has(NULL, MV_HAS_POPULATE), 0);
}

static void without_memfd_flag(void *argument)
{
    (void)argument;
    failing_arm(FAILING_memfd_create, 1, -EINVAL, false); /* MFD_NOEXEC_SEAL, before Linux 6.3 */
    mv_view *view = open_memory(PAGE, 0);
    SAME(failing_count(FAILING_memfd_create), 2);
    check_usable(view);
    close_view(view);
}

/* A call that fails for another reason is asked again the next time. */
static void answer_comes_late(void *argument)
{
    (void)argument;
    char byte;
    mv_view *view;
    mv_options o = with(MV_OPEN_NO_HANDLER);
    WORKS(mv_anonymous(PAGE, &o, &view, ERR));
    failing_reset();
    failing_arm(FAILING_process_vm_readv, 1, -ENOMEM, false);
    SAME(mv_has(NULL, MV_HAS_KERNEL_COPY), 0);
    SAME(mv_has(NULL, MV_HAS_KERNEL_COPY), 1);
    SAME(WORKS(mv_read(view, &byte, 1, 0, ERR)), 1);
    failing_reset();
    failing_arm(FAILING_madvise, 1, -ENOMEM, false);
    SAME(mv_has(NULL, MV_HAS_POPULATE), 0);
    SAME(mv_has(NULL, MV_HAS_POPULATE), 1);
    close_view(view);
}

static void test_older_kernels(void **state)
{
    (void)state;
    uint64_t ways[] = {0, MV_OPEN_NO_HANDLER};
    in_child(without_populate, &ways[0]);
    in_child(without_populate, &ways[1]);
    in_child(emulated, NULL);
    in_child(without_memfd_flag, NULL);
    in_child(answer_comes_late, NULL);
}

/* ---- while the library runs ---- */

/* Refused once, growth is only promised from then on. */
static void test_allocation_refused(void **state)
{
    (void)state;
    mv_options o = with(MV_OPEN_WRITE);
    o.reserve = 10 * PAGE;
    mv_view *view = open_with(make_file(scratch_memory("file"), PAGE), &o);
    SAME(mv_has(view, MV_HAS_ALLOCATE), 1);
    failing_reset();
    failing_arm(FAILING_fallocate, 1, -EOPNOTSUPP, true);
    WORKS(mv_resize(view, 2 * PAGE, ERR));
    failing_reset();
    SAME(mv_has(view, MV_HAS_ALLOCATE), 0);
    SAME(mv_has(NULL, MV_HAS_ALLOCATE), 1); /* of this view alone */
    close_view(view);
}

int main(void)
{
    const struct CMUnitTest first[] = {
        TEST(test_older_kernels),
    };
    const struct CMUnitTest tests[] = {
        TEST(test_without_a_view),
        TEST(test_of_views),
        TEST(test_resize_as_promised),
        TEST(test_allocation_refused),
    };
    int failed = cmocka_run_group_tests(first, support_group_begin_cold, support_group_end);
    return failed + RUN(tests);
}
