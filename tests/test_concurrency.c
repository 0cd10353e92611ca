/* test_concurrency.c: calls beside calls on one view. What comes back is right
 * data, fewer bytes, or one of the few errors that the manual names. */
#include "support.h"

#include <pthread.h>
#include <time.h>

/* ---- crews ---- */

enum { MOST_WORKERS = 8, MOVES = 60, LARGE = 12, SMALL = 2 /* pages */ };

/* What a worker returns for wrong bytes: no errno is as large. */
#define WRONG_BYTES (-10000)

/* A crew works on one view until its mover has made all its moves. Neither
 * checks anything: they hand back the first result that is not allowed. */
static struct crew {
    mv_view *view;
    const char *path;
    atomic_bool over;
    atomic_ulong rounds; /* of all the workers */
    int allowed[5];      /* the errors that may come back, up to a 0 */
    atomic_long wrong;
} crew;

typedef int64_t work(uint64_t *seed);
typedef int64_t move(unsigned i);

static void note(int64_t result)
{
    for (int i = 0; i < 5 && crew.allowed[i]; i++)
        if (result == crew.allowed[i])
            return;
    long none = 0;
    if (result < 0 && atomic_compare_exchange_strong(&crew.wrong, &none, (long)result))
        atomic_store(&crew.over, true);
}

struct worker {
    work *work;
    uint64_t seed;
};

static const struct timespec moment = {0, 20000};

static void *run_worker(void *argument)
{
    struct worker *worker = argument;
    while (!atomic_load(&crew.over)) {
        note(worker->work(&worker->seed));
        atomic_fetch_add(&crew.rounds, 1);
        if (under_valgrind()) /* where one thread runs at a time, and for long */
            nanosleep(&moment, NULL);
    }
    return NULL;
}

/* Waits until some worker has run beside a move. */
static void wait_for_workers(unsigned long before)
{
    while (atomic_load(&crew.rounds) <= before + 1 && !atomic_load(&crew.over))
        nanosleep(&moment, NULL);
}

static void begin_crew(mv_view *view, const char *path, const int *allowed)
{
    crew.view = view;
    crew.path = path;
    atomic_store(&crew.over, false);
    atomic_store(&crew.rounds, 0);
    atomic_store(&crew.wrong, 0);
    memset(crew.allowed, 0, sizeof crew.allowed);
    for (int i = 0; i < 5 && allowed[i]; i++)
        crew.allowed[i] = allowed[i];
}

static void run_crew(work *const *works, move *mover, unsigned moves)
{
    pthread_t threads[MOST_WORKERS];
    struct worker workers[MOST_WORKERS];
    int count = 0;
    for (; works[count]; count++) {
        workers[count] = (struct worker){works[count], (uint64_t)count + 1};
        CHECK(pthread_create(&threads[count], NULL, run_worker, &workers[count]) == 0);
    }
    for (unsigned i = 0; i < moves && !atomic_load(&crew.over); i++) {
        unsigned long before = atomic_load(&crew.rounds);
        note(mover(i));
        wait_for_workers(before);
    }
    atomic_store(&crew.over, true);
    for (int i = 0; i < count; i++)
        CHECK(pthread_join(threads[i], NULL) == 0);
    SAME(atomic_load(&crew.wrong), 0);
}

/* ---- workers ---- */

static uint64_t next_number(uint64_t *seed, uint64_t below)
{
    *seed = *seed * 6364136223846793005U + 1442695040888963407U;
    return (*seed >> 33) % below;
}

/* Every byte of the file is the pattern's, or zero where it was just added. */
static bool is_right(const unsigned char *bytes, uint64_t n, uint64_t off)
{
    for (uint64_t i = 0; i < n; i++)
        if (bytes[i] != pattern(off + i) && (bytes[i] != 0 || off + i < SMALL * PAGE))
            return false;
    return true;
}

static int64_t read_some(uint64_t *seed)
{
    unsigned char bytes[5000];
    mv_error err = MV_ERROR_INIT;
    uint64_t off = next_number(seed, LARGE * PAGE), n = next_number(seed, sizeof bytes);
    int64_t r = mv_read(crew.view, bytes, n, off, &err);
    uint64_t done = r < 0 ? err.done : (uint64_t)r;
    if (done > n || (r < 0 && r != -EBADF && (err.offset != off + done || err.code != r)))
        return WRONG_BYTES - 1;
    return is_right(bytes, done, off) ? r : WRONG_BYTES;
}

static int64_t write_some(uint64_t *seed)
{
    unsigned char bytes[5000];
    uint64_t off = next_number(seed, LARGE * PAGE), n = next_number(seed, sizeof bytes);
    for (uint64_t i = 0; i < n; i++)
        bytes[i] = pattern(off + i);
    return mv_write(crew.view, bytes, n, off, NULL);
}

static int64_t read_first_pages(uint64_t *seed)
{
    unsigned char bytes[SMALL * LARGEST_PAGE];
    (void)seed;
    int64_t r = mv_read(crew.view, bytes, SMALL * PAGE, 0, NULL);
    if (r >= 0 && r != (int64_t)(SMALL * PAGE))
        return WRONG_BYTES; /* these are always there */
    return r < 0 || has_pattern(bytes, SMALL * PAGE, 0) ? r : WRONG_BYTES;
}

/* What mv_size covers can be accessed through the raw pointer, as long as
 * nobody shrinks it. */
static int64_t load_raw(uint64_t *seed)
{
    uint64_t size = mv_size(crew.view);
    if (size == 0)
        return WRONG_BYTES;
    uint64_t off = next_number(seed, size);
    unsigned char byte = ((volatile unsigned char *)mv_data(crew.view))[off];
    return is_right(&byte, 1, off) ? 0 : WRONG_BYTES;
}

/* A number is right if each of its bytes is. */
static int64_t load_some(uint64_t *seed)
{
    unsigned char bytes[8];
    uint64_t value, off = next_number(seed, LARGE * PAGE / 8) * 8;
    int64_t r = mv_load(crew.view, off, 8, &value, NULL);
    memcpy(bytes, &value, r < 0 ? 0 : 8);
    return r < 0 || is_right(bytes, 8, off) ? r : WRONG_BYTES;
}

static int64_t store_some(uint64_t *seed)
{
    unsigned char bytes[8];
    uint64_t value, off = next_number(seed, LARGE * PAGE / 8) * 8;
    for (uint64_t i = 0; i < 8; i++)
        bytes[i] = pattern(off + i);
    memcpy(&value, bytes, 8);
    return mv_store(crew.view, off, 8, value, NULL);
}

struct stroll {
    uint64_t off;
    unsigned char seen[600];
};

/* Looks at bytes all over the view. Frames that a fault leaves have no end for
 * ThreadSanitizer: it need not know of their beginning. */
__attribute__((no_sanitize("thread"))) static int stroll(void *argument)
{
    struct stroll *s = argument;
    const volatile unsigned char *data = crew.view->data;
    for (size_t i = 0; i < sizeof s->seen; i++)
        s->seen[i] = data[s->off + i];
    return 1;
}

/* What is touched may be past the end of the view, but not of its mapping. */
static int64_t try_some(uint64_t *seed)
{
    struct stroll s = {.off = next_number(seed, LARGE * PAGE - sizeof s.seen)};
    int64_t r = mv_try(crew.view, stroll, &s, NULL);
    return r < 0 || is_right(s.seen, sizeof s.seen, s.off) ? r : WRONG_BYTES;
}

static int64_t sync_some(uint64_t *seed)
{
    uint32_t level = (uint32_t)next_number(seed, 3) + MV_SYNC_START;
    return mv_sync(crew.view, 0, MV_TO_END, level, NULL);
}

static int64_t probe_some(uint64_t *seed)
{
    uint32_t access = crew.view->writable && next_number(seed, 2) ? MV_WRITE : MV_READ;
    return mv_probe(crew.view, 0, MV_TO_END, access, NULL);
}

static int64_t ask_some(uint64_t *seed)
{
    mv_info info = MV_INFO_INIT;
    switch (next_number(seed, 4)) {
    case 0:
        return mv_stat(crew.view, &info, NULL);
    case 1:
        return mv_advise(crew.view, 0, MV_TO_END, MV_ADVICE_WILLNEED, NULL);
    case 2:
        return mv_has(crew.view, MV_HAS_ALLOCATE);
    default:
        return mv_data(crew.view) ? 0 : WRONG_BYTES;
    }
}

static int64_t refresh(uint64_t *seed)
{
    (void)seed;
    return mv_refresh(crew.view, NULL);
}

static int64_t protect_some(uint64_t *seed)
{
    uint32_t what = (uint32_t)next_number(seed, 3);
    return mv_protect(crew.view, 0, PAGE, what == 2 ? MV_READ | MV_WRITE : what, NULL);
}

static int64_t resize_some(uint64_t *seed)
{
    return mv_resize(crew.view, (SMALL + next_number(seed, LARGE - SMALL + 1)) * PAGE, NULL);
}

/* Each crew meets the guarded copies, and those of the kernel. */
static const uint64_t ways[] = {0, MV_OPEN_NO_HANDLER};

static mv_view *open_large(const char *path, uint64_t flags)
{
    mv_options o = with(flags);
    o.reserve = LARGE * PAGE;
    return open_with(make_file(path, LARGE * PAGE), &o);
}

/* ---- beside resize ---- */

static int64_t grow_and_shrink(unsigned i)
{
    return mv_resize(crew.view, (i % 2 ? LARGE : SMALL + i % 3) * PAGE, NULL);
}

static void test_copies_beside_resize(void **state)
{
    (void)state;
    static work *const works[] = {read_some, write_some, read_first_pages, ask_some, NULL};
    static const int allowed[5] = {-MV_ETRUNCATED};
    const char *const paths[] = {scratch("file"), scratch_memory("file")};
    for (size_t i = 0; i < 4; i++) {
        const char *path = paths[i % 2];
        mv_view *view = open_large(path, MV_OPEN_WRITE | ways[i / 2]);
        begin_crew(view, path, allowed);
        run_crew(works, grow_and_shrink, MOVES);
        WORKS(mv_resize(view, SMALL * PAGE, ERR));
        close_view(view);
        SAME(file_length(path), SMALL * PAGE);
        CHECK(file_has_pattern(path, 0, SMALL * PAGE));
    }
}

/* A number that is not whole in the view is -EINVAL; and what comes back into
 * being while somebody asks why it faulted is -EAGAIN. */
static void test_numbers_and_tries_beside_resize(void **state)
{
    (void)state;
    static work *const works[] = {load_some, store_some, try_some, try_some, NULL};
    static const int allowed[5] = {-MV_ETRUNCATED, -EINVAL, -EAGAIN};
    const char *const paths[] = {scratch("file"), scratch_memory("file")};
    for (size_t i = 0; i < 2; i++) {
        mv_view *view = open_large(paths[i], MV_OPEN_WRITE);
        begin_crew(view, paths[i], allowed);
        run_crew(works, grow_and_shrink, MOVES);
        WORKS(mv_resize(view, SMALL * PAGE, ERR));
        close_view(view);
        CHECK(file_has_pattern(paths[i], 0, SMALL * PAGE));
    }
}

/* Nobody cuts the file but the view itself: no sync may say so. */
static void test_sync_beside_resize(void **state)
{
    (void)state;
    static work *const works[] = {sync_some, sync_some, NULL};
    static const int allowed[5] = {0};
    mv_view *view = open_large(scratch_memory("file"), MV_OPEN_WRITE);
    begin_crew(view, NULL, allowed);
    run_crew(works, grow_and_shrink, 3 * MOVES);
    close_view(view);
}

static int64_t grow_only(unsigned i)
{
    uint64_t size = SMALL * PAGE + i * 600;
    return mv_resize(crew.view, size, NULL);
}

/* A new size may be used at once by whoever has read it. */
static void test_loads_beside_growth(void **state)
{
    (void)state;
    static work *const works[] = {load_raw, load_raw, NULL};
    static const int allowed[5] = {0};
    const char *path = scratch("file");
    mv_view *view = open_large(path, MV_OPEN_WRITE);
    WORKS(mv_resize(view, SMALL * PAGE, ERR));
    begin_crew(view, path, allowed);
    run_crew(works, grow_only, MOVES);
    CHECK(mv_size(view) > SMALL * PAGE);
    close_view(view);
}

/* They take turns: in the end file and view agree. */
static void test_resize_beside_resize(void **state)
{
    (void)state;
    static work *const works[] = {resize_some, resize_some, read_first_pages, refresh, NULL};
    static const int allowed[5] = {0};
    const char *path = scratch("file");
    mv_view *view = open_large(path, MV_OPEN_WRITE);
    begin_crew(view, path, allowed);
    run_crew(works, grow_and_shrink, MOVES);
    SAME(mv_size(view), file_length(path));
    close_view(view);
}

/* ---- beside refresh and foreign changes ---- */

static int64_t change_file(unsigned i)
{
    int fd = open(crew.path, O_WRONLY | O_CLOEXEC);
    int r = fd < 0 ? -1 : ftruncate(fd, (off_t)((i % 2 ? LARGE : SMALL) * PAGE));
    close(fd);
    return r < 0 ? WRONG_BYTES : mv_refresh(crew.view, NULL);
}

static void test_copies_beside_refresh(void **state)
{
    (void)state;
    static work *const readers[] = {read_some, read_first_pages, refresh, ask_some, NULL};
    static work *const writers[] = {read_some, write_some, refresh, probe_some, NULL};
    static const struct {
        uint64_t flags;
        work *const *works;
    } cases[] = {{0, readers}, {MV_OPEN_WRITE, writers}, {MV_OPEN_WRITE | MV_OPEN_PRIVATE, writers}};
    static const int allowed[5] = {-MV_ETRUNCATED};
    const char *const paths[] = {scratch("file"), scratch_memory("file")};
    for (size_t i = 0; i < 12; i++) {
        const char *path = paths[i / 3 % 2];
        mv_view *view = open_large(path, cases[i % 3].flags | ways[i / 6]);
        begin_crew(view, path, allowed);
        run_crew(cases[i % 3].works, change_file, MOVES);
        WORKS(mv_refresh(view, ERR));
        SAME(mv_size(view), file_length(path));
        close_view(view);
    }
}

/* ---- beside protect ---- */

static int64_t open_and_bar(unsigned i)
{
    static const uint32_t whats[] = {0, MV_READ, MV_READ | MV_WRITE};
    return mv_protect(crew.view, i % 5 * PAGE, 3 * PAGE, whats[i % 3], NULL);
}

static void test_copies_beside_protect(void **state)
{
    (void)state;
    static work *const works[] = {read_some, write_some, sync_some, protect_some, NULL};
    static work *const guarded[] = {load_some, store_some, try_some, protect_some, NULL};
    static const int barred[5] = {-EACCES}, barred_or_open[5] = {-EACCES, -EAGAIN};
    for (size_t i = 0; i < 3; i++) {
        mv_view *view = open_large(scratch("file"), MV_OPEN_WRITE | ways[i % 2]);
        begin_crew(view, NULL, i < 2 ? barred : barred_or_open);
        run_crew(i < 2 ? works : guarded, open_and_bar, MOVES);
        WORKS(mv_protect(view, 0, MV_TO_END, MV_READ | MV_WRITE, ERR));
        close_view(view);
        CHECK(file_has_pattern(scratch("file"), 0, LARGE * PAGE));
    }
}

/* ---- beside detach ---- */

static int64_t detach(unsigned i)
{
    (void)i;
    return mv_detach(crew.view, NULL);
}

/* Everything that can run, and then the end of it. */
static void test_everything_beside_detach(void **state)
{
    (void)state;
    static work *const everything[] = {read_some, write_some,  sync_some, probe_some,
                                       ask_some,  resize_some, refresh,   NULL};
    static work *const reading[] = {read_some, read_first_pages, probe_some, ask_some, refresh, NULL};
    static work *const guarded[] = {load_some, store_some, try_some, refresh, NULL};
    static work *const protecting[] = {read_some, write_some, protect_some, refresh, NULL};
    static const struct {
        uint64_t flags;
        work *const *works;
        int allowed[5];
    } cases[] = {
        {MV_OPEN_WRITE, everything, {-EBADF, -MV_ETRUNCATED}},
        {0, reading, {-EBADF}},
        {MV_OPEN_WRITE, protecting, {-EBADF, -EACCES}},
        {MV_OPEN_WRITE | MV_OPEN_PRIVATE, protecting, {-EBADF, -EACCES}},
        {MV_OPEN_WRITE, guarded, {-EBADF}},
        {MV_OPEN_WRITE | MV_OPEN_PRIVATE, guarded, {-EBADF}},
        {MV_OPEN_WRITE | MV_OPEN_NO_HANDLER, everything, {-EBADF, -MV_ETRUNCATED}},
        {MV_OPEN_NO_HANDLER, reading, {-EBADF}},
        {MV_OPEN_WRITE | MV_OPEN_NO_HANDLER, protecting, {-EBADF, -EACCES}},
    };
    const char *path = scratch("file");
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        for (int round = 0; round < 10; round++) {
            mv_view *view = open_large(path, cases[i].flags);
            struct mapping m;
            char byte;
            begin_crew(view, path, cases[i].allowed);
            run_crew(cases[i].works, detach, 2);
            /* It stays detached, whatever ran beside. */
            REFUSED(-EBADF, mv_read(view, &byte, 1, 0, ERR));
            SAME(mv_size(view), 0);
            CHECK(find_mapping(mv_data(view), &m) && strncmp(m.permissions, "---", 3) == 0);
            SAME(descriptors_of(-1, path), 0);
            close_view(view);
        }
}

/* A protect that comes too late must not open what is detached. */
static struct {
    _Atomic(mv_view *) view; /* to be protected; NULL: wait */
    atomic_uint protects;
    atomic_bool over;
} late;

static void *protect_until_detached(void *argument)
{
    while (!atomic_load(&late.over)) {
        mv_view *view = atomic_load(&late.view);
        if (!view)
            continue;
        if (mv_protect(view, 0, MV_TO_END, MV_READ | MV_WRITE, NULL) == -EBADF)
            atomic_store(&late.view, NULL);
        atomic_fetch_add(&late.protects, 1);
    }
    return argument;
}

/* Detaches a view that is being protected, at some moment or other. */
static bool is_open_after_detach(mv_view *view, unsigned moment_of_it)
{
    char byte;
    size_t done;
    atomic_store(&late.protects, 0);
    atomic_store(&late.view, view);
    while (atomic_load(&late.protects) < 2)
        ;
    for (volatile unsigned pause = 0; pause < moment_of_it; pause++)
        ;
    mv_detach(view, NULL);
    while (atomic_load(&late.view))
        ;
    return mv__copy_kernel(mv_data(view), &byte, 1, MV_READ, &done) == 0;
}

static void test_protect_beside_detach(void **state)
{
    (void)state;
    mv_view *view;
    pthread_t thread;
    unsigned opened = 0;
    mv_options o = with(MV_OPEN_PRIVATE);
    if (under_valgrind() || sysconf(_SC_NPROCESSORS_ONLN) < 2)
        skip_test("needs two threads that run at the same time");
    CHECK(pthread_create(&thread, NULL, protect_until_detached, NULL) == 0);
    for (unsigned i = 0; i < 5000 && mv_anonymous(PAGE, &o, &view, NULL) == 0; i++) {
        opened += is_open_after_detach(view, i % 500);
        mv_close(view, NULL);
    }
    atomic_store(&late.over, true);
    CHECK(pthread_join(thread, NULL) == 0);
    SAME(opened, 0);
}

/* ---- several views, several threads ---- */

static int64_t open_use_close(uint64_t *seed)
{
    mv_view *view;
    mv_options o = with(next_number(seed, 2) ? MV_OPEN_WRITE : 0);
    o.flags |= ways[next_number(seed, 2)];
    int fd, r = mv_open(crew.path, &o, &view, NULL);
    if (r < 0)
        return r;
    unsigned char byte = 0;
    int64_t n = mv_read(view, &byte, 1, next_number(seed, SMALL * PAGE), NULL);
    fd = mv_fd(view, NULL);
    if (fd >= 0)
        close(fd);
    r = mv_close(view, NULL);
    return n != 1 || byte == 0 ? WRONG_BYTES : fd < 0 ? fd : r;
}

static int64_t make_memory(unsigned i)
{
    mv_view *view;
    mv_options o = with(i % 2 ? MV_OPEN_PRIVATE : 0);
    int r = mv_anonymous(PAGE, &o, &view, NULL);
    return r < 0 ? r : mv_close(view, NULL);
}

static void test_many_views(void **state)
{
    (void)state;
    static work *const works[] = {open_use_close, open_use_close, open_use_close, NULL};
    static const int allowed[5] = {0};
    begin_crew(NULL, make_file(scratch("file"), SMALL * PAGE), allowed);
    run_crew(works, make_memory, MOVES);
}

/* Nobody has used the library before: what it asks of the kernel once, all ask
 * at the same time. */
static void first_use(void *argument)
{
    static work *const works[] = {open_use_close, open_use_close, open_use_close, open_use_close, NULL};
    static const int allowed[5] = {0};
    begin_crew(NULL, argument, allowed);
    run_crew(works, make_memory, 5);
}

static void test_first_use(void **state)
{
    (void)state;
    char path[512];
    snprintf(path, sizeof path, "%s", make_file(scratch("file"), SMALL * PAGE));
    for (int i = 0; i < 5; i++)
        in_child(first_use, path);
}

int main(void)
{
    const struct CMUnitTest first[] = {
        TEST(test_first_use),
    };
    const struct CMUnitTest tests[] = {
        TEST(test_copies_beside_resize),  TEST(test_numbers_and_tries_beside_resize),
        TEST(test_sync_beside_resize),    TEST(test_loads_beside_growth),
        TEST(test_resize_beside_resize),  TEST(test_copies_beside_refresh),
        TEST(test_copies_beside_protect), TEST(test_everything_beside_detach),
        TEST(test_protect_beside_detach), TEST(test_many_views),
    };
    int failed = cmocka_run_group_tests(first, support_group_begin_cold, support_group_end);
    return failed + RUN(tests);
}
