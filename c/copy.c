/* copy.c: mv_read and mv_write: copies that report a fault as an error. A
 * guarded copy does the work; what is left of it after a fault, and all on a
 * view without the handler, the kernel copies, which cannot fault. */
#include "internal.h"

#include <errno.h>
#include <fcntl.h>

static int copy_by_process(void *in_view, void *buf, size_t n, uint32_t access, size_t *done)
{
    for (*done = 0; *done < n;) {
        struct iovec local = {(char *)buf + *done, n - *done};
        struct iovec remote = {(char *)in_view + *done, n - *done};
        pid_t self = mv__sys_thread();
        long r = access == MV_WRITE ? mv__sys.process_vm_writev(self, &local, 1, &remote, 1, 0)
                                    : mv__sys.process_vm_readv(self, &local, 1, &remote, 1, 0);
        if (r == 0)
            return -EFAULT;
        if (r < 0)
            return (int)r;
        *done += (size_t)r;
    }
    return 0;
}

static long through_pipe(const int fds[2], const void *from, void *to, size_t n)
{
    long in, out;
    do
        in = mv__sys.write(fds[1], from, n);
    while (in == -EINTR);
    if (in <= 0)
        return in;
    do
        out = mv__sys.read(fds[0], to, (size_t)in);
    while (out == -EINTR);
    return out;
}

/* For where a filter forbids the calls above (seccomp): a pipe takes bytes from
 * anywhere to anywhere and answers EFAULT. A step ends with the view's page,
 * so that a step is done or not. */
static int copy_by_pipe(void *in_view, void *buf, size_t n, uint32_t access, size_t *done)
{
    size_t page = mv__sys_page_size();
    int fds[2];
    *done = 0;
    long r = mv__sys.pipe2(fds, O_CLOEXEC);
    if (r < 0)
        return (int)r;
    while (*done < n) {
        char *at = (char *)in_view + *done;
        char *mine = (char *)buf + *done;
        size_t step = page - ((uintptr_t)at & (page - 1));
        if (step > n - *done)
            step = n - *done;
        r = access == MV_WRITE ? through_pipe(fds, mine, at, step) : through_pipe(fds, at, mine, step);
        if (r <= 0)
            break;
        *done += (size_t)r;
    }
    mv__sys.close(fds[0]);
    mv__sys.close(fds[1]);
    if (*done == n)
        return 0;
    return r < 0 ? (int)r : -EFAULT;
}

int mv__copy_kernel(void *in_view, void *buf, size_t n, uint32_t access, size_t *done)
{
    *done = 0;
    int r = -EPERM;
    if (mv__caps_copy())
        r = copy_by_process(in_view, buf, n, access, done);
    if (r != -EPERM && r != -ENOSYS)
        return r;
    mv__caps_copy_refused(); /* a filter may come at any time */
    size_t more;
    r = copy_by_pipe((char *)in_view + *done, (char *)buf + *done, n - *done, access, &more);
    *done += more;
    return r;
}

/* How often a copy may get nowhere though view and buffer look fine: they may
 * be protected, or the file cut, for a moment at a time. */
#define ATTEMPTS_OF_COPY 1000

/* Tries the first byte of the buffer alone. */
static bool buffer_is_bad(const struct mv__fault *f)
{
    char byte = 0;
    size_t done;
    return mv__copy_kernel(&byte, f->buf, 1, f->access, &done) == -EFAULT;
}

static struct mv__place place_of_copy(const struct mv__fault *f)
{
    return (struct mv__place){f->offset, f->n, f->done};
}

/* Moves what it can and returns 0, or stops at a byte that it cannot move. */
static int move(mv_view *view, struct mv__fault *f, mv_error *err)
{
    int fruitless = 0;
    while (f->n > 0) {
        size_t done;
        int r = mv__copy_kernel(view->data + f->offset, f->buf, f->n, f->access, &done);
        int64_t moved = (int64_t)done;
        if (r < 0 && r != -EFAULT)
            return mv__fail_at(err, r,
                               (struct mv__place){f->offset + done, f->n - done, f->done + done},
                               "copy", "the kernel refused to copy: %s", mv_strerror(r));
        if (r < 0 && done == 0) {
            moved = mv__cause_resolve(view, f, err);
            if (moved < 0)
                return (int)moved;
            /* The view is fine by now: again, unless it is the buffer, at its
             * first byte or, through a pipe, a later one. */
            bool over = moved == 0 && ++fruitless == ATTEMPTS_OF_COPY;
            if (moved == 0 && (buffer_is_bad(f) || (over && !mv__caps_copy())))
                return mv__fail_at(err, -EFAULT, place_of_copy(f), "copy",
                                   "the caller's buffer cannot be accessed");
            if (over)
                return mv__fail_at(err, -EAGAIN, place_of_copy(f), "copy",
                                   "the bytes come and go, and were gone at every attempt");
        }
        if (moved > 0)
            fruitless = 0;
        f->offset += (uint64_t)moved;
        f->done += (uint64_t)moved;
        f->buf = (char *)f->buf + moved;
        f->n -= (size_t)moved;
    }
    return 0;
}

/* Beside MV_READ and MV_WRITE in view->fast: small writes, for which
 * mv__through_behind has to be called. */
#define FAST_IN_ORDER 0x100U

/* From here on the handler is there, and mv_read and mv_write may be fast. */
static void allow_fast(mv_view *view)
{
    uint32_t write = view->writable && view->dirty.how != MV_TRACK_MARKS ? MV_WRITE : 0;
    if (view->through && write)
        write = (view->flags & MV_OPEN_RANDOM) ? 0 : FAST_IN_ORDER;
    if (view->guarded && mv__guard_ready())
        atomic_store_explicit(&view->fast, MV_READ | write, memory_order_release);
}

/* The guarded copy of what lies in the view: how many bytes of it went. */
static size_t copy_guarded(mv_view *view, void *buf, uint64_t n, uint64_t off, uint32_t access)
{
    unsigned char *at = view->data + off;
    return access == MV_WRITE ? mv__cpu_copy(at, buf, (size_t)n) : mv__cpu_copy(buf, at, (size_t)n);
}

static int detached_meanwhile(mv_error *err, int code, uint64_t off, uint64_t n, uint64_t done)
{
    return mv__fail_at(err, code, (struct mv__place){off, n, done}, "view",
                       "the view was detached meanwhile");
}

/* The first attempt, which is left at the first byte that it cannot copy. */
static size_t copy_first(mv_view *view, void *buf, uint64_t n, uint64_t off, uint32_t access)
{
    bool through = access == MV_WRITE && view->through;
    size_t done = through ? mv__through_write(view, buf, n, off) : 0;
    if (done == 0 && atomic_load_explicit(&view->fast, memory_order_relaxed))
        done = copy_guarded(view, buf, n, off, access);
    return done;
}

/* The whole copy with every check, of which done bytes were copied before;
 * UNTRIED: no guarded copy was tried. */
#define UNTRIED SIZE_MAX

static int64_t copy_checked(mv_view *view, void *buf, uint64_t n, uint64_t off, uint32_t access,
                            size_t done, mv_error *err)
{
    uint64_t size;
    int r = mv__view_live(view, &size, err);
    if (r == -EBADF && done != UNTRIED)
        return detached_meanwhile(err, r, off + done, n - done, done);
    if (r != 0)
        return r;
    if (access == MV_WRITE && !view->writable)
        return mv__fail_at(err, -EACCES, (struct mv__place){off, n, 0}, "write",
                           "the view is read-only");
    if (off >= size || n == 0)
        return 0;
    if (!buf)
        return mv__fail(err, -EINVAL, "copy", "the buffer is NULL");
    if (n > size - off)
        n = size - off;
    allow_fast(view);
    if (done == UNTRIED)
        done = copy_first(view, buf, n, off, access);
    if (done > n) /* the view has been made smaller since */
        done = (size_t)n;
    struct mv__fault f = {.offset = off + done,
                          .done = done,
                          .access = access,
                          .buf = (char *)buf + done,
                          .n = (size_t)n - done};
    mv_error why = MV_ERROR_INIT;
    r = move(view, &f, err ? &why : NULL);
    /* A shrink or a refresh that ran beside: what is past the new end does not
     * exist any more, whatever was copied of it. That is no error but the end. */
    int live = mv__view_live(view, &size, NULL);
    if (live != 0)
        return detached_meanwhile(err, live, f.offset, f.n, f.done);
    if (f.offset > size || (r != 0 && f.offset == size))
        return size > off ? (int64_t)(size - off) : 0;
    if (r == 0 && access == MV_WRITE && view->through)
        mv__through_behind(view, n, off);
    if (r == 0)
        return (int64_t)n;
    if (err)
        mv__fail_at(err, r, (struct mv__place){why.offset, why.length, why.done}, why.op, "%s",
                    why.text);
    return r;
}

#define LIKELY(condition) __builtin_expect((condition), 1)

/* The view of a note of cpu.h. */
static inline mv_view *view_of(const _Atomic uint64_t *word)
{
    return (mv_view *)((uintptr_t)word - offsetof(mv_view, size));
}

#ifdef MV__CPU_CHECKS
/* More than caches hold beside the source: there is nothing to keep in them. */
#define PAST_CACHES ((size_t)16 << 20)

/* The least for which the string instruction is worth its start. */
#define LEAST_STRING ((size_t)1 << 20)

/* A store in the caches first reads its line from memory: past them is better
 * for what will not be read again soon, as what is rewritten from end to end. */
enum mv__way mv__copy_way(const void *to, size_t n, const _Atomic uint64_t *word, uintptr_t note)
{
    if (n >= PAST_CACHES)
        return MV__WAY_STREAM;
    if (note != MV__CPU_COUNT && (note & MV__CPU_WRITE)) {
        mv_view *view = view_of(word);
        if (mv__rewrite_takes(view, (uint64_t)((const unsigned char *)to - view->data), n))
            return MV__WAY_STREAM;
    }
    return n >= LEAST_STRING && mv__cpu_has_string ? MV__WAY_STRING : MV__WAY_LOOP;
}

__attribute__((used)) int64_t mv__copy_large(void *to, const void *from, size_t n,
                                             const _Atomic uint64_t *word, uint64_t expected,
                                             uintptr_t note)
{
    switch (mv__copy_way(to, n, word, note)) {
    case MV__WAY_STREAM:
        return mv__cpu_stream(to, from, n, word, expected, note);
    case MV__WAY_STRING:
        return mv__cpu_string(to, from, n, word, expected, note);
    case MV__WAY_LOOP:
        break;
    }
    return mv__cpu_loop(to, from, n, word, expected, note);
}
#else
static inline int64_t mv__cpu_checked(void *to, const void *from, size_t n,
                                      const _Atomic uint64_t *word, uint64_t expected, uintptr_t note)
{
    size_t done = mv__cpu_copy(to, from, n);
    atomic_thread_fence(memory_order_acquire); /* the copy first, then the word again */
    if (LIKELY(done == n && atomic_load_explicit(word, memory_order_relaxed) == expected))
        return (int64_t)n;
    return mv__copy_rest(to, from, n, word, done, note);
}
#endif

/* Does an access lie wholly inside a view of that size, and need no more than its
 * copy? A write needs one that is not MV__CLEAN: that the word is the same after
 * it then tells that the view is still marked as written to. */
static inline bool is_inside(uint64_t word, uint64_t n, uint64_t off, uint32_t access)
{
    uint64_t size = access == MV_WRITE ? word : word & ~MV__CLEAN;
    bool usable = access == MV_WRITE ? !(word & MV__CLEAN) : word != MV__DETACHED;
    return LIKELY(off < size && n - 1 < size - off && usable); /* n is not 0 */
}

/* Tries a small write on an MV_OPEN_SEQUENTIAL view as fast as those on others,
 * and then has what is behind it written back. */
static bool write_in_order(mv_view *view, void *buf, uint64_t n, uint64_t off, mv_error *err,
                           int64_t *result)
{
    if (n >= MV__THROUGH_BULK || !buf || mv__error_usable(err) != 0 ||
        !(atomic_load_explicit(&view->fast, memory_order_acquire) & FAST_IN_ORDER))
        return false;
    uint64_t word = atomic_load_explicit(&view->size, memory_order_acquire);
    if (!is_inside(word, n, off, MV_WRITE))
        return false;
    *result = mv__cpu_checked(view->data + off, buf, (size_t)n, &view->size, word,
                              (uintptr_t)err | MV__CPU_WRITE);
    if (*result == (int64_t)n)
        mv__through_behind(view, n, off);
    return true;
}

/* Here ends every copy that the fast way does not see to its end. */
__attribute__((noinline)) static int64_t copy_slowly(mv_view *view, void *buf, uint64_t n, uint64_t off,
                                                     uint32_t access, size_t done, mv_error *err)
{
    int64_t r;
    if (done == UNTRIED && access == MV_WRITE && view && write_in_order(view, buf, n, off, err, &r))
        return r;
    r = copy_checked(view, buf, n, off, access, done, err);
    if (access == MV_WRITE && view)
        mv__view_wrote(view, off, n);
    return r;
}

/* Called by the routine of the processor, which some linkers do not look into. */
__attribute__((used)) int64_t mv__copy_rest(void *to, const void *from, size_t n,
                                            const _Atomic uint64_t *word, size_t done, uintptr_t note)
{
    if (note == MV__CPU_COUNT)
        return (int64_t)done;
    mv_view *view = view_of(word);
    mv_error *err = (mv_error *)(note & ~MV__CPU_WRITE);
    if (note & MV__CPU_WRITE)
        return copy_slowly(view, (void *)(uintptr_t)from, n,
                           (uint64_t)((unsigned char *)to - view->data), MV_WRITE, done, err);
    return copy_slowly(view, to, n, (uint64_t)((const unsigned char *)from - view->data), MV_READ, done,
                       err);
}

/* What stays inside takes two loads of the size and the copy. */
static inline int64_t copy(mv_view *view, void *buf, uint64_t n, uint64_t off, uint32_t access,
                           mv_error *err)
{
    if (LIKELY(view && buf && mv__error_usable(err) == 0) &&
        LIKELY(atomic_load_explicit(&view->fast, memory_order_acquire) & access)) {
        uint64_t word = atomic_load_explicit(&view->size, memory_order_acquire);
        if (is_inside(word, n, off, access)) {
            unsigned char *at = view->data + off;
            if (access == MV_WRITE)
                return mv__cpu_checked(at, buf, (size_t)n, &view->size, word,
                                       (uintptr_t)err | MV__CPU_WRITE);
            return mv__cpu_checked(buf, at, (size_t)n, &view->size, word, (uintptr_t)err);
        }
    }
    return copy_slowly(view, buf, n, off, access, UNTRIED, err);
}

/* A line of the cache each: where the linker puts them makes a third of the
 * time of a small copy. */
#define ALIGNED __attribute__((aligned(64)))

ALIGNED int64_t mv_read(mv_view *view, void *buf, uint64_t n, uint64_t off, mv_error *err)
{
    return copy(view, buf, n, off, MV_READ, err);
}

ALIGNED int64_t mv_write(mv_view *view, const void *buf, uint64_t n, uint64_t off, mv_error *err)
{
    return copy(view, (void *)(uintptr_t)buf, n, off, MV_WRITE, err);
}
