/* stage.h: the state that a block is about: files, what of them is in memory,
 * and memory of each kind. */
#ifndef BENCH_STAGE_H
#define BENCH_STAGE_H

#include <mapview.h>
#include <stddef.h>

#include "work.h"

/* ---- files ---- */

/* make_stage makes a file of size bytes, written in pieces of fill bytes, which
 * become the folios of the page cache, and synced. content may be NULL. */
int make_stage(const char *path, const char *content, size_t size, size_t fill);

/* folio_of finds out how large the folios are, in bytes, by the faults that it
 * takes to populate 1 MiB for writing; 0 when it cannot. The file is synced. */
size_t folio_of(const char *path, size_t size);

/* resident_of counts the file's pages in memory, by mincore; -1 after a failure. */
long resident_of(const char *path, size_t size);

/* drop_file syncs the file and takes it out of memory; it returns -1 with EBUSY
 * when a page of it stays. */
int drop_file(const char *path, size_t size);

/* sync_file syncs it. */
int sync_file(const char *path);

/* map_file maps all of it, shared; NULL after a failure. */
char *map_file(const char *path, size_t size, int writable);

/* A stage is a file with what it holds, and a mapping of it for the checks. */
struct stage {
    char path[4096];
    size_t size;
    char *content; /* random bytes */
    char *truth;
};

/* open_stage makes a file NAME in the order's folder and fills in the work, with
 * a buf of 2 MiB where it has none; close_stage removes the file and frees buf. */
int open_stage(struct stage *s, struct work *w, const struct order *order, const char *name,
               size_t size, size_t fill);
void close_stage(struct stage *s, struct work *w);

/* say_state verifies that the file is in memory, and how large its folios are,
 * and puts it into w->state. */
int say_state(struct work *w, size_t size, const char *more);

/* ---- memory ---- */

enum {
    OF_HUGE_PAGES, /* private memory of huge pages: the limit of what memory can do */
    OF_MALLOC,
    OF_SBRK,
    OF_MMAP, /* anonymous, private */
    OF_MMAP_SHARED,
    OF_SYSV,
    OF_POSIX,
    OF_MEMFD,
    OF_MV_ANONYMOUS,
    OF_MV_MEMORY,
};

struct memory {
    char *at;
    size_t size;
    int kind;
    mv_view *view;
};

/* take_memory takes memory that nobody has touched; drop_memory gives it back.
 * The shared kinds have no name any more, and go with the process. */
int take_memory(struct memory *m, int kind, size_t size);
int drop_memory(struct memory *m);

/* ---- for ways ---- */

/* These open the work's file for a way, each on its own, as long as the file is,
 * with all pages in the page table. */
int open_way_view(struct work *w, struct way *v); /* kind: MV_OPEN_ flags */
int open_way_map(struct work *w, struct way *v);
int open_way_fd(struct work *w, struct way *v); /* kind: flags of open(2) */
int open_way_memory(struct work *w,
                    struct way *v); /* kind: OF_; it holds the content, if there is one */

/* close_way_file closes what they have opened of the file, and close_way_all the
 * memory, too. A way that is closed can be closed again. */
void close_way_file(struct work *w, struct way *v);
void close_way_all(struct work *w, struct way *v);

size_t file_size_of(const struct work *w);

#endif
