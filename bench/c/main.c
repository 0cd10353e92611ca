/*
 * main.c: the benchmark in C.
 *
 *   bench-c -list                                           the rows, one a line
 *   bench-c -dir DIR -row NAME [-seconds S] [-run TEXT]     measures one row
 *   bench-c -growth NAME DIR                                growth, as of the file system NAME
 *
 * makes its files in DIR, measures for about S seconds and prints raw text in
 * the Go benchmark format. On a terminal there is a progress line, which begins
 * with TEXT. bench/run does all of it.
 */

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "calls.h"
#include "rounds.h"
#include "rows.h"

static const struct row *const lists[] = {note_rows,    goal_rows,   copy_rows,  once_rows,
                                          cold_rows,    update_rows, speed_rows, socket_rows,
                                          message_rows, touch_rows};
enum { LISTS = sizeof lists / sizeof lists[0] };

static void list_rows(void)
{
    for (int l = 0; l < LISTS; l++)
        for (const struct row *r = lists[l]; r->name; r++)
            printf("%s\t%s\t%.0f\t%s\n", r->name, r->full ? "full" : "short", r->seconds, r->title);
}

static const struct row *find_row(const char *name)
{
    for (int l = 0; l < LISTS; l++)
        for (const struct row *r = lists[l]; r->name; r++)
            if (strcmp(r->name, name) == 0)
                return r;
    return NULL;
}

static int usage(void)
{
    fprintf(stderr, "usage: bench-c -list\n"
                    "       bench-c -dir DIR -row NAME [-seconds S] [-run TEXT]\n"
                    "       bench-c -growth NAME DIR\n");
    return 2;
}

/* measure_one is the command line of flags; -1 is a failure. */
static int measure_one(int argc, char **argv)
{
    struct order order = {.seconds = 10, .run = ""};
    const char *name = NULL;
    for (int i = 1; i < argc; i += 2) {
        const char *flag = argv[i], *value = argv[i + 1]; /* NULL behind the last */
        if (!value)
            return usage();
        if (strcmp(flag, "-dir") == 0)
            order.dir = value;
        else if (strcmp(flag, "-row") == 0)
            name = value;
        else if (strcmp(flag, "-seconds") == 0)
            order.seconds = strtod(value, NULL);
        else if (strcmp(flag, "-run") == 0)
            order.run = value;
        else
            return usage();
    }
    if (!order.dir || !name || !(order.seconds > 0))
        return usage();
    const struct row *row = find_row(name);
    errno = 0;
    if (!row)
        return fail("there is no such row: see -list", name);
    start_counter();
    int rc = row->measure(row, &order);
    end_counter();
    return rc;
}

static int measure(int argc, char **argv)
{
    if (argc == 2 && strcmp(argv[1], "-list") == 0) {
        list_rows();
        return 0;
    }
    if (argc == 4 && strcmp(argv[1], "-growth") == 0)
        return measure_growth(argv[2], argv[3]);
    return measure_one(argc, argv);
}

int main(int argc, char **argv)
{
    int rc = measure(argc, argv);
    if (isatty(STDERR_FILENO))
        fprintf(stderr, "\r\033[K");
    if (fflush(stdout) != 0)
        rc = fail("standard output", "C");
    return rc < 0 ? 1 : rc;
}
