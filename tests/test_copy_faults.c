/* test_copy_faults.c: mv_read and mv_write, byte for byte: every size and
 * alignment, a fault at every place, and what happens in the midst of a copy. */
#include "support.h"

#include <stdlib.h>

/* What holds of the guarded copy holds of that of the kernel. */
static const uint64_t ways[] = {0, MV_OPEN_NO_HANDLER};

static void in_every_way(void (*function)(uint64_t way))
{
    for (size_t i = 0; i < 2; i++) {
        support_context = i ? "by the kernel" : "guarded";
        function(ways[i]);
    }
}

/* ---- sizes and alignments ---- */

enum { LARGEST = (1 << 20) + 1, MARGIN = 64, ALIGNMENTS = 32, ROOM = LARGEST + 4 * MARGIN };

/* A view and a buffer of ROOM bytes; right is pattern, and so are the bytes of
 * the view between two copies. */
struct scene {
    mv_view *view;
    unsigned char *buf, *right, *none;
};

static struct scene make_scene(uint64_t way)
{
    mv_options o = with(way);
    struct scene s = {NULL, malloc(ROOM), malloc(ROOM), calloc(1, ROOM)};
    CHECK(s.buf && s.right && s.none);
    WORKS(mv_anonymous(ROOM, &o, &s.view, ERR));
    for (size_t i = 0; i < ROOM; i++)
        s.right[i] = pattern(i);
    memcpy(mv_data(s.view), s.right, ROOM);
    return s;
}

static void free_scene(struct scene *s)
{
    close_view(s->view);
    free(s->buf);
    free(s->right);
    free(s->none);
}

/* Of the bytes around a copy none is touched. */
static void check_around(const struct scene *s, const unsigned char *bytes, size_t from, size_t n)
{
    CHECK(memcmp(bytes, s->none, from) == 0);
    CHECK(memcmp(bytes + from + n, s->none, MARGIN) == 0);
}

static void copy_one(const struct scene *s, size_t n, size_t in_view, size_t in_buf)
{
    unsigned char *data = mv_data(s->view);
    in_view += MARGIN;
    in_buf += MARGIN;
    memset(s->buf, 0, in_buf + n + MARGIN);
    SAME(mv_read(s->view, s->buf + in_buf, n, in_view, NULL), n);
    CHECK(memcmp(s->buf + in_buf, s->right + in_view, n) == 0);
    check_around(s, s->buf, in_buf, n);

    memset(data, 0, in_view + n + MARGIN);
    memcpy(s->buf + in_buf, s->right + in_buf + 1, n);
    SAME(mv_write(s->view, s->buf + in_buf, n, in_view, NULL), n);
    CHECK(memcmp(data + in_view, s->right + in_buf + 1, n) == 0);
    check_around(s, data, in_view, n);
    memcpy(data, s->right, in_view + n + MARGIN);
}

static void copy_small_sizes(uint64_t way)
{
    struct scene s = make_scene(way);
    size_t step = under_valgrind() || way ? 7 : 1;
    for (size_t n = 0; n <= 300; n++)
        for (size_t a = 0; a < ALIGNMENTS; a += step)
            for (size_t b = 0; b < ALIGNMENTS; b += step)
                copy_one(&s, n, a, b);
    free_scene(&s);
}

static void test_small_sizes(void **state)
{
    (void)state;
    in_every_way(copy_small_sizes);
}

static void copy_large_sizes(uint64_t way)
{
    static const size_t around[] = {512, 1024, 4096, 32768, 65536, LARGEST - 1};
    static const size_t alignments[][2] = {{0, 0}, {1, 0}, {0, 1}, {16, 0}, {13, 7}, {31, 16}, {5, 31}};
    struct scene s = make_scene(way);
    for (size_t i = 0; i < sizeof alignments / sizeof alignments[0]; i++) {
        const size_t *a = alignments[i];
        for (size_t n = 301; n < 4096; n += 37)
            copy_one(&s, n, a[0], a[1]);
        for (size_t k = 0; k < sizeof around / sizeof around[0]; k++)
            for (size_t n = around[k] - 1; n <= around[k] + 1; n++)
                copy_one(&s, n, a[0], a[1]);
    }
    free_scene(&s);
}

static void test_large_sizes(void **state)
{
    (void)state;
    in_every_way(copy_large_sizes);
}

/* ---- a fault at every place ---- */

/* The first bad byte of the view, or of the buffer: the edge. */
enum { PAGES = 40 };

static size_t edge(void)
{
    return PAGES / 2 * PAGE;
}

/* A copy of n bytes, p of them before the edge. */
typedef void place(const struct scene *s, size_t n, size_t p);

static void at_every_place(const struct scene *s, place *check)
{
    static const size_t sizes[] = {511, 1000, 4095, 4096, 4097, 32767, 32768, 40000, 65537};
    static const size_t places[] = {0, 1, 15, 16, 17, 31, 32, 33, 63, 64, 65, 127, 128, 129, 255, 500};
    size_t step = under_valgrind() ? 13 : 1;
    for (size_t n = 1; n <= 300; n += step)
        for (size_t p = 0; p < n; p += n <= 66 ? 1 : 7)
            check(s, n, p);
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++)
        for (size_t k = 0; k < sizeof places / sizeof places[0]; k++) {
            check(s, sizes[i], places[k]);
            check(s, sizes[i], sizes[i] - 1 - places[k]);
        }
}

/* What the faults of the next two are. */
static int code_of_read, code_of_write;

static void read_to_edge(const struct scene *s, size_t n, size_t p)
{
    unsigned char *buf = s->buf + (3 * n + p) % ALIGNMENTS;
    memset(buf, 0, n + MARGIN);
    REFUSED(code_of_read, mv_read(s->view, buf, n, edge() - p, ERR));
    AT(edge(), n - p, p);
    CHECK(memcmp(buf, s->right + edge() - p, p) == 0);
    CHECK(memcmp(buf + p, s->none, n - p + MARGIN) == 0);
}

static void write_to_edge(const struct scene *s, size_t n, size_t p)
{
    unsigned char *buf = s->buf + (3 * n + p) % ALIGNMENTS, *data = mv_data(s->view);
    memcpy(buf, s->right + 1, n);
    REFUSED(code_of_write, mv_write(s->view, buf, n, edge() - p, ERR));
    AT(edge(), n - p, p);
    CHECK(memcmp(data + edge() - p, s->right + 1, p) == 0);
    SAME(data[edge() - p - 1], s->right[edge() - p - 1]);
    memcpy(data + edge() - p, s->right + edge() - p, p);
}

static struct scene make_file_scene(uint64_t way)
{
    size_t size = PAGES * PAGE;
    struct scene s = {NULL, malloc(ROOM), malloc(size), calloc(1, ROOM)};
    CHECK(s.buf && s.right && s.none);
    for (size_t i = 0; i < size; i++)
        s.right[i] = pattern(i);
    s.view = open_view(make_file(scratch("file"), size), MV_OPEN_WRITE | way);
    return s;
}

static void meet_a_cut(uint64_t way)
{
    struct scene s = make_file_scene(way);
    code_of_read = code_of_write = -MV_ETRUNCATED;
    cut_file(scratch("file"), edge());
    at_every_place(&s, read_to_edge);
    at_every_place(&s, write_to_edge);
    CHECK(file_has_pattern(scratch("file"), 0, edge()));
    free_scene(&s);
}

static void test_cut(void **state)
{
    (void)state;
    in_every_way(meet_a_cut);
}

static void meet_protection(uint64_t way)
{
    struct scene s = make_file_scene(way);
    code_of_read = code_of_write = -EACCES;
    WORKS(mv_protect(s.view, edge(), PAGE, 0, ERR));
    at_every_place(&s, read_to_edge);
    at_every_place(&s, write_to_edge);
    WORKS(mv_protect(s.view, edge(), PAGE, MV_READ, ERR));
    at_every_place(&s, write_to_edge);
    free_scene(&s);
}

static void test_protection(void **state)
{
    (void)state;
    in_every_way(meet_protection);
}

/* The guarded copy gives an exact count also where the buffer ends; that of
 * the kernel may stop a little earlier. */
static size_t check_count(const struct scene *s, size_t n, size_t p, uint64_t off)
{
    size_t done = (size_t)support_error.done;
    if (s->view->guarded)
        SAME(done, p);
    CHECK(done <= p);
    AT(off + done, n - done, done);
    return done;
}

static void read_into_edge(const struct scene *s, size_t n, size_t p)
{
    unsigned char *buf = s->buf + edge() - p;
    uint64_t off = 70 + (3 * n + p) % ALIGNMENTS;
    memset(buf - MARGIN, 0, MARGIN + p);
    REFUSED(-EFAULT, mv_read(s->view, buf, n, off, ERR));
    size_t done = check_count(s, n, p, off);
    CHECK(memcmp(buf, s->right + off, done) == 0);
    CHECK(memcmp(buf - MARGIN, s->none, MARGIN) == 0);
}

static void write_from_edge(const struct scene *s, size_t n, size_t p)
{
    unsigned char *buf = s->buf + edge() - p, *data = mv_data(s->view);
    uint64_t off = 70 + (3 * n + p) % ALIGNMENTS;
    memcpy(buf, s->right + off + 1, p);
    REFUSED(-EFAULT, mv_write(s->view, buf, n, off, ERR));
    size_t done = check_count(s, n, p, off);
    CHECK(memcmp(data + off, s->right + off + 1, done) == 0);
    CHECK(memcmp(data + off + p, s->right + off + p, n - p + MARGIN) == 0);
    CHECK(memcmp(data, s->right, off) == 0);
    memcpy(data + off, s->right + off, p);
}

static void meet_the_end_of_the_buffer(uint64_t way)
{
    struct scene s = make_file_scene(way);
    free(s.buf);
    s.buf = mmap(NULL, PAGES * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(s.buf != MAP_FAILED && mprotect(s.buf + edge(), PAGES * PAGE - edge(), PROT_NONE) == 0);
    expect_faults(true);
    at_every_place(&s, read_into_edge);
    at_every_place(&s, write_from_edge);
    expect_faults(false);
    CHECK(munmap(s.buf, PAGES * PAGE) == 0);
    s.buf = NULL;
    free_scene(&s);
}

static void test_end_of_the_buffer(void **state)
{
    (void)state;
    in_every_way(meet_the_end_of_the_buffer);
}

/* ---- in the midst of a guarded copy ---- */

/* The view has as many pages as the trap, and copies begin in both a little
 * before the end of the first page: so a copy has just begun when it waits. */
enum { BEFORE = 100 };

static struct {
    mv_view *view;
    int result; /* of what came in between */
} midst;

static void detach_it(void *unused)
{
    (void)unused;
    midst.result = mv_detach(midst.view, NULL);
}

static void shrink_in_a_page(void *unused)
{
    (void)unused;
    midst.result = mv_resize(midst.view, 2 * PAGE + 5, NULL);
}

static void shrink_to_a_page(void *unused)
{
    (void)unused;
    midst.result = mv_resize(midst.view, PAGE, NULL);
}

static void shrink_to_before(void *unused)
{
    (void)unused;
    midst.result = mv_resize(midst.view, 10, NULL);
}

static void grow_it(void *unused)
{
    (void)unused;
    midst.result = mv_resize(midst.view, (TRAP_PAGES + 1) * PAGE, NULL);
}

static void bar_it(void *unused)
{
    (void)unused;
    midst.result = mv_protect(midst.view, 2 * PAGE, 1, 0, NULL);
}

static void cut_it(void *path)
{
    midst.result = truncate(path, (off_t)(2 * PAGE));
}

/* How to copy. The first copy on a view makes checks that later ones do not. */
struct manner {
    bool writing, first;
    size_t n;
};

/* Every manner, of a few blocks and of as many bytes as go another way. */
static struct manner manner(int i)
{
    return (struct manner){i & 1, i & 2, i & 4 ? (TRAP_PAGES - 1) * PAGE : 2 * PAGE};
}

enum { MANNERS = 8 };

/* A copy in whose midst something happens to the view. */
static int64_t copy_beside(struct manner how, void (*event)(void *), uint64_t *size)
{
    unsigned char byte;
    struct trap trap;
    mv_options o = with(MV_OPEN_WRITE);
    o.reserve = 2 * TRAP_PAGES * PAGE;
    static char path[512];
    snprintf(path, sizeof path, "%s", scratch("file"));
    mv_view *view = open_with(make_file(path, TRAP_PAGES * PAGE), &o);
    midst.view = view;
    midst.result = 1;
    if (!how.first)
        SAME(WORKS(mv_read(view, &byte, 1, 0, ERR)), 1);
    failing_reset();
    trap_make(&trap, event, path);
    uint64_t off = PAGE - BEFORE;
    unsigned char *buf = trap.bytes + PAGE - BEFORE;
    support_prepare();
    int64_t r =
        how.writing ? mv_write(view, buf, how.n, off, ERR) : mv_read(view, buf, how.n, off, ERR);
    mv_error seen = support_error;
    size_t done = r < 0 ? (size_t)seen.done : (size_t)r;
    *size = mv_size(view);
    if (*size > 0 && !how.writing)
        CHECK(has_pattern(buf, done, off));
    for (size_t i = 0; *size > 0 && how.writing && i < done; i++)
        SAME(((unsigned char *)view->data)[off + i], TRAP_BYTE);
    CHECK(trap_free(&trap));
    SAME(midst.result, 0);
    close_view(view);
    support_error = seen;
    return r;
}

static void test_end_in_the_midst(void **state)
{
    (void)state;
    static const struct {
        void (*event)(void *);
        bool leaves_all;
    } cases[] = {{shrink_in_a_page, false},
                 {shrink_to_a_page, false},
                 {shrink_to_before, false},
                 {grow_it, true}};
    if (under_valgrind())
        skip_test("valgrind does not know userfaultfd");
    for (int i = 0; i < 4 * MANNERS; i++) {
        uint64_t size, off = PAGE - BEFORE;
        struct manner how = manner(i % MANNERS);
        int64_t r = copy_beside(how, cases[i / MANNERS].event, &size);
        uint64_t left = size > off ? size - off : 0;
        /* More was copied than is left by then: the kernel gets no rest. */
        if (cases[i / MANNERS].event == shrink_in_a_page && !how.first)
            SAME(failing_count(FAILING_process_vm_readv) + failing_count(FAILING_process_vm_writev), 0);
        SAME(r, cases[i / MANNERS].leaves_all ? how.n : left);
    }
}

static void test_failure_in_the_midst(void **state)
{
    (void)state;
    static const struct {
        void (*event)(void *);
        int code;
    } cases[] = {{detach_it, -EBADF}, {bar_it, -EACCES}, {cut_it, -MV_ETRUNCATED}};
    if (under_valgrind())
        skip_test("valgrind does not know userfaultfd");
    for (int i = 0; i < 3 * MANNERS; i++) {
        uint64_t size;
        struct manner how = manner(i % MANNERS);
        REFUSED(cases[i / MANNERS].code, copy_beside(how, cases[i / MANNERS].event, &size));
        if (size > 0)
            AT(2 * PAGE, how.n - BEFORE - PAGE, BEFORE + PAGE);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_small_sizes),          TEST(test_large_sizes),       TEST(test_cut),
        TEST(test_protection),           TEST(test_end_of_the_buffer), TEST(test_end_in_the_midst),
        TEST(test_failure_in_the_midst),
    };
    return RUN(tests);
}
