/* test_limits.c: limits of the process, and files that change while they are
 * opened. */
#include "support.h"

#include <signal.h>
#include <sys/resource.h>

static void refuse_with(const char *path, const mv_options *o, int code)
{
    mv_view *view = (mv_view *)1;
    REFUSED(code, mv_open(path, o, &view, ERR));
    CHECK(!view);
}

static void set_limit(int resource, uint64_t value)
{
    struct rlimit limit;
    CHECK(getrlimit((__rlimit_resource_t)resource, &limit) == 0);
    limit.rlim_cur = value;
    CHECK(setrlimit((__rlimit_resource_t)resource, &limit) == 0);
}

/* ---- RLIMIT_FSIZE ---- */

/* SIGXFSZ has its default action, which ends the child: it must not come. */
static void grow_over_limit(void *argument)
{
    (void)argument;
    const char *path = make_file(scratch("file"), 10 * PAGE);
    mv_options o = with(MV_OPEN_WRITE);
    mv_view *view;
    o.reserve = 1000 * PAGE;
    mv_view *memory = open_memory(PAGE, 1000 * PAGE), *file = open_with(path, &o);
    set_limit(RLIMIT_FSIZE, 100 * PAGE);

    REFUSED(-EFBIG, mv_resize(file, 100 * PAGE + 1, ERR));
    CHECK(strstr(support_error.text, "RLIMIT_FSIZE"));
    FAILED_OP("getrlimit");
    SAME(mv_size(file), 10 * PAGE);
    SAME(file_length(path), 10 * PAGE);
    WORKS(mv_resize(file, 100 * PAGE, ERR));
    check_usable(file);
    WORKS(mv_resize(file, 5 * PAGE, ERR));

    REFUSED(-EFBIG, mv_resize(memory, 101 * PAGE, ERR));
    WORKS(mv_resize(memory, 100 * PAGE, ERR));
    check_usable(memory);
    REFUSED(-EFBIG, mv_anonymous(101 * PAGE, NULL, &view, ERR));

    o.file_size = 101 * PAGE;
    refuse_with(path, &o, -EFBIG);
    SAME(file_length(path), 5 * PAGE);
    o.flags |= MV_OPEN_TRUNCATE;
    refuse_with(path, &o, -EFBIG);
    CHECK(file_has_pattern(path, 0, 5 * PAGE));
    close_view(file);
    close_view(memory);
}

static void test_file_size_limit(void **state)
{
    (void)state;
    in_child(grow_over_limit, NULL);
}

/* A file that is over the limit already can be used, cut and looked at. */
static void use_file_over_limit(void *argument)
{
    (void)argument;
    const char *path = make_file(scratch("file"), 10 * PAGE);
    set_limit(RLIMIT_FSIZE, 2 * PAGE);
    mv_view *view = open_view(path, MV_OPEN_WRITE);
    check_usable(view);
    WORKS(mv_discard(view, 5 * PAGE, PAGE, ERR));
    WORKS(mv_prefault(view, 0, MV_TO_END, MV_WRITE, ERR));
    WORKS(mv_sync(view, 0, MV_TO_END, MV_SYNC_FULL, ERR));
    WORKS(mv_resize(view, 9 * PAGE, ERR));
    SAME(file_length(path), 9 * PAGE);
    close_view(view);
}

static void test_file_over_the_limit(void **state)
{
    (void)state;
    in_child(use_file_over_limit, NULL);
}

/* ---- address space and mappings ---- */

static uint64_t address_space_used(void)
{
    unsigned long pages = 0;
    FILE *statm = fopen("/proc/self/statm", "re");
    CHECK(statm && fscanf(statm, "%lu", &pages) == 1);
    fclose(statm);
    return pages * PAGE;
}

static void map_over_limit(void *argument)
{
    (void)argument;
    const char *path = make_file(scratch("file"), PAGE);
    mv_options o = with(MV_OPEN_WRITE);
    mv_view *view;
    set_limit(RLIMIT_AS, address_space_used() + ((uint64_t)128 << 20));
    struct resources before = resources_now();
    o.reserve = (uint64_t)1 << 30;
    refuse_with(path, &o, -ENOMEM);
    FAILED_OP("mmap");
    o.flags |= MV_OPEN_TRUNCATE;
    refuse_with(path, &o, -ENOMEM);
    REFUSED(-ENOMEM, mv_anonymous((uint64_t)1 << 30, NULL, &view, ERR));
    CHECK(resources_same(before) && file_has_pattern(path, 0, PAGE));
    close_view(open_view(path, MV_OPEN_WRITE));
}

static void test_address_space_limit(void **state)
{
    (void)state;
    in_child(map_over_limit, NULL);
}

/* Takes every mapping that the kernel allows: neighbours of one protection are
 * one mapping, of two they are two. */
static bool take_all_mappings(void)
{
    const size_t most = 400000;
    unsigned char *start =
        mmap(NULL, most * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    CHECK(start != MAP_FAILED);
    for (size_t i = 1; i < most; i += 2) {
        if (mprotect(start + i * PAGE, PAGE, PROT_READ) == 0)
            continue;
        SAME(errno, ENOMEM);
        return true;
    }
    return false;
}

static void open_without_mappings(void *argument)
{
    (void)argument;
    const char *path = make_file(scratch("file"), 10 * PAGE);
    mv_view *view = open_view(path, MV_OPEN_WRITE), *other;
    if (!take_all_mappings())
        skip_test("vm.max_map_count is too high to be reached");
    long heap_before = failing_heap();
    mv_options o = with(MV_OPEN_CREATE | MV_OPEN_EXCLUSIVE | MV_OPEN_WRITE);
    char new[512];
    snprintf(new, sizeof new, "%s", scratch("new"));
    /* One or two are left after the refusal: they are used up first. */
    mv_view *last[8];
    int lasts = 0, r = 0;
    while (lasts < 8 && (r = mv_open(path, NULL, &last[lasts], NULL)) == 0)
        lasts++;
    SAME(r, -ENOMEM);
    refuse_with(path, NULL, -ENOMEM);
    FAILED_OP("mmap");
    refuse_with(new, &o, -ENOMEM);
    CHECK(!file_exists(new));
    REFUSED(-ENOMEM, mv_anonymous(PAGE, NULL, &other, ERR));
    REFUSED(-ENOMEM, mv_protect(view, PAGE, PAGE, MV_READ, ERR));
    check_usable(view);
    /* A detach needs no new mapping. */
    WORKS(mv_detach(view, ERR));
    SAME(touch(mv_data(view), MV_READ), SIGSEGV);
    close_view(view);
    while (lasts > 0)
        close_view(last[--lasts]);
    SAME(failing_heap(), heap_before - 1); /* view's own */
    close_view(open_view(path, MV_OPEN_WRITE));
}

static void test_mapping_limit(void **state)
{
    (void)state;
    if (under_valgrind())
        skip_test("valgrind itself stops at fewer mappings than the kernel");
    if (under_sanitizer())
        skip_test("a sanitizer needs mappings of its own, and stops without");
    in_child(open_without_mappings, NULL);
}

static void open_without_descriptors(void *argument)
{
    (void)argument;
    const char *path = make_file(scratch("file"), PAGE);
    mv_view *view = open_view(path, 0), *other;
    int fd = open_file(path, O_RDWR);
    set_limit(RLIMIT_NOFILE, (uint64_t)fd + 1);
    while (open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC) >= 0)
        ;
    refuse_with(path, NULL, -EMFILE);
    REFUSED(-EMFILE, mv_anonymous(PAGE, NULL, &other, ERR));
    mv_options o = with(MV_OPEN_WRITE);
    REFUSED(-EMFILE, mv_open_fd(fd, &o, &other, ERR));
    REFUSED(-EMFILE, mv_refresh(view, ERR));
    o.flags = 0;
    WORKS(mv_open_fd(fd, &o, &other, ERR)); /* needs none */
    close_view(other);
    char byte;
    SAME(WORKS(mv_read(view, &byte, 1, 0, ERR)), 1);
    close_view(view);
    close(fd);
}

static void test_descriptor_limit(void **state)
{
    (void)state;
    in_child(open_without_descriptors, NULL);
}

/* ---- files that change between the look and the mapping ---- */

static uint64_t new_length;

static bool set_length(unsigned k, long *result, void *argument)
{
    (void)k;
    (void)result;
    cut_file(argument, new_length);
    return false;
}

/* Opens the file of 3 pages, which has length bytes when it is mapped. */
static int open_beside(const char *path, const mv_options *o, uint64_t length, mv_view **out)
{
    make_file(path, 3 * PAGE);
    new_length = length;
    failing_on(FAILING_mmap, set_length, (void *)(uintptr_t)path);
    int r = mv_open(path, o, out, ERR);
    failing_on(FAILING_mmap, NULL, NULL);
    return r;
}

static void test_cut_while_opening(void **state)
{
    (void)state;
    const char *path = scratch("file");
    mv_view *view;
    mv_options o = with(MV_OPEN_WRITE);
    /* A view up to the end ends where the file ends. */
    WORKS(open_beside(path, &o, PAGE + 10, &view));
    SAME(mv_size(view), PAGE + 10);
    CHECK(has_pattern(mv_data(view), PAGE + 10, 0));
    WORKS(mv_sync(view, 0, MV_TO_END, MV_SYNC_DATA, ERR));
    close_view(view);

    /* A part that is not there any more is an error. */
    o.offset = PAGE;
    o.length = PAGE;
    REFUSED(-MV_ETRUNCATED, open_beside(path, &o, PAGE + 10, &view));
    CHECK(!view);
    REFUSED(-MV_ETRUNCATED, open_beside(path, &o, 10, &view));
    o.length = 0;
    REFUSED(-MV_ETRUNCATED, open_beside(path, &o, 10, &view));
    WORKS(open_beside(path, &o, PAGE, &view));
    SAME(mv_size(view), 0);
    close_view(view);
}

static void test_cut_while_opening_to_read(void **state)
{
    (void)state;
    const char *path = scratch("file");
    mv_view *view;
    mv_options o = with(0);
    char byte;
    /* The whole file: as if it was cut a moment later. */
    WORKS(open_beside(path, &o, 10, &view));
    if (mv_size(view) > PAGE)
        REFUSED(-MV_ETRUNCATED, mv_read(view, &byte, 1, PAGE, ERR));
    WORKS(mv_refresh(view, ERR));
    SAME(mv_size(view), 10);
    close_view(view);

    /* A part must be there. */
    o.length = 2 * PAGE;
    REFUSED(-MV_ETRUNCATED, open_beside(path, &o, PAGE + 10, &view));
    o.length = 0;
    o.offset = PAGE;
    REFUSED(-MV_ETRUNCATED, open_beside(path, &o, 10, &view));
}

static void test_grown_while_opening(void **state)
{
    (void)state;
    const char *path = scratch("file");
    mv_view *view;
    mv_options o = with(MV_OPEN_WRITE);
    o.reserve = 10 * PAGE;
    WORKS(open_beside(path, &o, 5 * PAGE, &view));
    CHECK(mv_size(view) == 3 * PAGE || mv_size(view) == 5 * PAGE);
    WORKS(mv_refresh(view, ERR));
    SAME(mv_size(view), 5 * PAGE);
    close_view(view);
}

/* A descriptor may have been told its length a while ago: the open tells it anew. */
static void test_grown_before_opening_again(void **state)
{
    (void)state;
    const char *path = make_file(scratch("file"), 3 * PAGE);
    int fd = open_file(path, O_RDONLY);
    mv_view *view;
    new_length = 5 * PAGE;
    failing_on(FAILING_open, set_length, (void *)(uintptr_t)path);
    WORKS(mv_open_fd(fd, NULL, &view, ERR));
    failing_on(FAILING_open, NULL, NULL);
    SAME(mv_size(view), 5 * PAGE);
    close_view(view);
    close(fd);
}

/* file_size is a promise: it holds, or the call fails. */
static void test_cut_below_file_size(void **state)
{
    (void)state;
    const char *path = scratch("file");
    mv_view *view;
    mv_options o = with(MV_OPEN_WRITE);
    o.file_size = 2 * PAGE;
    support_prepare();
    int r = open_beside(path, &o, PAGE, &view);
    if (r == 0) {
        CHECK(mv_size(view) >= 2 * PAGE && file_length(path) >= 2 * PAGE);
        close_view(view);
    } else {
        SAME(r, -MV_ETRUNCATED);
    }
}

/* What another process appends in the middle of a growth stays. */
static void test_grown_while_growing(void **state)
{
    (void)state;
    const char *path = scratch("file");
    mv_view *view;
    mv_options o = with(MV_OPEN_WRITE);
    o.file_size = 4 * PAGE;
    WORKS(open_beside(path, &o, 5 * PAGE, &view));
    SAME(file_length(path), 5 * PAGE);
    CHECK(mv_size(view) >= 4 * PAGE);
    close_view(view);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_file_size_limit),
        TEST(test_file_over_the_limit),
        TEST(test_address_space_limit),
        TEST(test_mapping_limit),
        TEST(test_descriptor_limit),
        TEST(test_cut_while_opening),
        TEST(test_cut_while_opening_to_read),
        TEST(test_grown_while_opening),
        TEST(test_grown_before_opening_again),
        TEST(test_cut_below_file_size),
        TEST(test_grown_while_growing),
    };
    return RUN(tests);
}
