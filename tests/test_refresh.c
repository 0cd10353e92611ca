/* test_refresh.c: views that follow the length of their file. */
#include "support.h"

#include <signal.h>

static mv_view *open_following(const char *path, uint64_t flags)
{
    mv_options o = with(flags);
    o.reserve = 64 * PAGE;
    return open_with(path, &o);
}

static const uint64_t every_kind[] = {0, MV_OPEN_WRITE, MV_OPEN_PRIVATE,
                                      MV_OPEN_WRITE | MV_OPEN_PRIVATE};

static void check_follows(mv_view *view, const char *path, uint64_t length)
{
    void *data = mv_data(view);
    cut_file(path, length);
    SAME(WORKS(mv_refresh(view, ERR)), 0);
    SAME(mv_size(view), length);
    CHECK(mv_data(view) == data);
}

static void test_follows(void **state)
{
    (void)state;
    const uint64_t lengths[] = {101, PAGE, PAGE, 30 * PAGE + 7, 64 * PAGE, 10 * PAGE, 99, 0, 5 * PAGE};
    for (size_t i = 0; i < 4; i++) {
        const char *path = make_file(scratch("file"), 100);
        mv_view *view = open_following(path, every_kind[i]);
        for (size_t k = 0; k < sizeof lengths / sizeof lengths[0]; k++)
            check_follows(view, path, lengths[k]);
        close_view(view);
    }
}

static void test_new_bytes_are_shown(void **state)
{
    (void)state;
    for (size_t i = 0; i < 4; i++) {
        const char *path = make_file(scratch("file"), 100);
        mv_view *view = open_following(path, every_kind[i]);
        unsigned char byte;
        CHECK(has_pattern(mv_data(view), 100, 0)); /* the page is in memory */
        write_file(path, "\xEE", 1, 5 * PAGE);
        SAME(WORKS(mv_read(view, &byte, 1, 5 * PAGE, ERR)), 0); /* not yet */
        WORKS(mv_refresh(view, ERR));
        SAME(WORKS(mv_read(view, &byte, 1, 5 * PAGE, ERR)), 1);
        SAME(byte, 0xEE);
        close_view(view);
    }
}

static void test_over_the_reservation(void **state)
{
    (void)state;
    for (size_t i = 0; i < 4; i++) {
        const char *path = make_file(scratch("file"), 100);
        mv_view *view = open_following(path, every_kind[i]);
        cut_file(path, 64 * PAGE + 1);
        REFUSED(-ENOMEM, mv_refresh(view, ERR));
        FAILED_OP("refresh");
        CHECK(strstr(support_error.text, "reserve"));
        SAME(mv_size(view), 100);
        check_follows(view, path, 64 * PAGE);
        close_view(view);
    }
}

/* A view of a part shrinks with the file and comes back, but goes no further. */
static void test_part_of_a_file(void **state)
{
    (void)state;
    for (size_t i = 0; i < 4; i++) {
        const char *path = make_file(scratch("file"), 10 * PAGE);
        mv_options o = with(every_kind[i]);
        o.offset = PAGE + 10;
        o.length = 3 * PAGE;
        mv_view *view = open_with(path, &o);
        static const struct {
            uint64_t pages, more, size_pages, size_more;
        } steps[] = {{20, 0, 3, 0}, {4, 10, 3, 0}, {4, 9, 2, 0}, {1, 11, 0, 1},
                     {1, 5, 0, 0},  {0, 0, 0, 0},  {9, 0, 3, 0}};
        for (size_t k = 0; k < sizeof steps / sizeof steps[0]; k++) {
            cut_file(path, steps[k].pages * PAGE + steps[k].more);
            WORKS(mv_refresh(view, ERR));
            uint64_t size = steps[k].size_pages * PAGE + steps[k].size_more;
            SAME(mv_size(view), size + (k == 2 ? PAGE - 1 : 0));
        }
        close_view(view);
    }
}

static void test_memory_and_private_memory(void **state)
{
    (void)state;
    mv_view *view = open_memory(100, 64 * PAGE);
    int fd = (int)WORKS(mv_fd(view, ERR)); /* somebody else may change its length */
    CHECK(ftruncate(fd, (off_t)(10 * PAGE)) == 0);
    WORKS(mv_refresh(view, ERR));
    SAME(mv_size(view), 10 * PAGE);
    check_usable(view);
    close(fd);
    close_view(view);

    mv_options o = with(MV_OPEN_PRIVATE);
    WORKS(mv_anonymous(100, &o, &view, ERR));
    WORKS(mv_refresh(view, ERR));
    SAME(mv_size(view), 100);
    close_view(view);
}

/* ---- private views ---- */

/* Stores stay here, the file's other bytes are shown as they are. */
static void test_private_stores(void **state)
{
    (void)state;
    const char *path = make_file(scratch("file"), 3 * PAGE);
    mv_view *view = open_following(path, MV_OPEN_WRITE | MV_OPEN_PRIVATE);
    memset((char *)mv_data(view) + 10, 0xEE, 100);
    SAME(WORKS(mv_write(view, "mine", 4, 2 * PAGE, ERR)), 4);
    CHECK(file_has_pattern(path, 0, 3 * PAGE));
    SAME(mv_has(view, MV_HAS_OWN_DESCRIPTION), 0);
    close_view(view);
    CHECK(file_has_pattern(path, 0, 3 * PAGE));
}

/* The last page was copied, with zeros behind the end of the file: what the
 * file has there by now is shown, and the stores before it are kept. */
static void check_tail(uint64_t offset, uint64_t old_end, uint64_t new_end)
{
    const char *path = make_file(scratch("file"), old_end);
    mv_options o = with(MV_OPEN_WRITE | MV_OPEN_PRIVATE);
    o.offset = offset;
    o.reserve = 64 * PAGE;
    mv_view *view = open_with(path, &o);
    unsigned char *data = mv_data(view);
    if (old_end > offset)
        data[old_end - offset - 1] = 0xEE; /* this copies the page */
    grow_file(path, new_end);
    WORKS(mv_refresh(view, ERR));
    SAME(mv_size(view), new_end - offset);
    CHECK(has_pattern(data + (old_end - offset), new_end - old_end, old_end));
    if (old_end > offset)
        SAME(data[old_end - offset - 1], 0xEE);
    close_view(view);
}

static void test_private_tail(void **state)
{
    (void)state;
    const uint64_t offsets[] = {0, 50, PAGE - 1};
    for (size_t i = 0; i < 3; i++) {
        check_tail(offsets[i], PAGE + 100, PAGE + 101);
        check_tail(offsets[i], PAGE + 100, 2 * PAGE);
        check_tail(offsets[i], PAGE + 100, 2 * PAGE + 1);
        check_tail(offsets[i], PAGE + 100, 10 * PAGE);
        check_tail(offsets[i], PAGE, 3 * PAGE);
        check_tail(offsets[i], PAGE - 1, PAGE);
    }
}

/* Twice within one page, and after a cut: what was stored behind the new end
 * does not show through. */
static void test_private_tail_after_a_cut(void **state)
{
    (void)state;
    const char *path = make_file(scratch("file"), PAGE);
    mv_view *view = open_following(path, MV_OPEN_WRITE | MV_OPEN_PRIVATE);
    unsigned char *data = mv_data(view);
    memset(data, 0xEE, PAGE);
    check_follows(view, path, 100);
    grow_file(path, 150);
    WORKS(mv_refresh(view, ERR));
    CHECK(has_pattern(data + 100, 50, 100));
    grow_file(path, PAGE + 50);
    WORKS(mv_refresh(view, ERR));
    CHECK(has_pattern(data + 100, PAGE - 50, 100));
    SAME(data[99], 0xEE);
    close_view(view);
}

/* A copied page that mv_protect has closed: the file's bytes get in all the
 * same, or the call says what is in the way and changes nothing. */
static void test_private_tail_under_protection(void **state)
{
    (void)state;
    const char *path = make_file(scratch("file"), 100);
    mv_view *view = open_following(path, MV_OPEN_WRITE | MV_OPEN_PRIVATE);
    unsigned char *data = mv_data(view);
    data[0] = 0xEE;
    WORKS(mv_protect(view, 0, MV_TO_END, MV_READ, ERR));
    grow_file(path, 200);
    int r = mv_refresh(view, support_prepare());
    if (r == 0) {
        CHECK(has_pattern(data + 100, 100, 100));
    } else {
        support_refused(r, -EACCES, "mv_refresh", __FILE__, __LINE__);
        SAME(mv_size(view), 100);
    }
    SAME(data[0], 0xEE);
    close_view(view);
}

/* ---- a foreign cut ---- */

/* What every call says of a file that somebody has cut, until mv_refresh. */
static void check_cut(mv_view *view, uint64_t size, uint64_t end)
{
    unsigned char bytes[3 * LARGEST_PAGE];
    uint64_t page_end = (end + PAGE - 1) / PAGE * PAGE;
    SAME(mv_size(view), size);
    /* Up to the end of its last page the kernel shows zeros. */
    SAME(WORKS(mv_read(view, bytes, 100, end - 50, ERR)), 100);
    CHECK(has_zeros(bytes + 50, 50));
    REFUSED(-MV_ETRUNCATED, mv_read(view, bytes, 3 * PAGE, page_end - PAGE + 1, ERR));
    AT(page_end, 2 * PAGE + 1, PAGE - 1);
    REFUSED(-MV_ETRUNCATED, mv_read(view, bytes, 1, size - 1, ERR));
    AT(size - 1, 1, 0);
    /* These look at the length. */
    REFUSED(-MV_ETRUNCATED, mv_probe(view, 1, MV_TO_END, MV_READ, ERR));
    AT(end, size - end, end - 1);
    REFUSED(-MV_ETRUNCATED, mv_probe(view, size - 5, 5, MV_READ, ERR));
    AT(size - 5, 5, 0);
    WORKS(mv_probe(view, 0, end, MV_READ, ERR));
    REFUSED(-MV_ETRUNCATED, mv_probe(view, 0, end + 1, MV_READ, ERR));
    AT(end, 1, end);
    REFUSED(-MV_ETRUNCATED, mv_prefault(view, 0, MV_TO_END, MV_READ, ERR));
    SAME(support_error.offset, page_end);
    SAME(support_error.done, page_end);
}

static void check_cut_sync(mv_view *view, uint64_t size, uint64_t end)
{
    for (uint32_t level = MV_SYNC_START; level <= MV_SYNC_FULL; level++) {
        REFUSED(-MV_ETRUNCATED, mv_sync(view, 1, MV_TO_END, level, ERR));
        AT(end, size - end, end - 1);
        REFUSED(-MV_ETRUNCATED, mv_sync(view, size - 5, 5, level, ERR));
        AT(size - 5, 5, 0);
        WORKS(mv_sync(view, 0, end, level, ERR)); /* this range is there */
    }
    CHECK(!(info_of(view).state & MV_STATE_FAILED)); /* nothing of it is kept */
}

static void test_foreign_cut(void **state)
{
    (void)state;
    const uint64_t size = 10 * PAGE, end = 3 * PAGE + 100;
    for (size_t i = 0; i < 4; i++) {
        const char *path = make_file(scratch("file"), size);
        mv_view *view = open_following(path, every_kind[i]);
        char byte;
        cut_file(path, end);
        check_cut(view, size, end);
        if (!(every_kind[i] & MV_OPEN_PRIVATE))
            check_cut_sync(view, size, end);
        SAME(touch((char *)mv_data(view) + 5 * PAGE, MV_READ), SIGBUS);

        WORKS(mv_refresh(view, ERR)); /* adopts it */
        SAME(mv_size(view), end);
        SAME(WORKS(mv_read(view, &byte, 1, 5 * PAGE, ERR)), 0);
        WORKS(mv_probe(view, 0, MV_TO_END, MV_READ, ERR));
        check_follows(view, path, 8 * PAGE); /* and a new growth */
        SAME(WORKS(mv_read(view, &byte, 1, 5 * PAGE, ERR)), 1);
        SAME(byte, 0);
        close_view(view);
    }
}

static void test_foreign_cut_of_stores(void **state)
{
    (void)state;
    static const uint64_t writing[] = {MV_OPEN_WRITE, MV_OPEN_WRITE | MV_OPEN_PRIVATE};
    unsigned char bytes[2 * LARGEST_PAGE] = {0};
    for (size_t i = 0; i < 2; i++) {
        const char *path = make_file(scratch("file"), 10 * PAGE);
        mv_view *view = open_following(path, writing[i]);
        memset((char *)mv_data(view) + 8 * PAGE, 0xEE, PAGE); /* a copy of its own, when private */
        cut_file(path, 3 * PAGE);
        REFUSED(-MV_ETRUNCATED, mv_write(view, bytes, 2 * PAGE, 2 * PAGE + 10, ERR));
        AT(3 * PAGE, PAGE + 10, PAGE - 10);
        REFUSED(-MV_ETRUNCATED, mv_write(view, bytes, 1, 8 * PAGE, ERR));
        AT(8 * PAGE, 1, 0);
        REFUSED(-MV_ETRUNCATED, mv_probe(view, 0, MV_TO_END, MV_WRITE, ERR));
        AT(3 * PAGE, 7 * PAGE, 3 * PAGE);
        REFUSED(-MV_ETRUNCATED, mv_prefault(view, 4 * PAGE + 5, 10, MV_WRITE, ERR));
        AT(4 * PAGE + 5, 0, 0);
        SAME(file_length(path), 3 * PAGE); /* nothing makes it longer */
        close_view(view);
    }
}

/* The view begins behind the new end. */
static void test_cut_before_the_view(void **state)
{
    (void)state;
    const char *path = make_file(scratch("file"), 10 * PAGE);
    mv_options o = with(MV_OPEN_WRITE);
    o.offset = 5 * PAGE + 100;
    o.reserve = 64 * PAGE;
    mv_view *view = open_with(path, &o);
    char byte;
    cut_file(path, PAGE);
    REFUSED(-MV_ETRUNCATED, mv_read(view, &byte, 1, 0, ERR));
    AT(0, 1, 0);
    REFUSED(-MV_ETRUNCATED, mv_sync(view, 7, MV_TO_END, MV_SYNC_DATA, ERR));
    AT(7, 5 * PAGE - 107, 0);
    REFUSED(-MV_ETRUNCATED, mv_probe(view, 7, 10, MV_READ, ERR));
    AT(7, 10, 0);
    REFUSED(-MV_ETRUNCATED, mv_resize(view, 10, ERR));
    SAME(support_error.offset, 0);
    WORKS(mv_refresh(view, ERR));
    SAME(mv_size(view), 0);
    SAME(file_length(path), PAGE);
    /* An empty view that begins behind the end of its file: it cannot grow
     * over bytes that it does not know. */
    REFUSED(-MV_ETRUNCATED, mv_resize(view, 10, ERR));
    SAME(file_length(path), PAGE);
    cut_file(path, 6 * PAGE);
    WORKS(mv_refresh(view, ERR));
    SAME(mv_size(view), PAGE - 100);
    WORKS(mv_resize(view, PAGE, ERR));
    close_view(view);
}

/* ---- resizing what was cut ---- */

static void test_resize_after_a_cut(void **state)
{
    (void)state;
    const char *path = scratch("file");
    mv_view *view = open_following(make_file(path, 10 * PAGE), MV_OPEN_WRITE);
    cut_file(path, PAGE + 100);
    const uint64_t sizes[] = {20 * PAGE, 10 * PAGE, 5 * PAGE, PAGE, 0};
    for (size_t i = 0; i < 5; i++) {
        REFUSED(-MV_ETRUNCATED, mv_resize(view, sizes[i], ERR));
        SAME(support_error.offset, PAGE + 100);
        FAILED_OP("resize");
    }
    SAME(mv_size(view), 10 * PAGE);
    SAME(file_length(path), PAGE + 100);
    WORKS(mv_refresh(view, ERR)); /* adopts it, and then it goes on */
    SAME(mv_size(view), PAGE + 100);
    WORKS(mv_resize(view, 20 * PAGE, ERR));
    SAME(mv_size(view), 20 * PAGE);
    SAME(file_length(path), 20 * PAGE);
    CHECK(has_pattern(mv_data(view), PAGE + 100, 0));
    CHECK(has_zeros((char *)mv_data(view) + PAGE + 100, 19 * PAGE - 100));
    close_view(view);
}

/* Bytes that were stored where the file had been cut do not come back. */
static void test_stores_behind_a_foreign_cut(void **state)
{
    (void)state;
    const char *path = scratch_memory("file");
    mv_view *view = open_following(make_file(path, PAGE), MV_OPEN_WRITE);
    cut_file(path, 100);
    memset((char *)mv_data(view) + 100, 0xEE, PAGE - 100);
    WORKS(mv_refresh(view, ERR));
    WORKS(mv_resize(view, PAGE, ERR));
    CHECK(has_zeros((char *)mv_data(view) + 100, PAGE - 100));
    close_view(view);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_follows),
        TEST(test_new_bytes_are_shown),
        TEST(test_over_the_reservation),
        TEST(test_part_of_a_file),
        TEST(test_memory_and_private_memory),
        TEST(test_private_stores),
        TEST(test_private_tail),
        TEST(test_private_tail_after_a_cut),
        TEST(test_private_tail_under_protection),
        TEST(test_foreign_cut),
        TEST(test_foreign_cut_of_stores),
        TEST(test_cut_before_the_view),
        TEST(test_resize_after_a_cut),
        TEST(test_stores_behind_a_foreign_cut),
    };
    return RUN(tests);
}
