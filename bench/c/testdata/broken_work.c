/*
 * broken_work.c: blocks of work.c with a way that is right and one that is wrong
 * as it is named, for the test of what is checked. Nothing here uses mapview.
 *
 *   broken_work read|write|cold|latencies|calls HOW DIR
 */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "../calls.h"
#include "../stage.h"

enum { SIZE = 512, PLACES = 1024 };

static const char *how;
static int runs;

static int is(const char *name)
{
    return strcmp(how, name) == 0;
}

static void move(struct work *w, const struct way *v, size_t at, size_t n, long slot)
{
    char *buf = w->buf + (w->writes ? 0 : (size_t)slot * SIZE);
    memcpy(w->writes ? v->data + at : buf, w->writes ? buf : v->data + at, n);
    if (!w->writes)
        w->sum += ends(buf, SIZE);
}

static int run_right(struct work *w, struct way *v, long first, long n)
{
    for (long i = first; i < first + n; i++) {
        move(w, v, place_of(w->walk, i), SIZE, v->batch ? (i - first) % v->batch : 0);
        if (w->count & COUNT_CALLS) /* so that there are calls to be counted */
            syscall(SYS_getppid);
        note(w, i - first);
    }
    return 0;
}

static int run_wrong(struct work *w, struct way *v, long first, long n)
{
    runs++;
    if (is("nothing") || (is("first") && runs > 1) || (is("later") && runs > 90))
        return 0;
    if (is("last-only") && !v->batch) {
        first += n - 1;
        n = 1;
    }
    if (is("few"))
        n = n > 1 ? n - 1 : n;
    for (long i = first; i < first + n; i++) {
        size_t n_of_one = is("half") ? SIZE / 2 : is("last-byte") ? SIZE - 1 : SIZE;
        long slot = v->batch && !is("one-slot") ? (i - first) % v->batch : 0;
        size_t at = place_of(w->walk, is("one-place") ? first : i);
        move(w, v, at, n_of_one, slot);
        if (is("middle")) /* its ends are right */
            (w->writes ? v->data + at : w->buf + (size_t)slot * SIZE)[SIZE / 2] ^= 1;
        note(w, i - first);
    }
    return is("failing") ? -1 : 0;
}

static int prepare_wrong(struct work *w, struct way *v)
{
    (void)w, (void)v;
    return is("unprepared") ? -1 : 0;
}

/* A mapping that somebody has kept holds a page in memory. */
static int prepare_cold(struct work *w, struct way *v)
{
    const volatile char *kept = v->extra;
    if (kept)
        (void)kept[4096];
    return drop_file(w->path, (size_t)SIZE * PLACES);
}

static int open_memory(struct work *w, struct way *v)
{
    v->data = malloc((size_t)SIZE * PLACES);
    if (!v->data)
        return -1;
    memcpy(v->data, w->content, (size_t)SIZE * PLACES);
    v->truth = v->data;
    if (!is("absent") || !v->batch)
        return is("closed") ? -1 : 0;
    v->absence = "that is how it is named";
    return ABSENT;
}

int main(int argc, char **argv)
{
    static struct way ways[] = {
        {.impl = "memory", .op = "right", .open = open_memory, .run = run_right},
        {.impl = "libc",
         .op = "wrong",
         .open = open_memory,
         .prepare = prepare_wrong,
         .run = run_wrong},
        {.impl = "libc", .op = "wrong,4", .open = open_memory, .run = run_wrong, .batch = 4},
        {.impl = "memory", .op = "right", .open = open_memory, .run = run_right, .again = 1},
    };
    struct stage stage = {.size = 0};
    struct order order = {argc == 4 ? argv[3] : ".", 0.02, ""};
    struct work w = {.row = "Broken", .keys = "cache=resident", .title = "a title", .state = "a state"};
    if (argc != 4)
        return 2;
    how = argv[2];
    start_counter();
    int rc = open_stage(&stage, &w, &order, "broken", (size_t)SIZE * PLACES, MIB);
    w.walk = (struct walk){SIZE, PLACES, 1};
    w.writes = strcmp(argv[1], "write") == 0;
    w.check = w.writes ? check_writes : check_reads;
    if (strcmp(argv[1], "latencies") == 0) {
        w.ops = 40;
        w.count = COUNT_LATENCIES;
    }
    if (strcmp(argv[1], "calls") == 0)
        w.count = COUNT_CALLS;
    if (rc == 0 && strcmp(argv[1], "cold") == 0) {
        munmap((void *)stage.truth, stage.size);
        stage.truth = NULL;
        w.ops = 4;
        for (int k = 0; k < 4; k++)
            ways[k].prepare = prepare_cold;
    }
    if (rc == 0)
        rc = open_ways(&w, ways, 4);
    if (rc == 0 && is("kept")) {
        FILE *file = fopen(stage.path, "re");
        ways[1].extra = mmap(NULL, stage.size, PROT_READ, MAP_SHARED, fileno(file), 0);
        fclose(file);
    }
    if (rc == 0)
        rc = measure_work(&w, ways, 4, order.seconds, "");
    close_stage(&stage, &w);
    end_counter();
    return rc == 0 ? 0 : 1;
}

/* What stage.c and memory.c name. */
int mv_open(const char *path, const mv_options *options, mv_view **out, mv_error *err)
{
    (void)path, (void)options, (void)out, (void)err;
    return -1;
}

int mv_close(mv_view *view, mv_error *err)
{
    (void)view, (void)err;
    return 0;
}

int mv_prefault(mv_view *view, uint64_t off, uint64_t len, uint32_t what, mv_error *err)
{
    (void)view, (void)off, (void)len, (void)what, (void)err;
    return -1;
}

int mv_anonymous(uint64_t size, const mv_options *options, mv_view **out, mv_error *err)
{
    (void)size, (void)options, (void)out, (void)err;
    return -1;
}

int mv_memory(const char *name, uint64_t size, const mv_options *options, mv_view **out, mv_error *err)
{
    (void)name, (void)size, (void)options, (void)out, (void)err;
    return -1;
}

int mv_unlink_memory(const char *name, mv_error *err)
{
    (void)name, (void)err;
    return -1;
}

void *mv_data(const mv_view *view)
{
    (void)view;
    return NULL;
}
