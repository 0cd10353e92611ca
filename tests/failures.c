/* failures.c: makes each system call of a public call fail. */
#include "failures.h"

#include <stdlib.h>

/* An errno that a system call may well return. */
struct fitting {
    enum failing_call call;
    long result;
    bool again; /* it is made again until it succeeds: not to be failed for ever */
};

static const struct fitting fittings[] = {
    {FAILING_open, -EMFILE, false},
    {FAILING_open, -EACCES, false},
    {FAILING_open, -EINTR, true},
    {FAILING_close, -EIO, false},
    {FAILING_close, -EINTR, false},
    {FAILING_fcntl, -EMFILE, false},
    {FAILING_fstat, -EIO, false},
    {FAILING_fstatfs, -EIO, false},
    {FAILING_lstat, -EIO, false},
    {FAILING_ioctl, -EIO, false},
    {FAILING_readlink, -ENOENT, false},
    {FAILING_unlink, -EACCES, false},
    {FAILING_ftruncate, -EIO, false},
    {FAILING_ftruncate, -EINTR, true},
    {FAILING_fallocate, -ENOSPC, false},
    {FAILING_fallocate, -EIO, false},
    {FAILING_fallocate, -EOPNOTSUPP, false},
    {FAILING_fallocate, -EINTR, true},
    {FAILING_memfd_create, -EMFILE, false},
    {FAILING_memfd_create, -ENFILE, false},
    {FAILING_pipe2, -EMFILE, false},
    {FAILING_read, -EIO, false},
    {FAILING_read, -EINTR, true},
    {FAILING_write, -EIO, false},
    {FAILING_write, -EINTR, true},
    {FAILING_pread, -EIO, false},
    {FAILING_pwrite, -ENOSPC, false},
    {FAILING_process_vm_readv, -ENOMEM, false},
    {FAILING_process_vm_writev, -ENOMEM, false},
    {FAILING_mmap, -ENOMEM, false},
    {FAILING_munmap, -ENOMEM, false},
    {FAILING_mprotect, -ENOMEM, false},
    {FAILING_madvise, -ENOMEM, false},
    {FAILING_madvise, -EAGAIN, true},

    {FAILING_mlock, -EAGAIN, false},
    {FAILING_munlock, -ENOMEM, false},
    {FAILING_msync, -EIO, false},
    {FAILING_msync, -EINTR, false},
    {FAILING_fsync, -EIO, false},
    {FAILING_fdatasync, -EIO, false},
    {FAILING_syncfs, -EIO, false},
    {FAILING_sync_file_range, -EIO, false},
    {FAILING_userfaultfd, -EPERM, false},
    {FAILING_userfaultfd, -EMFILE, false},
    {FAILING_getrlimit, -EINVAL, false},
    {FAILING_getrusage, -EINVAL, false},
    {FAILING_allocate, 0, false}, /* no memory */
};

/* Who makes which call fail. */
static const unsigned parts[FAILING_CALLS] = {
    [FAILING_open] = OPENINGS | CALLS,
    [FAILING_close] = OPENINGS | CALLS,
    [FAILING_fcntl] = OPENINGS | CALLS,
    [FAILING_fstat] = OPENINGS | CALLS,
    [FAILING_fstatfs] = OPENINGS | CALLS,
    [FAILING_lstat] = OPENINGS,
    [FAILING_ioctl] = TRACKING, /* and of block devices: test_source.c */
    [FAILING_readlink] = OPENINGS,
    [FAILING_unlink] = OPENINGS,
    [FAILING_ftruncate] = OPENINGS | CALLS,
    [FAILING_fallocate] = OPENINGS | CALLS,
    [FAILING_memfd_create] = OPENINGS,
    [FAILING_pipe2] = CALLS,
    [FAILING_read] = CALLS,
    [FAILING_write] = CALLS,
    [FAILING_pread] = CALLS,
    [FAILING_pwrite] = WRITES | ELSEWHERE, /* of a page that cannot be touched: test_cause.c */
    [FAILING_process_vm_readv] = OPENINGS | CALLS,
    [FAILING_process_vm_writev] = CALLS,
    [FAILING_mmap] = OPENINGS | CALLS,
    [FAILING_munmap] = OPENINGS | CALLS,
    [FAILING_mprotect] = CALLS,
    [FAILING_madvise] = OPENINGS | CALLS,
    [FAILING_mlock] = CALLS,
    [FAILING_munlock] = CALLS,
    [FAILING_msync] = CALLS,
    [FAILING_fsync] = CALLS,
    [FAILING_fdatasync] = CALLS,
    [FAILING_syncfs] = CALLS,
    [FAILING_sync_file_range] = CALLS | WRITES,
    [FAILING_userfaultfd] = TRACKING,
    [FAILING_sigaction] = ELSEWHERE, /* once in a process: test_guard.c */
    [FAILING_getrlimit] = OPENINGS | CALLS | WRITES,
    [FAILING_getrusage] = WRITES,
    [FAILING_start_thread] = ELSEWHERE, /* that runs beside the case: test_append_threads.c */
    [FAILING_join_thread] = ELSEWHERE,  /* which never fails; that it is made: the same */
    [FAILING_allocate] = OPENINGS,
};

static unsigned counts[FAILING_CALLS]; /* of the case, without a failure */
static bool failed_once[FAILING_CALLS], failed_for_ever[FAILING_CALLS];

static bool is_kth(const struct exception *e, unsigned k)
{
    return e->k == 0 || k == (e->k > 0 ? (unsigned)e->k : counts[e->call]);
}

static const struct exception *find_exception(const struct failing_case *c, enum failing_call call,
                                              unsigned k, long injected, bool forever)
{
    for (const struct exception *e = c->exceptions; e->is_one; e++)
        if (e->call == call && is_kth(e, k) && (e->injected == 0 || e->injected == injected) &&
            !(e->once && forever))
            return e;
    return NULL;
}

/* Judges the result of a call one of whose system calls has failed. */
static void judge(const struct failing_case *c, const struct fitting *f, unsigned k, bool forever,
                  int64_t result, int64_t usual)
{
    const struct exception *e = find_exception(c, f->call, k, f->result, forever);
    if (f->result == -EINTR && f->call != FAILING_msync) {
        SAME(result, usual); /* an interruption is no failure, but of a sync */
        return;
    }
    long own = f->call == FAILING_allocate ? -ENOMEM : f->result;
    if (result == usual && (f->again || (e && e->returned == 0)))
        return; /* another way was found */
    if (e && result == e->returned)
        own = e->returned;
    support_refused(result, own, c->name, __FILE__, __LINE__);
}

static void fail_one(const struct failing_case *c, const struct fitting *f, unsigned k, bool forever,
                     int64_t usual)
{
    char context[128];
    struct resources before = resources_now();
    snprintf(context, sizeof context, "%s, %s number %u %s with %ld", c->name, failing_name(f->call), k,
             forever ? "and all after it fail" : "fails", f->result);
    support_context = context;
    c->prepare();
    failing_reset();
    failing_arm(f->call, k, f->result, forever);
    support_prepare();
    errno = 4711;
    int64_t result = c->call();
    SAME(errno, 4711);
    failing_disarm();
    CHECK(failing_fired());
    (forever ? failed_for_ever : failed_once)[f->call] = true;
    failing_reset();
    judge(c, f, k, forever, result, usual);
    c->check(result);
    c->clean();
    /* What the kernel refuses to unmap stays: that is no fault of the call. */
    SAME(failing_unmap_left() > 0, f->call == FAILING_munmap);
    CHECK(resources_same(before));
    support_context = NULL;
}

/* Every call that the case makes can be made to fail. */
static void check_fittings(const struct failing_case *c)
{
    for (int call = 0; call < FAILING_CALLS; call++) {
        bool fits = counts[call] == 0;
        for (size_t i = 0; i < sizeof fittings / sizeof fittings[0]; i++)
            fits = fits || (int)fittings[i].call == call;
        support_context = failing_name((enum failing_call)call);
        CHECK(fits);
    }
    support_context = c->name;
}

static void run_failing_case(void **state)
{
    const struct failing_case *c = *state;
    support_context = c->name;
    c->prepare();
    failing_reset();
    support_prepare();
    errno = 4711;
    int64_t usual = c->call();
    SAME(errno, 4711);
    unsigned total = 0;
    for (int call = 0; call < FAILING_CALLS; call++) {
        counts[call] = failing_count((enum failing_call)call);
        total += counts[call];
    }
    CHECK(total > 0); /* else there is nothing to fail */
    check_fittings(c);
    failing_reset();
    c->check(usual);
    c->clean();
    for (size_t i = 0; i < sizeof fittings / sizeof fittings[0]; i++)
        for (unsigned k = 1; k <= counts[fittings[i].call]; k++) {
            fail_one(c, &fittings[i], k, false, usual);
            if (!fittings[i].again)
                fail_one(c, &fittings[i], k, true, usual);
        }
}

/* A test that failed has left its scene behind. */
static int end_case(void **state)
{
    const struct failing_case *c = *state;
    failing_reset();
    c->clean();
    return support_end(state);
}

static void test_every_call(void **state)
{
    unsigned part = *(const enum failing_part *)*state;
    for (int call = 0; call < FAILING_CALLS; call++) {
        support_context = failing_name((enum failing_call)call);
        CHECK(parts[call] != 0);
        if (parts[call] & part)
            CHECK(failed_once[call] && failed_for_ever[call]);
    }
    support_context = NULL;
}

int run_failing_cases(const struct failing_case *cases, size_t count, enum failing_part part)
{
    struct CMUnitTest tests[64] = {{0}};
    if (count >= sizeof tests / sizeof tests[0])
        abort();
    for (size_t i = 0; i < count; i++)
        tests[i] = (struct CMUnitTest){cases[i].name, run_failing_case, support_begin, end_case,
                                       (void *)(uintptr_t)&cases[i]};
    tests[count++] =
        (struct CMUnitTest){"every system call", test_every_call, support_begin, support_end, &part};
    return _cmocka_run_group_tests("failures", tests, count, support_group_begin, support_group_end);
}
