/*
 * internal.h: what the files of mapview share.
 *
 * Names: mv_ is public, mv__ is shared between these files, a bare name is
 * static. File-level names are unique over all files, since the Go package
 * compiles them as one unit.
 *
 * May call: append -> open -> {resize, copy, number, try, advice} -> rewrite ->
 * cause -> through -> sync -> {dirty, view, caps} -> source -> options; guard ->
 * cpu_*, which know no view; sys and error from anywhere.
 */
#ifndef MAPVIEW_INTERNAL_H
#define MAPVIEW_INTERNAL_H

#include "guard.h"
#include "mapview.h"
#include "sys.h"

#include <errno.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>

/* ---- error ---- */

/* mv__error_usable returns 0, or -EINVAL when err is there but smaller than
 * an mv_error has ever been. */
static inline int mv__error_usable(const mv_error *err)
{
    return err && err->size < sizeof *err ? -EINVAL : 0;
}

/* mv__fail fills err, if there is one, and returns code (a negative errno). op
 * is the check or call that failed; the sentence is made from format. */
__attribute__((format(printf, 4, 5))) int mv__fail(mv_error *err, int code, const char *op,
                                                   const char *format, ...);

/* A place is what an mv_error says of bytes. */
struct mv__place {
    uint64_t offset, length, done;
};

/* mv__fail_at is mv__fail with a place. */
__attribute__((format(printf, 5, 6))) int mv__fail_at(mv_error *err, int code, struct mv__place place,
                                                      const char *op, const char *format, ...);

/* mv__fail_call says that the system call op failed with code. */
int mv__fail_call(mv_error *err, int code, const char *op);

/* ---- options ---- */

enum mv__kind { MV__PATH, MV__DESCRIPTOR, MV__ANONYMOUS, MV__MEMORY };

/* mv__options_check copies *given (NULL: the defaults) to *out after checking
 * every field that can be judged without the file. */
int mv__options_check(const mv_options *given, enum mv__kind kind, mv_options *out, mv_error *err);

/* mv__options_copy copies a struct of options, which begins with its size, as
 * far as the known bytes go: -EINVAL for a smaller one, -E2BIG for a larger one
 * that holds more than zeros there. */
int mv__options_copy(const void *given, void *out, uint32_t known, mv_error *err);

/*
 * A geometry is where a view lies in its file and in memory:
 *
 *   file     0 .......... offset ............. offset+size ... offset+limit
 *                    |<-lead->|<------- size ------->|              |
 *   memory         base     data                                    |
 *                    |<------------------ mapped ------------------->|
 *
 * base is a page boundary, mapped a multiple of the page size, and
 * size <= limit <= mapped - lead always.
 */
struct mv__geometry {
    uint64_t offset; /* of the first byte shown, in the file */
    size_t lead;     /* from the page boundary before it */
    size_t mapped;   /* bytes of address space */
    uint64_t size;   /* bytes that can be used now */
    uint64_t limit;  /* bytes that could ever be used */
};

/* mv__geometry_plan finds the geometry for a file of file_length bytes. */
int mv__geometry_plan(const mv_options *options, uint64_t file_length, size_t page,
                      struct mv__geometry *out, mv_error *err);

/* ---- source ---- */

/* A source is where a view's bytes come from. A shared write view, and a file
 * without a name, keep a descriptor; the others open their path again. */
struct mv__source {
    int fd;                 /* the view's own descriptor, or -1 */
    _Atomic unsigned users; /* of fd and directory: the view, and calls; 0: they are closed */
    _Atomic int closing;    /* what close said of fd */
    const void *mapping;    /* of the file, by which the kernel knows its path */
    char *path;             /* absolute path at open, or NULL */
    const char *asked;      /* the caller's path while mv_open runs, or NULL */
    uint64_t device, inode;
    uint64_t length;         /* of a file, when it was opened */
    int given;               /* the caller's descriptor, never closed here; or -1 */
    bool writable;           /* a shared write view: needs fd */
    bool is_file;            /* a regular file or a memfd: has a length */
    bool is_memory;          /* mv_anonymous: no medium; memory comes at first touch */
    bool created;            /* by this open */
    bool direct;             /* asked is absolute, and no symlink */
    bool shared_description; /* fd shares the caller's open file description */
    int directory;           /* of a created file, until it is synced; or -1 */
    bool entry_owed;         /* the directory entry is not yet known to be durable */
};

/* mv__source_path, _descriptor and _memory open *out. On success *fd is the
 * descriptor to map, which mv__source_settle or mv__source_abandon takes over;
 * on failure nothing is left open. */
int mv__source_path(struct mv__source *out, const char *path, const mv_options *options, int *fd,
                    mv_error *err);
int mv__source_descriptor(struct mv__source *out, int given, const mv_options *options, int *fd,
                          mv_error *err);
int mv__source_memory(struct mv__source *out, int *fd, mv_error *err);

/* mv__source_memory_path stores where the memory of that name lies. */
#define MV__MEMORY_PATH 272 /* bytes: the folder, a name of 255 and its end */
int mv__source_memory_path(const char *name, char path[MV__MEMORY_PATH], mv_error *err);

/* mv__source_has_file is false for private memory only. */
bool mv__source_has_file(const struct mv__source *source);

/* mv__source_length stores the present length of the open file, which for a
 * block device is its size and for other devices UINT64_MAX. */
int mv__source_length(const struct mv__source *source, int fd, uint64_t *out, mv_error *err);

/* mv__source_look is mv__source_length for a view that is open. */
int mv__source_look(struct mv__source *source, uint64_t *length, mv_error *err);

/* mv__source_settle keeps fd if the view needs one, else closes it after
 * noting the path that finds the file again. On failure it is still open. */
int mv__source_settle(struct mv__source *source, int fd, mv_error *err);

/* mv__source_remove removes the file at path if this source created it. It must
 * still be open or mapped, or its inode number may be another's. */
void mv__source_remove(const struct mv__source *source, const char *path);

/* mv__source_abandon closes fd, unless it is the caller's. */
void mv__source_abandon(struct mv__source *source, int fd);

/* mv__source_filesystem stores the kind of the file system. */
int mv__source_filesystem(struct mv__source *source, enum mv__fs *kind);

/* mv__source_borrow stores a descriptor for one call, to be given back with
 * mv__source_return. */
int mv__source_borrow(struct mv__source *source, int *fd, mv_error *err);
void mv__source_return(struct mv__source *source, int fd);

/* mv__source_drop gives up one use of the descriptor, the view's own at
 * detach; the last user closes it. */
void mv__source_drop(struct mv__source *source);

/* mv__source_free closes and frees what is left, when no call runs. Returns
 * what close reported of the view's descriptor. */
int mv__source_free(struct mv__source *source);

/* mv__source_open_again opens the view's file anew: an open file description
 * of its own, for reading and, if the source keeps a descriptor for it,
 * writing. Returns the descriptor. */
int mv__source_open_again(struct mv__source *source, mv_error *err);

/* ---- view ---- */

/* What is kept of the pages that were written: see dirty.c. */
struct mv__dirty {
    uint32_t how;            /* MV_TRACK_ */
    int watch;               /* the kernel's watch, or -1; protected by shape_lock */
    _Atomic uint64_t *marks; /* a bit a page; NULL: there are none */
    uint64_t *held;          /* the same, of pages in a sync; protected by lock */
    size_t bytes;            /* of both */
    pthread_mutex_t lock;    /* one look at the pages at a time; no other lock is taken in it */
};

struct mv_view {
    unsigned char *data;   /* the first byte that is shown */
    _Atomic uint64_t size; /* the bound of every access, and MV__CLEAN; MV__DETACHED in the end */
    bool writable, shared;
    bool guarded;                 /* accesses rely on the handler of guard.c */
    _Atomic uint32_t fast;        /* the accesses that need no other check than their range */
    _Atomic bool lent;            /* mv_data was called: stores may come that nobody marks */
    unsigned char *base;          /* the mapping: see the drawing at mv__geometry */
    struct mv__geometry geometry; /* its size is the one at open */
    uint64_t flags;               /* MV_OPEN_ */
    size_t page;                  /* bytes */
    uint64_t length_asked;        /* options.length; 0: follows the end of the file */
    uint64_t process;             /* who opened it: see mv__sys_process */
    struct mv__source source;
    _Atomic bool allocation_refused;           /* by the file system: growth is only promised */
    _Atomic bool was_protected;                /* by mv_protect: some pages may be still */
    bool through;                              /* mv_write may go through the file: see through.c */
    _Atomic uint64_t rewrite_from, rewrite_to; /* prepared, and not yet written by mv_write */
    _Atomic uint32_t rewrites_kept; /* see rewrite.c: windows that are not dropped, from here on */

    pthread_mutex_t shape_lock;   /* resize, refresh, protect, detach take turns */
    pthread_mutex_t sync_lock;    /* one sync at a time; protects the three: source.directory, */
    uint32_t synced;              /* source.entry_owed, and the level that MV__CLEAN is about */
    struct mv__dirty dirty;       /* all but zero under MV_OPEN_TRACK alone */
    pthread_mutex_t through_lock; /* a pwrite and a shrink of the file take turns */
    pthread_mutex_t failure_lock; /* protects failure; never held during a system call */
    struct {
        int code;
        uint64_t offset, length;
        char op[24];
    } failure; /* the first failed sync, for good */
};

/* MV__CLEAN in the size: nothing was written by the library since a sync of the
 * whole view began. It is in that word because mv_write looks at the word again
 * after the copy anyway, so that the mark costs it nothing; and because a size
 * that changes says that the mark is gone. sync.c tells why this is right. */
#define MV__DETACHED UINT64_MAX
#define MV__CLEAN ((uint64_t)1 << 63)

/* mv__view_wrote notes that bytes of the range were written, or may have been.
 * It is called after every write of the library, on every way out, and never
 * before it. */
void mv__view_mark(mv_view *view, uint64_t off, uint64_t n);
static inline void mv__view_wrote(mv_view *view, uint64_t off, uint64_t n)
{
    if (view->dirty.marks)
        mv__view_mark(view, off, n);
    atomic_signal_fence(memory_order_seq_cst); /* for the compiler: not before the write */
    uint64_t word = atomic_load_explicit(&view->size, memory_order_relaxed);
    while ((word & MV__CLEAN) && word != MV__DETACHED &&
           !atomic_compare_exchange_weak(&view->size, &word, word & ~MV__CLEAN)) {}
}

/* mv__view_new maps fd (-1: private memory) by the plan and stores a view. */
int mv__view_new(const struct mv__geometry *geometry, const mv_options *options, int fd, mv_view **out,
                 mv_error *err);

/* mv__view_free unmaps and frees; source must be done with. Returns what
 * munmap reported. */
int mv__view_free(mv_view *view);

/* mv__view_own returns 0, -EINVAL (no view) or -ECHILD. */
int mv__view_own(const mv_view *view, mv_error *err);

/* mv__view_enter is the first line of every call that may not run in a forked
 * child: 0, -EINVAL, -ECHILD or -EBADF. */
int mv__view_enter(const mv_view *view, mv_error *err);

/* mv__view_live is the part of it that copies need: no system call. It stores
 * the size, or returns the error that mv__view_dead finds. */
int mv__view_dead(const mv_view *view, mv_error *err);
static inline int mv__view_live(const mv_view *view, uint64_t *size, mv_error *err)
{
    *size = 0;
    if (mv__error_usable(err) < 0 || !view)
        return mv__view_dead(view, err);
    uint64_t word = atomic_load_explicit(&view->size, memory_order_acquire);
    *size = word & ~MV__CLEAN;
    return word == MV__DETACHED ? mv__view_dead(view, err) : 0;
}

/* A span is a checked range of a view. */
struct mv__span {
    uint64_t offset, length;
};

/* mv__view_span checks a range against the present size. */
int mv__view_span(const mv_view *view, uint64_t off, uint64_t len, struct mv__span *out, mv_error *err);

/* mv__view_pages returns the first page boundary of a span and stores how many
 * bytes the whole pages that hold it have. */
unsigned char *mv__view_pages(const mv_view *view, struct mv__span span, size_t *bytes);

/* mv__view_detach makes the mapping inaccessible; the caller holds shape_lock. */
int mv__view_detach(mv_view *view, mv_error *err);

/* ---- resize ---- */

/* mv__resize_allocate gives blocks to the file's bytes from..to and makes the
 * file at least to bytes long, never shorter. length is what it has now. On
 * failure the file is as before. */
int mv__resize_allocate(mv_view *view, int fd, uint64_t length, uint64_t from, uint64_t to,
                        mv_error *err);

/* mv__resize_grow is mv_resize, but leaves a view that is as large or larger
 * as it is: somebody else may have grown it meanwhile. */
int mv__resize_grow(mv_view *view, uint64_t size, mv_error *err);

/* mv__resize_check_limit returns -EFBIG if a file may not become to bytes long:
 * the kernel would raise SIGXFSZ. */
int mv__resize_check_limit(uint64_t to, mv_error *err);

/* ---- copy ---- */

/* mv__copy_kernel moves n bytes between the view and buf by the kernel, which
 * cannot fault. It stores how many went, and returns 0 for all of them or the
 * negative errno that stopped it: -EFAULT where either side cannot be touched. */
int mv__copy_kernel(void *in_view, void *buf, size_t n, uint32_t access, size_t *done);

#ifdef MV__CPU_CHECKS
/* mv__copy_way chooses among the ways of cpu.h for what mv__copy_large is given. */
enum mv__way { MV__WAY_LOOP, MV__WAY_STRING, MV__WAY_STREAM };
enum mv__way mv__copy_way(const void *to, size_t n, const _Atomic uint64_t *word, uintptr_t note);
#endif

/* ---- through ---- */

/* mv__through_wanted tells whether mv_write may go through the view's file, for
 * the flags that the view was opened with and the file that it has. */
bool mv__through_wanted(const mv_view *view);

/* Measured: from here on a pwrite is faster than the faults of its pages, also
 * where the folios are small. */
#define MV__THROUGH_BULK ((uint64_t)64 << 10)

/* mv__through_write writes n bytes to the view's file, which it never makes
 * longer, and returns how many it did, from the first: none, or not all, where
 * they had better be stored. */
size_t mv__through_write(mv_view *view, const void *buf, uint64_t n, uint64_t off);

/* mv__through_pwrite is the pwrite of that, for who has the descriptor: it
 * returns how many bytes it wrote, or why it wrote none. */
int64_t mv__through_pwrite(mv_view *view, int fd, const void *buf, uint64_t n, uint64_t off);

/* mv__through_behind begins the write-back of the windows that a write of n
 * bytes at off has left behind. */
void mv__through_behind(mv_view *view, uint64_t n, uint64_t off);

/* ---- cause ---- */

/* A fault is an access that the kernel could not make. */
struct mv__fault {
    uint64_t offset; /* the first byte of the view that was not accessed */
    uint64_t done;   /* bytes that the caller had finished before it */
    uint32_t access; /* MV_READ or MV_WRITE */
    void *buf;       /* the caller's bytes for this access, or NULL */
    size_t n;        /* how many */
};

/* mv__cause_resolve finds out why. It returns 0 when the byte can be accessed
 * by now, the number of buf's bytes that it could move in another way, or the
 * cause as a negative errno, with its sentence in err. */
int64_t mv__cause_resolve(mv_view *view, const struct mv__fault *fault, mv_error *err);

/* mv__cause_touch touches the span's pages in the way of access, without a
 * fault. It returns 0, or the cause at the first byte that cannot be touched. */
int mv__cause_touch(mv_view *view, struct mv__span span, uint32_t access, mv_error *err);

/* ---- dirty ---- */

/* mv__dirty_open begins to track, if the view shall; no page was touched yet.
 * mv__dirty_detach ends the kernel's watch, mv__dirty_free all. */
int mv__dirty_open(mv_view *view, mv_error *err);
void mv__dirty_detach(mv_view *view);
void mv__dirty_free(mv_view *view);

/* mv__dirty_mark marks the pages of a range of the mapping, on a view that has
 * marks. It follows the write. */
void mv__dirty_mark(mv_view *view, uint64_t off, uint64_t n);

/* mv__dirty_grow begins to watch what a growth will show; shape_lock is held.
 * When that fails, all of it is taken for written. */
int mv__dirty_grow(mv_view *view, uint64_t from, uint64_t to);

/* mv__dirty_begin puts what was written in the span aside for the sync that
 * follows, as far as it can: the rest stays dirty. mv__dirty_end drops what was
 * put aside, when the sync has succeeded. */
void mv__dirty_begin(mv_view *view, struct mv__span span);
void mv__dirty_end(mv_view *view, struct mv__span span);

/* ---- sync ---- */

/* mv__sync_failure returns the failed sync that the view holds, or 0;
 * mv__sync_held is the same for who holds sync_lock or is alone. */
int mv__sync_failure(mv_view *view, mv_error *err);
int mv__sync_held(const mv_view *view, mv_error *err);

/* mv__sync_begin begins to write the span. A failure is kept for the next sync. */
void mv__sync_begin(mv_view *view, struct mv__span span, int fd);

/* ---- rewrite ---- */

/* mv__rewrite prepares the span, which is not empty, for stores from end to end. */
int mv__rewrite(mv_view *view, struct mv__span span, mv_error *err);

/* mv__rewrite_takes tells whether a write of these bytes is part of what has
 * been prepared last. What lies before its end counts as rewritten from then on.
 * It is not asked for what goes past the caches anyhow. */
bool mv__rewrite_takes(mv_view *view, uint64_t off, uint64_t n);

/* ---- caps ---- */

/* mv__caps_populate tells whether MADV_POPULATE_READ and _WRITE exist. */
bool mv__caps_populate(void);

/* mv__caps_copy tells whether process_vm_readv may be used on this process;
 * mv__caps_copy_refused notes that it may not. */
bool mv__caps_copy(void);
void mv__caps_copy_refused(void);

#endif
