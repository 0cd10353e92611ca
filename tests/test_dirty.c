/* test_dirty.c: mv_dirty: every page that was written, in each way to know. */
#include "tracking.h"

#include <stdlib.h>

/* ---- arguments ---- */

static void test_arguments(void **state)
{
    (void)state;
    mv_view *none = NULL, *untracked = open_view(make_file(scratch("file"), PAGE), MV_OPEN_WRITE);
    mv_view *view = open_way(scratch("file"), MV_TRACK_MARKS, 0);
    REFUSED(-EINVAL, mv_dirty(none, 0, 1, ranges, 1, 0, ERR));
    REFUSED(-EINVAL, mv_dirty(untracked, 0, 1, ranges, 1, 0, ERR));
    FAILED_OP("dirty");
    for (uint32_t flags = 2; flags; flags <<= 1)
        REFUSED(-EINVAL, mv_dirty(view, 0, 1, ranges, 1, flags, ERR));
    REFUSED(-EINVAL, mv_dirty(view, 0, 1, NULL, 1, 0, ERR));
    REFUSED(-EINVAL, mv_dirty(view, mv_size(view) + 1, MV_TO_END, ranges, 1, 0, ERR));
    REFUSED(-EINVAL, mv_dirty(view, 0, mv_size(view) + 1, ranges, 1, 0, ERR));
    FAILED_OP("range");
    write_page(view, 0);
    SAME(WORKS(mv_dirty(view, 0, MV_TO_END, NULL, 0, MV_DIRTY_RESET, ERR)), 0);
    SAME(WORKS(mv_dirty(view, 5, 0, ranges, MOST_RANGES, MV_DIRTY_RESET, ERR)), 0);
    SAME(WORKS(mv_dirty(view, mv_size(view), MV_TO_END, ranges, MOST_RANGES, 0, ERR)), 0);
    SAME(look(view, 0), 1); /* none of these has reset it */
    SAME(info_of(untracked).tracking, MV_TRACK_NONE);
    close_view(untracked);
    close_view(view);
}

static void test_open(void **state)
{
    (void)state;
    mv_view *view;
    const char *path = make_file(scratch("file"), PAGE);
    mv_options o = with(MV_OPEN_TRACK);
    REFUSED(-EINVAL, mv_open(path, &o, &view, ERR)); /* nothing can be written */
    FAILED_OP("options");
    o.flags |= MV_OPEN_PRIVATE;
    REFUSED(-EINVAL, mv_open(path, &o, &view, ERR));
    /* Where there is no /proc either, what is left is the library's own. */
    failing_on(FAILING_userfaultfd, refuse, NULL);
    failing_on(FAILING_open, refuse, NULL);
    WORKS(mv_anonymous(PAGE, &o, &view, ERR));
    failing_reset();
    SAME(info_of(view).tracking, MV_TRACK_MARKS);
    close_view(view);
    /* A lack that may pass is an error, not a worse way for good. */
    static const int lacks[] = {-EMFILE, -ENFILE, -ENOMEM};
    for (size_t i = 0; i < 3; i++) {
        failing_arm(FAILING_userfaultfd, 1, lacks[i], false);
        REFUSED(lacks[i], mv_anonymous(PAGE, &o, &view, ERR));
        FAILED_OP("userfaultfd");
        failing_reset();
    }
    if (kernel_can_watch()) {
        failing_reset();
        failing_arm(FAILING_ioctl, 3, -ENOMEM, false); /* the arming */
        REFUSED(-ENOMEM, mv_anonymous(PAGE, &o, &view, ERR));
        failing_reset();
    }
}

/* ---- what is found ---- */

static void test_ranges(void **state)
{
    (void)state;
    for (size_t i = 0; i < WAYS; i++) {
        mv_view *view = open_file_way(tracks[i]);
        SAME(look(view, 0), 0);
        write_page(view, 0);
        write_page(view, 2);
        write_page(view, 3);
        SAME(WORKS(mv_write(view, "xy", 2, 6 * PAGE - 101, ERR)), 2); /* over an edge */
        write_page(view, TRACKED_PAGES - 1);
        for (int times = 0; times < 2; times++) { /* looking alone changes nothing */
            SAME(look(view, 0), 4);
            check_range(0, view, 0, 1);
            check_range(1, view, 2, 4);
            check_range(2, view, 5, 7);
            check_range(3, view, TRACKED_PAGES - 1, TRACKED_PAGES);
        }
        /* A part: every page that has a byte of it, whole. */
        SAME(WORKS(mv_dirty(view, 4 * PAGE - 101, 2 * PAGE, ranges, MOST_RANGES, 0, ERR)), 2);
        check_range(0, view, 3, 4);
        check_range(1, view, 5, 6);
        SAME(WORKS(mv_dirty(view, 4 * PAGE - 100, PAGE, ranges, MOST_RANGES, 0, ERR)), 0);
        close_view(view);
    }
}

static void test_reset(void **state)
{
    (void)state;
    for (size_t i = 0; i < RESETTABLE; i++) {
        mv_view *view = open_file_way(tracks[i]);
        write_page(view, 1);
        write_page(view, 4);
        SAME(pages_found(view, MV_DIRTY_RESET), 1 << 1 | 1 << 4);
        SAME(look(view, MV_DIRTY_RESET), 0);
        write_page(view, 4); /* again */
        SAME(pages_found(view, MV_DIRTY_RESET), 1 << 4);
        /* Only what is looked at. */
        write_page(view, 1);
        write_page(view, 7);
        SAME(WORKS(mv_dirty(view, 6 * PAGE, PAGE, ranges, MOST_RANGES, MV_DIRTY_RESET, ERR)), 0 + 1);
        SAME(pages_found(view, 0), 1 << 1);
        close_view(view);
    }
}

/* With little room the caller goes on from the end of the last range. */
static void test_little_room(void **state)
{
    (void)state;
    for (size_t i = 0; i < WAYS; i++)
        for (uint64_t room = 1; room <= 4; room++) {
            uint32_t flags = tracks[i] == MV_TRACK_PRIVATE ? 0 : MV_DIRTY_RESET;
            mv_view *view = open_file_way(tracks[i]);
            for (uint64_t page = 0; page < TRACKED_PAGES; page += 3) {
                write_page(view, page);
                write_page(view, page + 1);
            }
            uint64_t at = 0, found = 0;
            int64_t n;
            do {
                memset(ranges, 0xEE, sizeof ranges);
                n = WORKS(mv_dirty(view, at, MV_TO_END, ranges, room, flags, ERR));
                CHECK(n <= (int64_t)room && ranges[room].offset == 0xEEEEEEEEEEEEEEEE);
                for (int64_t k = 0; k < n; k++, found++)
                    check_range((size_t)k, view, found * 3, found * 3 + 2);
                if (n > 0)
                    at = ranges[n - 1].offset + ranges[n - 1].length;
                if (flags) /* what was not returned is still there */
                    SAME(pages_found(view, 0), 0x6DB & ~(((uint64_t)1 << found * 3) - 1));
            } while (n == (int64_t)room);
            SAME(found, TRACKED_PAGES / 3);
            close_view(view);
        }
}

/* More pages than are looked at in one go, and words of marks. */
static void test_large(void **state)
{
    (void)state;
    enum { LARGE = 70000 };
    for (size_t i = 0; i < WAYS; i++) {
        uint64_t flags = tracks[i] == MV_TRACK_PRIVATE ? MV_OPEN_PRIVATE : 0;
        mv_view *view = open_way(make_sparse(scratch("large"), LARGE * PAGE - 50), tracks[i], flags);
        static const uint64_t pages[] = {0, 63, 64, 16383, 16384, 32768, 65535, LARGE - 1};
        for (size_t k = 0; k < 8; k++)
            write_page(view, pages[k]);
        SAME(look(view, 0), 6);
        check_range(0, view, 0, 1);
        check_range(1, view, 63, 65);
        check_range(2, view, 16383, 16385);
        check_range(3, view, 32768, 32769);
        check_range(4, view, 65535, 65536);
        check_range(5, view, LARGE - 1, LARGE);
        SAME(WORKS(mv_dirty(view, 64 * PAGE, 32705 * PAGE, ranges, MOST_RANGES, 0, ERR)), 3);
        check_range(0, view, 64, 65);
        close_view(view);
    }
}

static int store_raw(void *argument)
{
    *(volatile unsigned char *)argument = 1;
    return 0;
}

/* Each way of writing that the library has, and of stores those that it sees. */
static void test_writes(void **state)
{
    (void)state;
    for (size_t i = 0; i < WAYS; i++) {
        bool sees_stores = tracks[i] != MV_TRACK_MARKS;
        mv_view *view = open_file_way(tracks[i]);
        unsigned char *data = mv_data(view);
        char bytes[10];
        uint64_t value;
        SAME(WORKS(mv_read(view, bytes, 10, 9 * PAGE, ERR)), 10);
        WORKS(mv_load(view, 9 * PAGE - 100, 8, &value, ERR));
        WORKS(mv_prefault(view, 0, MV_TO_END, MV_READ, ERR));
        SAME(look(view, 0), 0);
        WORKS(mv_store(view, PAGE - 100, 8, 1, ERR));
        WORKS(mv_prefault(view, 3 * PAGE - 100, 1, MV_WRITE, ERR));
        data[5 * PAGE - 100] = 1;
        SAME(WORKS(mv_try(view, store_raw, data + 7 * PAGE - 100, ERR)), 0);
        uint64_t seen = sees_stores ? 1 << 5 | 1 << 7 : 0;
        SAME(pages_found(view, 0), 1 << 1 | 1 << 3 | seen);
        close_view(view);
    }
}

/* The bytes that the library writes by the descriptor, past the page table. */
static bool bad_address(unsigned k, long *result, void *argument)
{
    (void)k;
    (void)argument;
    *result = -EFAULT;
    return true;
}

static void test_direct_write(void **state)
{
    (void)state;
    for (size_t i = 0; i < RESETTABLE; i++) {
        mv_view *view =
            open_way(make_file(scratch("file"), TRACKED_PAGES * PAGE), tracks[i], MV_OPEN_NO_HANDLER);
        failing_reset();
        failing_on(FAILING_process_vm_writev, bad_address, NULL);
        failing_on(FAILING_madvise, bad_address, NULL);
        write_page(view, 3);
        SAME(failing_count(FAILING_pwrite), 1);
        failing_reset();
        SAME(pages_found(view, MV_DIRTY_RESET), 1 << 3);
        close_view(view);
    }
}

static void test_discard(void **state)
{
    (void)state;
    for (size_t i = 0; i < RESETTABLE; i++) {
        mv_view *view = open_file_way(tracks[i]);
        write_page(view, 2);
        SAME(pages_found(view, MV_DIRTY_RESET), 1 << 2);
        WORKS(mv_discard(view, 2 * PAGE - 100, PAGE, ERR)); /* other bytes than before */
        SAME(pages_found(view, MV_DIRTY_RESET), 1 << 2);
        close_view(view);
    }
    mv_view *view = open_file_way(MV_TRACK_PRIVATE);
    write_page(view, 2);
    write_page(view, 3);
    WORKS(mv_discard(view, 2 * PAGE - 100, PAGE, ERR)); /* the copy is gone */
    SAME(pages_found(view, 0), 1 << 3);
    REFUSED(-EOPNOTSUPP, mv_dirty(view, 0, MV_TO_END, ranges, MOST_RANGES, MV_DIRTY_RESET, ERR));
    close_view(view);
}

/* Private views that the kernel watches can be reset as well. */
static void test_private(void **state)
{
    (void)state;
    mv_view *views[2] = {
        open_way(make_file(scratch("file"), TRACKED_PAGES * PAGE), MV_TRACK_KERNEL, MV_OPEN_PRIVATE)};
    mv_options o = with(MV_OPEN_TRACK | MV_OPEN_PRIVATE);
    WORKS(mv_anonymous(TRACKED_PAGES * PAGE, &o, &views[1], ERR));
    for (size_t i = 0; i < 2; i++) {
        unsigned char *data = mv_data(views[i]);
        uint64_t lead = views[i]->geometry.lead;
        SAME(data[6 * PAGE], i ? 0 : pattern(6 * PAGE + lead));
        SAME(look(views[i], 0), 0);
        data[4 * PAGE - lead] = 1;
        SAME(pages_found(views[i], MV_DIRTY_RESET), 1 << 4);
        SAME(look(views[i], 0), 0);
        data[4 * PAGE - lead] = 2;
        SAME(pages_found(views[i], MV_DIRTY_RESET), 1 << 4);
        WORKS(mv_discard(views[i], 4 * PAGE - lead, PAGE, ERR));
        SAME(pages_found(views[i], MV_DIRTY_RESET), 1 << 4);
        SAME(look(views[i], 0), 0);
        close_view(views[i]);
    }
}

/* What the kernel drops of the memory is at least not forgotten. */
static void test_reclaimed(void **state)
{
    (void)state;
    mv_view *view = open_file_way(MV_TRACK_KERNEL);
    unsigned char *data = mv_data(view);
    data[3 * PAGE] = 1;
    CHECK(msync(view->base, TRACKED_PAGES * PAGE, MS_SYNC) == 0);
    CHECK(madvise(view->base, TRACKED_PAGES * PAGE, MADV_DONTNEED) == 0);
    CHECK(pages_found(view, MV_DIRTY_RESET) & 1 << 3);
    CHECK(madvise(view->base, TRACKED_PAGES * PAGE, MADV_DONTNEED) == 0);
    SAME(data[4 * PAGE], pattern(4 * PAGE + 100)); /* is read in again */
    SAME(look(view, 0), 0);
    close_view(view);
}

/* ---- sizes ---- */

static void test_sizes(void **state)
{
    (void)state;
    for (size_t i = 0; i < RESETTABLE; i++) {
        mv_view *view = open_file_way(tracks[i]);
        unsigned char bytes[LARGEST_PAGE] = {1}; /* of a write that comes back short */
        SAME(WORKS(mv_write(view, bytes, PAGE, mv_size(view) - 1, ERR)), 1);
        SAME(look(view, MV_DIRTY_RESET), 1);
        WORKS(mv_resize(view, 2 * TRACKED_PAGES * PAGE - 100, ERR));
        SAME(look(view, 0), 0); /* new pages are not dirty */
        char byte;
        SAME(WORKS(mv_read(view, &byte, 1, (TRACKED_PAGES + 1) * PAGE, ERR)), 1);
        SAME(look(view, 0), 0);
        write_page(view, TRACKED_PAGES + 3); /* but when they are written */
        SAME(pages_found(view, MV_DIRTY_RESET), (uint64_t)1 << (TRACKED_PAGES + 3));
        WORKS(mv_resize(view, TRACKED_PAGES * PAGE - 100, ERR));
        SAME(look(view, 0), 0);
        WORKS(mv_resize(view, (TRACKED_PAGES + 2) * PAGE - 100, ERR)); /* zeros, where others were */
        SAME(pages_found(view, MV_DIRTY_RESET), (uint64_t)3 << TRACKED_PAGES);
        /* The same by others. */
        cut_file(scratch("file"), TRACKED_PAGES * PAGE);
        WORKS(mv_refresh(view, ERR));
        grow_file(scratch("file"), (TRACKED_PAGES + 1) * PAGE);
        WORKS(mv_refresh(view, ERR));
        SAME(pages_found(view, MV_DIRTY_RESET), (uint64_t)1 << TRACKED_PAGES);
        /* A shrink that failed. */
        write_page(view, TRACKED_PAGES);
        failing_reset();
        failing_arm(FAILING_ftruncate, 1, -EIO, false);
        REFUSED(-EIO, mv_resize(view, PAGE, ERR));
        failing_reset();
        CHECK(pages_found(view, 0) & (uint64_t)1 << TRACKED_PAGES);
        close_view(view);
    }
}

/* A growth that cannot be watched is taken for written. */
static void test_growth_without_watch(void **state)
{
    (void)state;
    mv_view *view = open_file_way(MV_TRACK_KERNEL);
    failing_reset();
    failing_arm(FAILING_ioctl, 1, -ENOMEM, false);
    WORKS(mv_resize(view, 2 * TRACKED_PAGES * PAGE - 100, ERR));
    CHECK(failing_fired());
    failing_reset();
    write_page(view, TRACKED_PAGES + 3);
    CHECK(pages_found(view, MV_DIRTY_RESET) & (uint64_t)1 << (TRACKED_PAGES + 3));
    write_page(view, TRACKED_PAGES + 3);
    CHECK(pages_found(view, MV_DIRTY_RESET) & (uint64_t)1 << (TRACKED_PAGES + 3));
    close_view(view);
}

/* Memory, and file systems in memory. */
static void test_memory(void **state)
{
    (void)state;
    for (size_t i = 0; i < RESETTABLE; i++) {
        mv_view *views[2];
        mv_options o = with(MV_OPEN_TRACK);
        if (tracks[i] != MV_TRACK_KERNEL)
            failing_on(FAILING_userfaultfd, refuse, NULL);
        o.reserve = 2 * TRACKED_PAGES * PAGE;
        WORKS(mv_anonymous(TRACKED_PAGES * PAGE, &o, &views[0], ERR));
        failing_reset();
        views[1] = open_way(make_file(scratch_memory("file"), TRACKED_PAGES * PAGE), tracks[i], 0);
        for (size_t k = 0; k < 2; k++) {
            write_page(views[k], 2);
            SAME(pages_found(views[k], MV_DIRTY_RESET), 1 << 2);
            WORKS(mv_resize(views[k], (TRACKED_PAGES + 2) * PAGE, ERR));
            SAME(look(views[k], 0), 0);
            write_page(views[k], 3);
            WORKS(mv_sync(views[k], 0, MV_TO_END, MV_SYNC_DATA, ERR));
            SAME(look(views[k], 0), 0);
            close_view(views[k]);
        }
        unlink(scratch_memory("file"));
    }
}

static long status_kib(const char *field)
{
    char line[256];
    long kib = -1;
    FILE *status = fopen("/proc/self/status", "r");
    CHECK(status);
    while (kib < 0 && fgets(line, sizeof line, status))
        if (strncmp(line, field, strlen(field)) == 0)
            kib = strtol(line + strlen(field), NULL, 10);
    CHECK(fclose(status) == 0 && kib >= 0);
    return kib;
}

/* The reservation costs nothing that the view does not show. */
static void test_large_reservation(void **state)
{
    (void)state;
    mv_options o = with(MV_OPEN_WRITE | MV_OPEN_TRACK);
    o.reserve = (uint64_t)1 << 40;
    long before = status_kib("VmPTE:") + status_kib("VmRSS:");
    mv_view *view = open_with(make_file(scratch("file"), PAGE), &o);
    long after = status_kib("VmPTE:") + status_kib("VmRSS:");
    CHECK(after - before < 1024);
    write_page(view, 0);
    SAME(look(view, MV_DIRTY_RESET), 1);
    close_view(view);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_arguments),
        TEST(test_open),
        TEST(test_ranges),
        TEST(test_reset),
        TEST(test_little_room),
        TEST(test_large),
        TEST(test_writes),
        TEST(test_direct_write),
        TEST(test_discard),
        TEST(test_private),
        TEST(test_reclaimed),
        TEST(test_sizes),
        TEST(test_growth_without_watch),
        TEST(test_memory),
        TEST(test_large_reservation),
    };
    return RUN(tests);
}
