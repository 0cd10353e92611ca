/* Another process cuts and regrows the file all the time, under readers and
 * writers of every kind. Two seconds long; a minute with MAPVIEW_MINUTE=1. */
#include "support.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>

#define LENGTH (64 * (uint64_t)LARGEST_PAGE)
#define NEVER_CUT 5000U /* the file always has these bytes */
#define LARGEST_ACCESS 20000U

static mv_view *view;
static atomic_bool over;

/* What a thread found. */
struct finding {
    uint64_t seed;
    long done, faults;
    const char *wrong; /* the first thing that must not happen */
    int64_t result;
    uint64_t offset;
};

static uint64_t next(uint64_t *seed)
{
    *seed ^= *seed << 13;
    *seed ^= *seed >> 7;
    *seed ^= *seed << 17;
    return *seed;
}

static void say(struct finding *f, const char *wrong, int64_t result, uint64_t offset)
{
    if (f->wrong)
        return;
    f->wrong = wrong;
    f->result = result;
    f->offset = offset;
}

/* A byte is the file's, or a zero where the file has been cut. */
static bool is_right(unsigned char byte, uint64_t at)
{
    return byte == pattern(at) || (byte == 0 && at >= NEVER_CUT);
}

static void check_error(struct finding *f, int64_t result, uint64_t offset)
{
    f->faults++;
    if (result != -MV_ETRUNCATED && result != -EAGAIN)
        say(f, "an error that is not of a cut file", result, offset);
    if (offset < NEVER_CUT)
        say(f, "an error where the file is never cut", result, offset);
}

static void read_some(struct finding *f, uint64_t off, uint64_t n)
{
    static _Thread_local unsigned char buf[LARGEST_ACCESS];
    mv_error err = MV_ERROR_INIT;
    int64_t r = mv_read(view, buf, n, off, &err);
    uint64_t got = r < 0 ? err.done : (uint64_t)r;
    if (r < 0)
        check_error(f, r, err.offset);
    if (r < 0 && err.offset != off + err.done)
        say(f, "offset and done of mv_read contradict each other", r, err.offset);
    for (uint64_t i = 0; i < got; i++)
        if (!is_right(buf[i], off + i))
            say(f, "mv_read gave a wrong byte", buf[i], off + i);
    if (r >= 0 && got != n)
        say(f, "mv_read came back short", r, off);
}

static void write_some(struct finding *f, uint64_t off, uint64_t n)
{
    static _Thread_local unsigned char buf[LARGEST_ACCESS];
    mv_error err = MV_ERROR_INIT;
    for (uint64_t i = 0; i < n; i++)
        buf[i] = pattern(off + i);
    int64_t r = mv_write(view, buf, n, off, &err);
    if (r < 0)
        check_error(f, r, err.offset);
    else if ((uint64_t)r != n)
        say(f, "mv_write came back short", r, off);
}

static void load_number(struct finding *f, uint64_t off)
{
    uint64_t value = 0, zero = 0;
    unsigned char bytes[8];
    mv_error err = MV_ERROR_INIT;
    off &= ~UINT64_C(7);
    int r = mv_load(view, off, 8, &value, &err);
    if (r < 0) {
        check_error(f, r, err.offset);
        return;
    }
    memcpy(bytes, &value, 8);
    for (unsigned i = 0; value != zero && i < 8; i++)
        if (!is_right(bytes[i], off + i))
            say(f, "mv_load gave a wrong byte", bytes[i], off + i);
}

static void store_number(struct finding *f, uint64_t off)
{
    uint64_t value;
    unsigned char bytes[8];
    mv_error err = MV_ERROR_INIT;
    off &= ~UINT64_C(7);
    for (unsigned i = 0; i < 8; i++)
        bytes[i] = pattern(off + i);
    memcpy(&value, bytes, 8);
    int r = mv_store(view, off, 8, value, &err);
    if (r < 0)
        check_error(f, r, err.offset);
}

struct range {
    uint64_t off, n, wrong_at;
};

/* ThreadSanitizer would keep the frame that a fault leaves behind. */
__attribute__((no_sanitize("thread"))) static int look(void *argument)
{
    struct range *range = argument;
    const volatile unsigned char *bytes = mv_data(view);
    for (uint64_t at = range->off; at < range->off + range->n; at++)
        if (!is_right(bytes[at], at)) {
            range->wrong_at = at;
            return 1;
        }
    return 0;
}

static void try_to_look(struct finding *f, uint64_t off, uint64_t n)
{
    struct range range = {off, n, 0};
    mv_error err = MV_ERROR_INIT;
    int r = mv_try(view, look, &range, &err);
    if (r < 0)
        check_error(f, r, err.offset);
    if (r > 0)
        say(f, "mv_try's function saw a wrong byte", r, range.wrong_at);
    if (r < 0 && (err.offset < off || err.offset >= off + n))
        say(f, "mv_try named a byte that was not accessed", r, err.offset);
}

static void *work(void *argument)
{
    struct finding *f = argument;
    while (!atomic_load(&over) && !f->wrong) {
        uint64_t n = 1 + next(&f->seed) % LARGEST_ACCESS;
        uint64_t off = next(&f->seed) % (LENGTH - n - 8);
        switch (next(&f->seed) % 6) {
        case 0:
        case 1:
            read_some(f, off, n);
            break;
        case 2:
            write_some(f, off, n);
            break;
        case 3:
            load_number(f, off);
            break;
        case 4:
            store_number(f, off);
            break;
        default:
            try_to_look(f, off, n);
        }
        f->done++;
    }
    return NULL;
}

/* Runs until it is killed. */
__attribute__((noreturn)) static void cut_and_regrow(const char *path)
{
    uint64_t seed = 77;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    static unsigned char bytes[LENGTH];
    for (uint64_t i = 0; i < LENGTH; i++)
        bytes[i] = pattern(i);
    int fd = open(path, O_RDWR | O_CLOEXEC);
    for (;;) {
        uint64_t cut = NEVER_CUT + next(&seed) % (LENGTH - NEVER_CUT);
        struct timespec pause = {0, (long)(next(&seed) % 300000)};
        if (ftruncate(fd, (off_t)cut) != 0)
            _exit(1);
        nanosleep(&pause, NULL);
        if (ftruncate(fd, (off_t)LENGTH) != 0)
            _exit(1);
        if (next(&seed) % 2 && pwrite(fd, bytes + cut, LENGTH - cut, (off_t)cut) < 0)
            _exit(1);
        nanosleep(&pause, NULL);
    }
}

static void test_cut_and_regrown(void **state)
{
    (void)state;
    enum { THREADS = 4 };
    pthread_t threads[THREADS];
    struct finding found[THREADS] = {{0}};
    const char *minute = getenv("MAPVIEW_MINUTE");
    unsigned seconds = minute && strcmp(minute, "1") == 0 ? 60 : 2;
    const char *path = make_file(scratch("storm"), LENGTH);
    view = open_view(path, MV_OPEN_WRITE);
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0)
        cut_and_regrow(path);
    atomic_store(&over, false);
    for (int i = 0; i < THREADS; i++) {
        found[i].seed = 1000 + (uint64_t)i;
        CHECK(pthread_create(&threads[i], NULL, work, &found[i]) == 0);
    }
    sleep(seconds);
    atomic_store(&over, true);
    long done = 0, faults = 0;
    int status;
    for (int i = 0; i < THREADS; i++) {
        pthread_join(threads[i], NULL);
        done += found[i].done;
        faults += found[i].faults;
    }
    SAME(waitpid(child, &status, WNOHANG), 0); /* it has worked to the end */
    kill(child, SIGKILL);
    waitpid(child, &status, 0);
    print_message("%u s of cutting and regrowing: %ld accesses, %ld errors\n", seconds, done, faults);
    for (int i = 0; i < THREADS; i++)
        if (found[i].wrong)
            fail_msg("%s: %lld at %llu", found[i].wrong, (long long)found[i].result,
                     (unsigned long long)found[i].offset);
    CHECK(done > 0);
    CHECK(faults > 0);
    /* Usable again, and the sync tells the truth of the length. */
    cut_file(path, NEVER_CUT);
    REFUSED(-MV_ETRUNCATED, mv_sync(view, 0, MV_TO_END, MV_SYNC_DATA, ERR));
    cut_file(path, LENGTH);
    check_usable(view);
    close_view(view);
}

int main(void)
{
    const struct CMUnitTest tests[] = {TEST(test_cut_and_regrown)};
    return RUN(tests);
}
