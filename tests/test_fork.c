/* test_fork.c: what a child of fork can do with the views of its parent. */
#include "support.h"

#include <pthread.h>
#include <sched.h>
#include <semaphore.h>

/* Every call that a child may not make, with its own words. */
static void refuse_all(mv_view *view)
{
    mv_info info = MV_INFO_INIT;
    REFUSED(-ECHILD, mv_detach(view, ERR));
    FAILED_OP("fork");
    REFUSED(-ECHILD, mv_probe(view, 0, 1, MV_READ, ERR));
    for (uint32_t level = MV_SYNC_START; level <= MV_SYNC_FULL; level++)
        REFUSED(-ECHILD, mv_sync(view, 0, 1, level, ERR));
    REFUSED(-ECHILD, mv_resize(view, 1, ERR));
    REFUSED(-ECHILD, mv_refresh(view, ERR));
    REFUSED(-ECHILD, mv_advise(view, 0, 1, 0, ERR));
    REFUSED(-ECHILD, mv_prefetch(view, NULL, 0, ERR));
    REFUSED(-ECHILD, mv_prefault(view, 0, 1, MV_READ, ERR));
    REFUSED(-ECHILD, mv_discard(view, 0, 1, ERR));
    REFUSED(-ECHILD, mv_dirty(view, 0, 1, NULL, 0, 0, ERR));
    REFUSED(-ECHILD, mv_pin(view, 0, 1, ERR));
    REFUSED(-ECHILD, mv_unpin(view, 0, 1, ERR));
    REFUSED(-ECHILD, mv_protect(view, 0, 1, MV_READ, ERR));
    REFUSED(-ECHILD, mv_stat(view, &info, ERR));
    REFUSED(-ECHILD, mv_fd(view, ERR));
    for (uint32_t capability = 0; capability < 8; capability++)
        SAME(mv_has(view, capability), -ECHILD);
}

struct shown {
    mv_view *view;
    uint64_t flags;
    void *data;
    uint64_t size;
};

static int first_byte(void *argument)
{
    return *(volatile unsigned char *)mv_data(argument);
}

static void use_guarded(mv_view *view)
{
    uint64_t value = 0;
    unsigned char byte;
    SAME(WORKS(mv_read(view, &byte, 1, 0, ERR)), 1);
    WORKS(mv_load(view, 0, 1, &value, ERR));
    CHECK(byte == pattern(0) && value == pattern(0));
    SAME(WORKS(mv_try(view, first_byte, view, ERR)), pattern(0));
    if (view->writable)
        WORKS(mv_store(view, 0, 1, value, ERR));
}

static void use_parents_view(void *argument)
{
    const struct shown *parent = argument;
    unsigned char bytes[100];
    CHECK(mv_data(parent->view) == parent->data);
    SAME(mv_size(parent->view), parent->size);
    SAME(WORKS(mv_read(parent->view, bytes, 100, parent->size - 50, ERR)), 50);
    CHECK(has_pattern(bytes, 50, parent->size - 50));
    if (parent->view->writable)
        SAME(WORKS(mv_write(parent->view, "child", 5, 10, ERR)), 5);
    else
        REFUSED(-EACCES, mv_write(parent->view, "child", 5, 10, ERR));
    refuse_all(parent->view);
    failing_reset();
    if (parent->flags & MV_OPEN_NO_HANDLER)
        SAME(WORKS(mv_read(parent->view, bytes, 1, 0, ERR)), 1);
    else
        use_guarded(parent->view);
    /* Guarded, or by the kernel, as in the parent. */
    SAME(failing_count(FAILING_process_vm_readv) > 0, (parent->flags & MV_OPEN_NO_HANDLER) != 0);
    close_view(parent->view);
    SAME(failing_count(FAILING_munmap), 1);
}

static void check_kind(uint64_t flags)
{
    const char *path = make_file(scratch("file"), 3 * PAGE);
    mv_view *view = open_view(path, flags);
    struct shown parent = {view, flags, mv_data(view), mv_size(view)};
    in_child(use_parents_view, &parent);
    /* The child's close and its writes: what of it the parent sees. */
    SAME(mv_size(view), 3 * PAGE);
    SAME(memcmp((char *)mv_data(view) + 10, "child", 5) == 0, view->shared && view->writable);
    WORKS(mv_refresh(view, ERR));
    if (view->shared)
        WORKS(mv_sync(view, 0, MV_TO_END, MV_SYNC_FULL, ERR));
    close_view(view);
}

static void test_what_works(void **state)
{
    (void)state;
    static const uint64_t ways[] = {0, MV_OPEN_NO_HANDLER};
    for (size_t i = 0; i < 2; i++) {
        check_kind(ways[i]);
        check_kind(MV_OPEN_WRITE | ways[i]);
        check_kind(MV_OPEN_PRIVATE | ways[i]);
        check_kind(MV_OPEN_WRITE | MV_OPEN_PRIVATE | ways[i]);
    }
}

static void use_parents_memory(void *argument)
{
    mv_view *const *views = argument;
    for (int i = 0; i < 2; i++) {
        refuse_all(views[i]);
        CHECK(memcmp(mv_data(views[i]), "parent", 6) == 0);
        SAME(WORKS(mv_write(views[i], "child!", 6, 0, ERR)), 6);
        close_view(views[i]);
    }
}

/* Memory is shared with the child, private memory is copied. */
static void test_memory(void **state)
{
    (void)state;
    mv_options o = with(MV_OPEN_PRIVATE);
    mv_view *views[2] = {open_memory(PAGE, 0)};
    WORKS(mv_anonymous(PAGE, &o, &views[1], ERR));
    for (int i = 0; i < 2; i++)
        memcpy(mv_data(views[i]), "parent", 6);
    in_child(use_parents_memory, views);
    CHECK(memcmp(mv_data(views[0]), "child!", 6) == 0);
    CHECK(memcmp(mv_data(views[1]), "parent", 6) == 0);
    WORKS(mv_resize(views[0], 10, ERR));
    close_view(views[0]);
    close_view(views[1]);
}

/* A cut file is an error in the child, too, with its reason. */
__attribute__((no_sanitize("thread"))) static int byte_that_is_cut(void *argument)
{
    return *((volatile unsigned char *)mv_data(argument) + 2 * PAGE);
}

static void read_cut_file(void *argument)
{
    mv_view *const *views = argument;
    char byte;
    uint64_t value;
    for (int i = 0; i < 4; i++) {
        REFUSED(-MV_ETRUNCATED, mv_read(views[i], &byte, 1, 2 * PAGE, ERR));
        AT(2 * PAGE, 1, 0);
        if (i < 2) {
            REFUSED(-MV_ETRUNCATED, mv_load(views[i], 2 * PAGE, 8, &value, ERR));
            AT(2 * PAGE, 8, 0);
            expect_faults(true);
            REFUSED(-MV_ETRUNCATED, mv_try(views[i], byte_that_is_cut, views[i], ERR));
            expect_faults(false);
            AT(2 * PAGE, 0, 0);
        }
        close_view(views[i]);
    }
}

static void test_cut_file(void **state)
{
    (void)state;
    const char *path = make_file(scratch("file"), 3 * PAGE);
    mv_view *views[4] = {open_view(path, MV_OPEN_WRITE), open_view(path, 0),
                         open_view(path, MV_OPEN_WRITE | MV_OPEN_NO_HANDLER),
                         open_view(path, MV_OPEN_NO_HANDLER)};
    cut_file(path, PAGE);
    in_child(read_cut_file, views);
    for (int i = 0; i < 4; i++)
        close_view(views[i]);
}

static void close_detached(void *argument)
{
    mv_view *view = argument;
    char byte;
    SAME(mv_size(view), 0);
    REFUSED(-EBADF, mv_read(view, &byte, 1, 0, ERR));
    REFUSED(-ECHILD, mv_detach(view, ERR));
    close_view(view);
}

static void close_failed_one(void *argument)
{
    close_failed(argument, -EIO);
}

static void test_detached_and_failed(void **state)
{
    (void)state;
    mv_view *view = open_view(make_file(scratch("file"), PAGE), MV_OPEN_WRITE);
    failing_reset();
    failing_arm(FAILING_msync, 1, -EIO, false);
    REFUSED(-EIO, mv_sync(view, 0, 1, MV_SYNC_DATA, ERR));
    in_child(close_failed_one, view);
    close_failed(view, -EIO);
    view = open_view(scratch("file"), MV_OPEN_WRITE);
    WORKS(mv_detach(view, ERR));
    in_child(close_detached, view);
    close_view(view);
}

/* ---- views of the child's own ---- */

static void refuse_in_grandchild(void *argument)
{
    mv_view *const *views = argument;
    refuse_all(views[0]);
    refuse_all(views[1]);
    close_view(views[0]);
    close_view(views[1]);
}

static void open_own(void *argument)
{
    mv_view *views[2] = {argument, open_view(scratch("file"), MV_OPEN_WRITE)};
    refuse_all(views[0]);
    mv_view *own = views[1];
    WORKS(mv_sync(own, 0, MV_TO_END, MV_SYNC_FULL, ERR));
    WORKS(mv_resize(own, 10, ERR));
    WORKS(mv_resize(own, PAGE, ERR));
    WORKS(mv_refresh(own, ERR));
    WORKS(mv_probe(own, 0, MV_TO_END, MV_READ | MV_WRITE, ERR));
    SAME(mv_has(own, MV_HAS_RESIZE), 1);
    in_child(refuse_in_grandchild, views);
    WORKS(mv_detach(own, ERR));
    close_view(own);
    close_view(views[0]);
}

static void test_own_views(void **state)
{
    (void)state;
    mv_view *view = open_view(make_file(scratch("file"), PAGE), MV_OPEN_WRITE);
    in_child(open_own, view);
    WORKS(mv_refresh(view, ERR));
    close_view(view);
}

static void same_pid_is_another(void *argument)
{
    refuse_all(argument);
    close_view(argument);
}

static void open_as_first(void *argument)
{
    mv_view *view = open_view(argument, MV_OPEN_WRITE);
    SAME(getpid(), 1);
    if (unshare(CLONE_NEWPID) < 0)
        skip_test("process name spaces do not nest here");
    in_child(same_pid_is_another, view); /* number 1 as well */
    close_view(view);
}

static void enter_name_space(void *argument)
{
    if (unshare(CLONE_NEWPID) < 0)
        skip_test("a process name space can be made by root only");
    in_child(open_as_first, argument);
}

static void test_name_spaces(void **state)
{
    (void)state;
    char path[512];
    snprintf(path, sizeof path, "%s", make_file(scratch("file"), PAGE));
    in_child(enter_name_space, path);
}

/* ---- no lock is waited for ---- */

/* A thread of the parent that holds a lock of the view while the main thread
 * forks: in the child nobody will ever give that lock back. */
struct holder {
    mv_view *view;
    void (*call)(mv_view *view);
    sem_t inside, go_on;
};

static bool wait_inside(unsigned k, long *result, void *argument)
{
    struct holder *holder = argument;
    (void)result;
    if (k == 1) {
        sem_post(&holder->inside);
        sem_wait(&holder->go_on);
    }
    return false;
}

static void *hold(void *argument)
{
    struct holder *holder = argument;
    holder->call(holder->view);
    return NULL;
}

static void resize_it(mv_view *view)
{
    mv_resize(view, 2 * PAGE, NULL);
}

static void refresh_it(mv_view *view)
{
    mv_refresh(view, NULL);
}

static void sync_it(mv_view *view)
{
    mv_sync(view, 0, MV_TO_END, MV_SYNC_FULL, NULL);
}

static void protect_it(mv_view *view)
{
    mv_protect(view, 0, 1, MV_READ, NULL);
}

static void use_beside_lock(void *argument)
{
    mv_view *view = argument;
    char byte;
    alarm(20);
    failing_reset(); /* the hook is the parent's */
    refuse_all(view);
    SAME(WORKS(mv_read(view, &byte, 1, 0, ERR)), 1);
    SAME(WORKS(mv_write(view, &byte, 1, 0, ERR)), 1);
    close_view(view);
    mv_view *own = open_view(scratch("other"), MV_OPEN_WRITE);
    WORKS(mv_sync(own, 0, MV_TO_END, MV_SYNC_FULL, ERR));
    close_view(own);
}

static void test_locks_of_the_parent(void **state)
{
    (void)state;
    static const struct {
        void (*call)(mv_view *view);
        enum failing_call at;
    } cases[] = {
        {resize_it, FAILING_fallocate},
        {refresh_it, FAILING_fstat},
        {sync_it, FAILING_fsync},
        {protect_it, FAILING_mprotect},
    };
    make_file(scratch("other"), PAGE);
    for (size_t i = 0; i < 4; i++) {
        pthread_t thread;
        mv_options o = with(MV_OPEN_WRITE | MV_OPEN_CREATE);
        o.reserve = 4 * PAGE;
        o.file_size = PAGE;
        struct holder holder = {.view = open_with(scratch("file"), &o), .call = cases[i].call};
        CHECK(sem_init(&holder.inside, 0, 0) == 0 && sem_init(&holder.go_on, 0, 0) == 0);
        failing_reset();
        failing_on(cases[i].at, wait_inside, &holder);
        CHECK(pthread_create(&thread, NULL, hold, &holder) == 0);
        sem_wait(&holder.inside);
        in_child(use_beside_lock, holder.view);
        sem_post(&holder.go_on);
        CHECK(pthread_join(thread, NULL) == 0);
        failing_reset();
        close_view(holder.view);
        sem_destroy(&holder.inside);
        sem_destroy(&holder.go_on);
        unlink(scratch("file"));
    }
}

/* ---- the first thread need not live on ---- */

/* It has ended once its entry says zombie. */
static bool first_has_ended(void)
{
    char state = 0;
    FILE *stat = fopen("/proc/self/stat", "re");
    CHECK(stat && fscanf(stat, "%*d (%*[^)]) %c", &state) == 1);
    fclose(stat);
    return state == 'Z';
}

static void *work_without_first_thread(void *argument)
{
    (void)argument;
    while (!first_has_ended())
        sched_yield();
    mv_view *view = open_view(scratch("file"), MV_OPEN_WRITE), *memory = open_memory(PAGE, 4 * PAGE);
    int fd = open_file(scratch("file"), O_RDWR);
    mv_view *of_fd;
    mv_options o = with(MV_OPEN_WRITE);
    WORKS(mv_open_fd(fd, &o, &of_fd, ERR));
    check_usable(view);
    check_usable(memory);
    WORKS(mv_resize(memory, 3 * PAGE, ERR));
    WORKS(mv_sync(view, 0, MV_TO_END, MV_SYNC_FULL, ERR));
    close((int)WORKS(mv_fd(memory, ERR)));
    close_view(view);
    close_view(memory);
    close_view(of_fd);
    close(fd);
    mv_view *reading = open_view(scratch("file"), 0);
    WORKS(mv_refresh(reading, ERR));
    close_view(reading);
    fflush(NULL);
    _exit(0);
}

static void end_first_thread(void *argument)
{
    pthread_t other;
    (void)argument;
    CHECK(pthread_create(&other, NULL, work_without_first_thread, NULL) == 0);
    pthread_exit(NULL);
}

static void test_without_the_first_thread(void **state)
{
    (void)state;
    if (under_valgrind())
        skip_test("valgrind takes what only the first thread's stack points to for lost");
    make_file(scratch("file"), PAGE);
    in_child(end_first_thread, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_what_works),
        TEST(test_memory),
        TEST(test_cut_file),
        TEST(test_detached_and_failed),
        TEST(test_own_views),
        TEST(test_name_spaces),
        TEST(test_locks_of_the_parent),
        TEST(test_without_the_first_thread),
    };
    return RUN(tests);
}
