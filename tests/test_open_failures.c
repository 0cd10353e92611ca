/* test_open_failures.c: the calls that begin and end a view, with each of
 * their system calls failed. */
#include "failures.h"

enum { PAGES = 4 };

/* What a case has to work with. */
static char path[512];
static mv_view *view; /* opened by the call, or before it */
static int fd = -1;   /* for mv_open_fd */

static uint64_t length_before(void)
{
    return PAGES * PAGE + 50;
}

static void prepare_nothing(void)
{
    snprintf(path, sizeof path, "%s", scratch("file"));
}

static void prepare_file(void)
{
    prepare_nothing();
    make_file(path, length_before());
}

static void prepare_descriptor(void)
{
    prepare_file();
    fd = open_file(path, O_RDWR);
}

static void prepare_unlinked(void)
{
    prepare_descriptor();
    unlink(path);
}

static mv_options growable(uint64_t flags)
{
    mv_options o = with(flags);
    o.offset = 100;
    o.reserve = 4 * PAGES * PAGE;
    return o;
}

static void clean(void)
{
    if (view)
        mv_close(view, NULL);
    if (fd >= 0)
        close(fd);
    unlink(path);
    view = NULL;
    fd = -1;
}

/* ---- what must hold afterwards ---- */

static void check_view(int64_t result)
{
    SAME(result < 0, view == NULL);
    if (!view)
        return;
    if (view->writable && mv_size(view) > 0)
        check_usable(view);
    if (view->shared)
        WORKS(mv_sync(view, 0, MV_TO_END, MV_SYNC_FULL, ERR));
    WORKS(mv_refresh(view, ERR));
    WORKS(mv_probe(view, 0, MV_TO_END, MV_READ, ERR));
}

static void check_file_unchanged(int64_t result)
{
    check_view(result);
    SAME(file_length(path), length_before());
    CHECK(file_has_pattern(path, 0, length_before()));
}

static void check_file_longer(int64_t result)
{
    check_view(result);
    SAME(file_length(path), result < 0 ? length_before() : 2 * PAGES * PAGE);
    CHECK(file_has_pattern(path, 0, length_before()));
}

/* Emptied when all else has succeeded but the allocation. */
static void check_file_emptied(int64_t result)
{
    if (result == 0)
        CHECK(file_length(path) == 2 * PAGES * PAGE && file_has_zeros(path, 0, 2 * PAGES * PAGE));
    else if (file_length(path) == 0)
        CHECK(strstr("fallocate fstatfs getrlimit", support_error.op));
    else
        CHECK(file_has_pattern(path, 0, length_before()) && file_length(path) == length_before());
    check_view(result);
}

/* Nothing is left of a file that only this call can have made. */
static void check_created(int64_t result)
{
    check_view(result);
    SAME(file_exists(path), result == 0);
    if (result == 0)
        SAME(file_length(path), PAGE);
}

static void check_maybe_created(int64_t result)
{
    check_view(result);
    if (result == 0)
        SAME(file_length(path), 0);
}

static void check_descriptor(int64_t result)
{
    check_view(result);
    CHECK(fcntl(fd, F_GETFD) >= 0);
}

/* ---- the calls ---- */

static int64_t open_to_read(void)
{
    return mv_open(path, NULL, &view, ERR);
}

static int64_t open_to_write(void)
{
    mv_options o = growable(MV_OPEN_WRITE | MV_OPEN_RANDOM);
    return mv_open(path, &o, &view, ERR);
}

static int64_t open_private(void)
{
    mv_options o = growable(MV_OPEN_WRITE | MV_OPEN_PRIVATE | MV_OPEN_SEQUENTIAL);
    return mv_open(path, &o, &view, ERR);
}

static int64_t create_exclusive(void)
{
    mv_options o = with(MV_OPEN_WRITE | MV_OPEN_CREATE | MV_OPEN_EXCLUSIVE);
    o.file_size = PAGE;
    return mv_open(path, &o, &view, ERR);
}

static int64_t create(void)
{
    mv_options o = with(MV_OPEN_WRITE | MV_OPEN_CREATE);
    return mv_open(path, &o, &view, ERR);
}

static int64_t truncate_and_grow(void)
{
    mv_options o = with(MV_OPEN_WRITE | MV_OPEN_TRUNCATE);
    o.file_size = 2 * PAGES * PAGE;
    return mv_open(path, &o, &view, ERR);
}

static int64_t open_longer(void)
{
    mv_options o = with(MV_OPEN_WRITE);
    o.file_size = 2 * PAGES * PAGE;
    return mv_open(path, &o, &view, ERR);
}

static int64_t open_fd_to_read(void)
{
    return mv_open_fd(fd, NULL, &view, ERR);
}

static int64_t open_fd_to_write(void)
{
    mv_options o = growable(MV_OPEN_WRITE);
    return mv_open_fd(fd, &o, &view, ERR);
}

static int64_t open_fd_sharing(void)
{
    mv_options o = growable(MV_OPEN_WRITE | MV_OPEN_SHARE_DESCRIPTION);
    return mv_open_fd(fd, &o, &view, ERR);
}

static int64_t make_memory(void)
{
    mv_options o = MV_OPTIONS_INIT;
    o.reserve = 4 * PAGES * PAGE;
    return mv_anonymous(PAGES * PAGE, &o, &view, ERR);
}

static int64_t make_private_memory(void)
{
    mv_options o = with(MV_OPEN_PRIVATE | MV_OPEN_SEQUENTIAL);
    return mv_anonymous(PAGES * PAGE, &o, &view, ERR);
}

static char memory_name[64];

static void prepare_name(void)
{
    prepare_nothing();
    snprintf(memory_name, sizeof memory_name, "/mapview-%d", (int)getpid());
    snprintf(path, sizeof path, "/dev/shm%s", memory_name);
}

static void prepare_named_memory(void)
{
    prepare_name();
    make_file(path, PAGE);
}

static int64_t create_named_memory(void)
{
    mv_options o = with(MV_OPEN_WRITE | MV_OPEN_CREATE | MV_OPEN_EXCLUSIVE);
    return mv_memory(memory_name, PAGE, &o, &view, ERR);
}

static int64_t unlink_memory(void)
{
    return mv_unlink_memory(memory_name, ERR);
}

static void check_unlinked(int64_t result)
{
    SAME(file_exists(path), result < 0);
}

static void check_memory(int64_t result)
{
    SAME(result < 0, view == NULL);
    if (view)
        check_usable(view);
}

/* ---- the end of a view ---- */

static void prepare_read_view(void)
{
    prepare_file();
    open_to_read();
}

static void prepare_write_view(void)
{
    prepare_file();
    open_to_write();
}

static void prepare_created_view(void)
{
    prepare_nothing();
    create();
}

static void prepare_private_view(void)
{
    prepare_file();
    open_private();
}

static void prepare_memory(void)
{
    prepare_nothing();
    make_memory();
}

static int64_t detach(void)
{
    return mv_detach(view, ERR);
}

/* Detached, or as it was. */
static void check_detached(int64_t result)
{
    char byte;
    if (result < 0) {
        SAME(WORKS(mv_read(view, &byte, 1, 0, ERR)), 1);
        WORKS(mv_detach(view, ERR));
    }
    SAME(mv_size(view), 0);
    REFUSED(-EBADF, mv_read(view, &byte, 1, 0, ERR));
}

/* The same of an empty view. */
static void check_size_gone(int64_t result)
{
    if (result < 0)
        WORKS(mv_detach(view, ERR));
    REFUSED(-EBADF, mv_sync(view, 0, 0, MV_SYNC_FULL, ERR));
}

static int64_t close_it(void)
{
    mv_view *closing = view;
    view = NULL;
    return mv_close(closing, ERR);
}

static void check_nothing(int64_t result)
{
    (void)result;
}

/* clang-format off */

/* A view whose file's name cannot be found keeps a descriptor. Where it is the
 * folder of a created file, the whole file system will be synced for it. */
#define NAME MAY_FAIL(readlink), MAY_FAIL(lstat)
#define FOLDER {true, FAILING_open, 2, 0, 0, false}
/* Reading needs no description of its own. */
#define ANEW MAY_FAIL(open), {true, FAILING_fstat, 2, 0, 0, false}
/* Where nothing can be allocated, the file is only made longer. */
#define ONLY_LONGER {true, FAILING_fallocate, 0, -EOPNOTSUPP, 0, false}
/* A last look at what has just been given its length, or at the path. */
#define LAST_LOOK {true, FAILING_fstat, -1, 0, 0, false}
/* What stands behind the end is cleared, also without a look at it. */
#define TAIL MAY_FAIL(process_vm_readv)
/* Whoever does not know the file system writes by stores. */
#define STORES MAY_FAIL(fstatfs)
/* Hints at open may fail, and so may the close of what was only looked at. */
#define HINTS MAY_FAIL(madvise)
#define LOOKS MAY_FAIL(close)
#define NONE {false, FAILING_open, 0, 0, 0, false}

static const struct failing_case cases[] = {
    {"open to read", prepare_file, open_to_read, check_file_unchanged, clean, {NAME, LOOKS}},
    {"open to write", prepare_file, open_to_write, check_file_unchanged, clean, {HINTS, STORES}},
    {"open private", prepare_file, open_private, check_file_unchanged, clean, {HINTS, NAME, LOOKS}},
    {"create exclusively", prepare_nothing, create_exclusive, check_created, clean,
     {NAME, FOLDER, ONLY_LONGER, LAST_LOOK}},
    {"create", prepare_nothing, create, check_maybe_created, clean, {NAME, FOLDER}},
    {"truncate and grow", prepare_file, truncate_and_grow, check_file_emptied, clean,
     {ONLY_LONGER, LAST_LOOK}},
    {"open longer", prepare_file, open_longer, check_file_longer, clean,
     {TAIL, ONLY_LONGER, LAST_LOOK}},
    {"open fd to read", prepare_descriptor, open_fd_to_read, check_file_unchanged, clean,
     {ANEW, NAME, LOOKS}},
    {"open fd to write", prepare_descriptor, open_fd_to_write, check_file_unchanged, clean, {NONE}},
    {"open fd sharing", prepare_descriptor, open_fd_sharing, check_file_unchanged, clean, {ANEW}},
    {"open unlinked fd", prepare_unlinked, open_fd_to_read, check_descriptor, clean,
     {ANEW, LAST_LOOK, NAME}},
    {"make memory", prepare_nothing, make_memory, check_memory, clean, {ONLY_LONGER, LAST_LOOK}},
    {"create named memory", prepare_name, create_named_memory, check_created, clean,
     {NAME, FOLDER, ONLY_LONGER, LAST_LOOK}},
    {"unlink memory", prepare_named_memory, unlink_memory, check_unlinked, clean,
     {{true, FAILING_unlink, 0, -EPERM, -EACCES, false}}},
    {"make private memory", prepare_nothing, make_private_memory, check_memory, clean, {HINTS}},
    {"detach to read", prepare_read_view, detach, check_detached, clean, {MAY_FAIL(mmap)}},
    {"detach to write", prepare_write_view, detach, check_detached, clean, {MAY_FAIL(mmap), LOOKS}},
    {"detach privately", prepare_private_view, detach, check_detached, clean, {MAY_FAIL(mmap)}},
    {"detach created", prepare_created_view, detach, check_size_gone, clean, {MAY_FAIL(mmap), LOOKS}},
    {"detach memory", prepare_memory, detach, check_detached, clean, {MAY_FAIL(mmap), LOOKS}},
    {"close to read", prepare_read_view, close_it, check_nothing, clean, {NONE}},
    {"close to write", prepare_write_view, close_it, check_nothing, clean, {NONE}},
    {"close privately", prepare_private_view, close_it, check_nothing, clean, {NONE}},
    {"close created", prepare_created_view, close_it, check_nothing, clean,
     {{true, FAILING_close, 2, 0, 0, false}}},
    {"close memory", prepare_memory, close_it, check_nothing, clean, {NONE}},
};
/* clang-format on */

int main(void)
{
    return run_failing_cases(cases, sizeof cases / sizeof cases[0], OPENINGS);
}
