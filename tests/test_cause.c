/* test_cause.c: mv_probe, mv_prefault, and from a fault to its reason. */
#include "support.h"

#include <signal.h>

/* ---- arguments ---- */

static void test_arguments(void **state)
{
    (void)state;
    const char *path = make_file(scratch("file"), PAGE);
    mv_view *view = open_view(path, MV_OPEN_WRITE), *reading = open_view(path, 0);
    static const uint32_t wrong[] = {0, 4, 5, 8, UINT32_MAX};
    for (size_t i = 0; i < 5; i++) {
        REFUSED(-EINVAL, mv_probe(view, 0, 1, wrong[i], ERR));
        FAILED_OP("access");
        REFUSED(-EINVAL, mv_prefault(view, 0, 1, wrong[i], ERR));
        FAILED_OP("access");
    }
    for (uint32_t access = MV_READ; access <= (MV_READ | MV_WRITE); access++) {
        WORKS(mv_probe(view, 0, MV_TO_END, access, ERR));
        WORKS(mv_prefault(view, 0, MV_TO_END, access, ERR));
    }
    static const uint32_t writing[] = {MV_WRITE, MV_READ | MV_WRITE};
    for (size_t i = 0; i < 2; i++) {
        REFUSED(-EACCES, mv_probe(reading, 5, 6, writing[i], ERR));
        AT(5, 6, 0);
        REFUSED(-EACCES, mv_prefault(reading, 5, 6, writing[i], ERR));
        AT(5, 6, 0);
    }
    CHECK(file_has_pattern(path, 0, PAGE));
    close_view(view);
    close_view(reading);
}

/* ---- what they do ---- */

static void test_prefault_brings_pages_in(void **state)
{
    (void)state;
    const char *path = make_file(scratch("file"), 300 * PAGE);
    mv_view *view = open_view(path, MV_OPEN_RANDOM);
    void *data = mv_data(view);
    SAME(smaps_kib(data, "Rss"), 0);
    WORKS(mv_prefault(view, PAGE + 10, 100 * PAGE, MV_READ, ERR)); /* touches 101 pages */
    CHECK(smaps_kib(data, "Rss") >= (long)(101 * PAGE / 1024));
    WORKS(mv_prefault(view, 0, MV_TO_END, MV_READ, ERR));
    SAME(smaps_kib(data, "Rss"), 300 * PAGE / 1024);
    close_view(view);
}

static void test_write_gives_holes_their_blocks(void **state)
{
    (void)state;
    const char *path = make_sparse(scratch("file"), 64 * PAGE);
    mv_view *view = open_view(path, MV_OPEN_WRITE);
    WORKS(mv_prefault(view, 0, MV_TO_END, MV_WRITE, ERR));
    WORKS(mv_sync(view, 0, MV_TO_END, MV_SYNC_DATA, ERR)); /* blocks may be delayed until then */
    CHECK(file_storage(path) >= 64 * PAGE);
    CHECK(file_has_zeros(path, 0, 64 * PAGE));
    close_view(view);
}

static void test_write_copies_private_pages(void **state)
{
    (void)state;
    const char *path = make_file(scratch("file"), 64 * PAGE);
    mv_view *view = open_view(path, MV_OPEN_WRITE | MV_OPEN_PRIVATE);
    WORKS(mv_probe(view, 0, MV_TO_END, MV_READ, ERR));
    SAME(smaps_kib(mv_data(view), "Anonymous"), 0);
    WORKS(mv_probe(view, 10 * PAGE, 10 * PAGE, MV_WRITE, ERR));
    SAME(smaps_kib(mv_data(view), "Anonymous"), 10 * PAGE / 1024);
    CHECK(has_pattern(mv_data(view), 64 * PAGE, 0) && file_has_pattern(path, 0, 64 * PAGE));
    close_view(view);
}

/* ---- the first bad byte ---- */

static void probe_around(mv_view *view, uint64_t bad, uint64_t size)
{
    const uint64_t starts[] = {0, 1, bad - PAGE, bad - 1, bad, bad + 1, bad + PAGE - 1};
    for (size_t i = 0; i < 7; i++) {
        uint64_t first = starts[i] > bad ? starts[i] : bad;
        REFUSED(-EACCES, mv_probe(view, starts[i], MV_TO_END, MV_READ, ERR));
        SAME(support_error.offset, first);
        SAME(support_error.done, first - starts[i]);
        FAILED_OP("protect");
        REFUSED(-EACCES, mv_prefault(view, starts[i], size - starts[i], MV_WRITE, ERR));
        SAME(support_error.offset, first);
        SAME(support_error.done, first - starts[i]);
    }
    WORKS(mv_probe(view, 0, bad, MV_READ | MV_WRITE, ERR));
    WORKS(mv_probe(view, bad + PAGE, MV_TO_END, MV_READ, ERR));
}

static void test_first_bad_byte(void **state)
{
    (void)state;
    const uint64_t size = 100 * PAGE;
    for (uint64_t bad = 1; bad < 99; bad += 7) {
        mv_view *view = open_view(make_file(scratch("file"), size), MV_OPEN_WRITE);
        WORKS(mv_protect(view, bad * PAGE, PAGE, 0, ERR));
        probe_around(view, bad * PAGE, size);
        close_view(view);
    }
}

/* Further than one step of the touching goes, and where the view does not
 * begin on a page. */
static void test_first_bad_byte_far_away(void **state)
{
    (void)state;
    const char *path = make_sparse(scratch("file"), 80 << 20);
    mv_options o = with(MV_OPEN_WRITE);
    o.offset = 100;
    mv_view *view = open_with(path, &o);
    const uint64_t bads[] = {(32 << 20) - 100, (33 << 20) - 100, (79 << 20) - 100};
    for (int i = 2; i >= 0; i--) {
        WORKS(mv_protect(view, bads[i], 1, 0, ERR));
        REFUSED(-EACCES, mv_probe(view, 5, MV_TO_END, MV_READ, ERR));
        SAME(support_error.offset, bads[i]);
        SAME(support_error.done, bads[i] - 5);
    }
    close_view(view);
}

/* ---- causes, one after the other ---- */

/* Each of these is met by the guarded copy and by that of the kernel. */
static const uint64_t ways[] = {0, MV_OPEN_NO_HANDLER};

/* Stands for pages that cannot be touched: they are closed, and neither copied
 * nor populated by the kernel. The first of its calls that is let through
 * opens them again. */
struct fault {
    long copy, populate;
    unsigned copies, populates; /* how many of the calls */
    mv_view *view;
};

static void set_protection(const mv_view *view, int protection)
{
    CHECK(mprotect(view->base, view->geometry.mapped, protection) == 0);
}

static void open_pages(const mv_view *view)
{
    set_protection(view, view->writable ? PROT_READ | PROT_WRITE : PROT_READ);
}

static bool fail_copy(unsigned k, long *result, void *argument)
{
    const struct fault *f = argument;
    *result = f->copy;
    if (k > f->copies)
        open_pages(f->view);
    return k <= f->copies;
}

static bool fail_populate(unsigned k, long *result, void *argument)
{
    const struct fault *f = argument;
    *result = f->populate;
    if (k > f->populates)
        open_pages(f->view);
    return k <= f->populates;
}

static void set_fault(mv_view *view, struct fault *f)
{
    f->view = view;
    set_protection(view, PROT_NONE);
    failing_reset();
    failing_on(FAILING_process_vm_readv, fail_copy, f);
    failing_on(FAILING_process_vm_writev, fail_copy, f);
    failing_on(FAILING_madvise, fail_populate, f);
}

static void in_every_way(void (*function)(uint64_t way))
{
    for (size_t i = 0; i < 2; i++) {
        support_context = i ? "by the kernel" : "guarded";
        function(ways[i]);
        failing_reset();
    }
}

static void end_fault(const mv_view *view)
{
    failing_reset();
    open_pages(view);
}

static struct fault page_fault = {-EFAULT, -EFAULT, UINT32_MAX, UINT32_MAX, NULL};

static void meet_device_error(uint64_t way)
{
    char bytes[100];
    mv_view *view = open_view(make_file(scratch("file"), 2 * PAGE), MV_OPEN_WRITE | way);
    set_fault(view, &page_fault);
    failing_arm(FAILING_pread, 1, -EIO, true);
    REFUSED(-EIO, mv_read(view, bytes, 100, PAGE, ERR));
    AT(PAGE, 100, 0);
    FAILED_OP("pread");
    REFUSED(-EIO, mv_probe(view, PAGE, 100, MV_READ, ERR));
    AT(PAGE, 0, 0);
    end_fault(view);
    SAME(WORKS(mv_read(view, bytes, 100, PAGE, ERR)), 100);
    close_view(view);
}

static void test_device_error(void **state)
{
    (void)state;
    in_every_way(meet_device_error);
}

/* On tmpfs a hole can be read though it cannot be mapped. */
static void read_past_the_mapping(uint64_t way)
{
    unsigned char bytes[3 * LARGEST_PAGE];
    mv_view *view = open_view(make_file(scratch_memory("file"), 4 * PAGE), way);
    set_fault(view, &page_fault);
    SAME(WORKS(mv_read(view, bytes, 3 * PAGE, 10, ERR)), 3 * PAGE);
    CHECK(has_pattern(bytes, 3 * PAGE, 10));
    REFUSED(-ENOSPC, mv_probe(view, 5, 1, MV_READ, ERR));
    AT(5, 0, 0);
    close_view(view);
}

static void test_read_past_the_mapping(void **state)
{
    (void)state;
    in_every_way(read_past_the_mapping);
}

static void store_without_room(uint64_t way)
{
    unsigned char bytes[3 * LARGEST_PAGE];
    const char *path = make_file(scratch("file"), 4 * PAGE);
    mv_view *view = open_view(path, MV_OPEN_WRITE | way);
    memset(bytes, 0xEE, sizeof bytes);
    static const int codes[] = {-ENOSPC, -EDQUOT, -EIO};
    for (size_t i = 0; i < 3; i++) {
        set_fault(view, &page_fault);
        failing_arm(FAILING_fallocate, 1, codes[i], true);
        REFUSED(codes[i], mv_write(view, bytes, 10, 5, ERR));
        AT(5, 10, 0);
        FAILED_OP("fallocate");
        REFUSED(codes[i], mv_probe(view, 5, 10, MV_WRITE, ERR));
        for (int forever = 0; forever < 2; forever++) {
            set_fault(view, &page_fault);
            failing_arm(FAILING_pwrite, 1, codes[i], forever);
            REFUSED(codes[i], mv_write(view, bytes, 10, 5, ERR));
            AT(5, 10, 0);
            FAILED_OP("pwrite");
        }
    }
    /* There are blocks, and the bytes reach the file past the mapping: exactly
     * those of the caller. */
    set_fault(view, &page_fault);
    SAME(WORKS(mv_write(view, bytes, 2 * PAGE + 20, PAGE - 10, ERR)), 2 * PAGE + 20);
    read_file(path, bytes, 2 * PAGE + 20, PAGE - 10);
    for (size_t i = 0; i < 2 * PAGE + 20; i++)
        SAME(bytes[i], 0xEE);
    CHECK(file_has_pattern(path, 0, PAGE - 10) && file_has_pattern(path, 3 * PAGE + 10, PAGE - 10));
    REFUSED(-ENOSPC, mv_probe(view, 5, 10, MV_WRITE, ERR)); /* the page itself cannot be stored to */
    close_view(view);
}

static void test_store_without_room(void **state)
{
    (void)state;
    in_every_way(store_without_room);
}

static void meet_no_memory(uint64_t way)
{
    mv_view *view = open_view(make_file(scratch("file"), PAGE), MV_OPEN_WRITE | MV_OPEN_PRIVATE | way);
    set_fault(view, &page_fault);
    REFUSED(-ENOMEM, mv_write(view, "x", 1, 7, ERR));
    AT(7, 1, 0);
    end_fault(view);
    check_usable(view);
    close_view(view);

    mv_options o = with(MV_OPEN_PRIVATE | way);
    WORKS(mv_anonymous(PAGE, &o, &view, ERR));
    set_fault(view, &page_fault);
    REFUSED(-ENOMEM, mv_write(view, "x", 1, 7, ERR));
    AT(7, 1, 0);
    close_view(view);
}

static void test_no_memory_for_a_copy(void **state)
{
    (void)state;
    in_every_way(meet_no_memory);
}

static void meet_codes_of_the_kernel(uint64_t way)
{
    static const struct {
        long populate;
        int code;
    } cases[] = {{-EINVAL, -EACCES}, {-EHWPOISON, -EIO}, {-ENOMEM, -ENOMEM}, {-EPERM, -EPERM}};
    char byte;
    mv_view *view = open_view(make_file(scratch("file"), PAGE), way);
    for (size_t i = 0; i < 4; i++) {
        struct fault f = {-EFAULT, cases[i].populate, UINT32_MAX, UINT32_MAX, NULL};
        set_fault(view, &f);
        REFUSED(cases[i].code, mv_read(view, &byte, 1, 7, ERR));
        AT(7, 1, 0);
        REFUSED(cases[i].code, mv_probe(view, 7, 1, MV_READ, ERR));
    }
    close_view(view);
}

static void test_codes_of_the_kernel(void **state)
{
    (void)state;
    in_every_way(meet_codes_of_the_kernel);
}

/* What has passed by the second look is no error, and what was interrupted is
 * done again. */
static void meet_what_passes(uint64_t way)
{
    char bytes[10];
    mv_view *view = open_view(make_file(scratch("file"), PAGE), MV_OPEN_WRITE | way);
    struct fault once = {-EFAULT, -EFAULT, 1, 0, NULL};
    struct fault interrupted = {-EFAULT, -EINTR, 1, 3, NULL}, busy = {-EFAULT, -EAGAIN, 1, 3, NULL};
    struct fault *const all[] = {&once, &interrupted, &busy};
    for (size_t i = 0; i < 3; i++) {
        set_fault(view, all[i]);
        SAME(WORKS(mv_write(view, "0123456789", 10, 5, ERR)), 10);
        set_fault(view, all[i]);
        SAME(WORKS(mv_read(view, bytes, 10, 5, ERR)), 10);
        CHECK(memcmp(bytes, "0123456789", 10) == 0);
        set_fault(view, all[i]);
        WORKS(mv_probe(view, 0, MV_TO_END, MV_WRITE, ERR));
    }
    close_view(view);
}

static void test_transient(void **state)
{
    (void)state;
    in_every_way(meet_what_passes);
}

/* A detach explains every fault. */
static bool detach_beside(unsigned k, long *result, void *argument)
{
    if (k == 1)
        CHECK(mv_detach(argument, NULL) == 0);
    *result = -EFAULT;
    return true;
}

static void detach_in_the_middle(uint64_t way)
{
    static const uint64_t flags[] = {0, MV_OPEN_WRITE, MV_OPEN_WRITE | MV_OPEN_PRIVATE};
    char byte = 0;
    for (size_t i = 0; i < 3; i++) {
        mv_view *view = open_view(make_file(scratch("file"), PAGE), flags[i] | way);
        failing_reset();
        set_protection(view, PROT_NONE);
        failing_on(FAILING_process_vm_readv, detach_beside, view);
        failing_on(FAILING_process_vm_writev, detach_beside, view);
        REFUSED(-EBADF, flags[i] ? mv_write(view, &byte, 1, 0, ERR) : mv_read(view, &byte, 1, 0, ERR));
        close_view(view);
        view = open_view(scratch("file"), flags[i] | way);
        failing_reset();
        failing_on(FAILING_madvise, detach_beside, view);
        REFUSED(-EBADF, mv_probe(view, 0, 1, MV_READ, ERR));
        close_view(view);
    }
}

static void test_detach_explains(void **state)
{
    (void)state;
    in_every_way(detach_in_the_middle);
}

/* A shrink that runs beside is no error but the end. (In test_copy_faults one
 * comes in the middle of a guarded copy.) */
static bool shrink_beside(unsigned k, long *result, void *argument)
{
    if (k == 1)
        CHECK(mv_resize(argument, PAGE + 5, NULL) == 0);
    (void)result;
    return false;
}

static void test_shrink_beside(void **state)
{
    (void)state;
    unsigned char bytes[4 * LARGEST_PAGE];
    static const uint64_t starts[] = {0, 100, 4096 + 4};
    for (size_t i = 0; i < 3; i++)
        for (int writing = 0; writing < 2; writing++) {
            mv_view *view =
                open_view(make_file(scratch("file"), 4 * PAGE), MV_OPEN_WRITE | MV_OPEN_NO_HANDLER);
            uint64_t off = i == 2 ? PAGE + 4 : starts[i];
            failing_reset();
            failing_on(writing ? FAILING_process_vm_writev : FAILING_process_vm_readv, shrink_beside,
                       view);
            memset(bytes, 0, sizeof bytes);
            int64_t n = writing ? WORKS(mv_write(view, bytes, 4 * PAGE - off, off, ERR))
                                : WORKS(mv_read(view, bytes, 4 * PAGE - off, off, ERR));
            SAME(n, PAGE + 5 - off);
            CHECK(writing || has_pattern(bytes, (size_t)n, off));
            close_view(view);
        }
}

/* ---- causes that come and go ---- */

/* The page is closed at the first copies, guarded or not, and open at every
 * look: in the end the copy is made, and nobody blames the caller's buffer. */
static bool close_page(unsigned k, long *result, void *argument)
{
    (void)result;
    if (k <= 2)
        set_protection(argument, PROT_NONE);
    return false;
}

static bool open_page(unsigned k, long *result, void *argument)
{
    (void)k;
    (void)result;
    set_protection(argument, PROT_READ | PROT_WRITE);
    return false;
}

static void meet_changing_protection(uint64_t way)
{
    char bytes[10];
    mv_view *view = open_view(make_file(scratch("file"), PAGE), MV_OPEN_WRITE | way);
    for (int writing = 0; writing < 2; writing++) {
        failing_reset();
        set_protection(view, PROT_NONE);
        failing_on(FAILING_process_vm_readv, close_page, view);
        failing_on(FAILING_process_vm_writev, close_page, view);
        failing_on(FAILING_madvise, open_page, view);
        memcpy(bytes, "0123456789", 10);
        SAME(writing ? WORKS(mv_write(view, bytes, 10, 5, ERR))
                     : WORKS(mv_read(view, bytes, 10, 5, ERR)),
             10);
        CHECK(writing || has_pattern(bytes, 10, 5));
    }
    close_view(view);
}

static void test_protection_that_comes_and_goes(void **state)
{
    (void)state;
    in_every_way(meet_changing_protection);
}

/* Somebody cuts the file before every copy and look of the library, and makes
 * it long again before the library asks for its length, a few times over. */
static bool cut_it(unsigned k, long *result, void *argument)
{
    (void)result;
    if (k <= 2)
        cut_file(argument, 0);
    return false;
}

static bool extend_it(unsigned k, long *result, void *argument)
{
    (void)k;
    (void)result;
    cut_file(argument, PAGE);
    return false;
}

/* The bytes are zeros by now, or they were cut: nothing else is the matter. */
static void check_flapping(int64_t result)
{
    if (result < 0)
        SAME(result, -MV_ETRUNCATED);
}

/* what: 0 a read, 1 a look at what can be read, 2 a write, 3 a look at what can
 * be written. */
static void use_while_flapping(const char *path, uint64_t flags, int what)
{
    char bytes[10] = {0};
    mv_view *view = open_view(make_file(path, PAGE), flags);
    void *argument = (void *)(uintptr_t)path;
    failing_reset();
    if (!(flags & MV_OPEN_NO_HANDLER))
        cut_file(path, 0); /* for the guarded copy */
    failing_on(FAILING_process_vm_readv, cut_it, argument);
    failing_on(FAILING_process_vm_writev, cut_it, argument);
    failing_on(FAILING_madvise, cut_it, argument);
    failing_on(FAILING_fstat, extend_it, argument);
    if (what == 0)
        check_flapping(mv_read(view, bytes, 10, 5, NULL));
    else if (what == 1)
        check_flapping(mv_prefault(view, 5, 10, MV_READ, NULL));
    else if (what == 2)
        check_flapping(mv_write(view, bytes, 10, 5, NULL));
    else
        check_flapping(mv_prefault(view, 5, 10, MV_WRITE, NULL));
    failing_reset();
    close_view(view);
}

static void meet_changing_length(uint64_t way)
{
    static const uint64_t flags[] = {0, MV_OPEN_WRITE, MV_OPEN_WRITE | MV_OPEN_PRIVATE};
    for (size_t i = 0; i < 3; i++)
        for (int what = 0; what < (flags[i] ? 4 : 2); what++) {
            use_while_flapping(scratch("file"), flags[i] | way, what);
            use_while_flapping(scratch_memory("file"), flags[i] | way, what);
        }
}

static void test_length_that_comes_and_goes(void **state)
{
    (void)state;
    in_every_way(meet_changing_length);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_arguments),
        TEST(test_prefault_brings_pages_in),
        TEST(test_write_gives_holes_their_blocks),
        TEST(test_write_copies_private_pages),
        TEST(test_first_bad_byte),
        TEST(test_first_bad_byte_far_away),
        TEST(test_device_error),
        TEST(test_read_past_the_mapping),
        TEST(test_store_without_room),
        TEST(test_no_memory_for_a_copy),
        TEST(test_codes_of_the_kernel),
        TEST(test_transient),
        TEST(test_detach_explains),
        TEST(test_shrink_beside),
        TEST(test_protection_that_comes_and_goes),
        TEST(test_length_that_comes_and_goes),
    };
    return RUN(tests);
}
