/*
 * broken_goals.c: two blocks of goals.c with a way that is right and one that is
 * wrong as the variable BROKEN says, for the test of what it checks. The state
 * of the second block cannot be had anywhere. Nothing here uses mapview.
 */

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../goals.h"
#include "../rows.h"

static int is(const char *name)
{
    const char *how = getenv("BROKEN");
    return how && strcmp(how, name) == 0;
}

static int prepare(struct scene *s)
{
    return open_plain(s, 0);
}

static int write_right(struct scene *s)
{
    for (size_t at = 0; at < s->worked; at += MIB)
        if (pwrite(s->fd, s->bytes, MIB, (off_t)at) != (ssize_t)MIB)
            return -1;
    return 0;
}

static int write_wrong(struct scene *s)
{
    if (is("nothing"))
        return 0;
    if (is("failing"))
        return -1;
    if (is("first"))
        return pwrite(s->fd, s->bytes, MIB, 0) == (ssize_t)MIB ? 0 : -1;
    if (write_right(s) != 0)
        return -1;
    if (is("last-byte"))
        return pwrite(s->fd, "", 1, (off_t)s->worked - 1) == 1 ? 0 : -1;
    return is("short") ? ftruncate(s->fd, (off_t)s->worked - 1) : 0;
}

static int check(struct scene *s)
{
    return check_pieces(s, s->worked);
}

#define WAYS                                                   \
    {                                                          \
        {"libc", "right", prepare, write_right, check, 0},     \
            {"libc", "wrong", prepare, write_wrong, check, 0}, \
            {"libc", "right", prepare, write_right, check, 1}, \
    }

const struct goal_block update_blocks[] = {
    {"Broken", 4 * MIB, 4 * MIB, MIB, 4 * KIB, WAYS, "", 0},
    {"Nowhere", 4 * MIB, 4 * MIB, MIB, 4 * MIB, WAYS, "", 0},
    {NULL},
};

const struct goal_block stream_blocks[] = {{NULL}};
const struct goal_block growth_block = {"Growth", 4 * MIB, MIB, MIB, 0, {{NULL}}, "", 0};

int main(int argc, char **argv)
{
    struct order order = {argc > 1 ? argv[1] : ".", 0.01, ""};
    struct row both = {"", 0, 0, "", measure_goals};
    return measure_goals(&both, &order) == 0 ? 0 : 1;
}

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
