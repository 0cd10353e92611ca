/* guarded.c: guarded accesses of every kind, each at its fault. */
#include "guarded.h"

int guarded_group_begin(void **state)
{
    mv_view *view;
    int r = support_group_begin_cold(state);
    /* What the library makes once and keeps for the process. */
    if (r == 0)
        r = mv_anonymous(1, NULL, &view, NULL);
    if (r == 0) {
        mv_probe(view, 0, 1, MV_READ, NULL);
        mv_close(view, NULL);
    }
    return r;
}

mv_view *open_cut(const char *name, uint64_t flags)
{
    mv_view *view = open_view(make_file(scratch(name), CUT_PAGES * PAGE), flags);
    cut_file(scratch(name), 0);
    return view;
}

LEFT int load_first(void *at)
{
    return *(volatile unsigned char *)at;
}

LEFT int store_first(void *at)
{
    *(volatile unsigned char *)at = 1;
    return 0;
}

void check_guarded(mv_view *view)
{
    unsigned char byte = 1;
    uint64_t number;
    REFUSED(-MV_ETRUNCATED, mv_read(view, &byte, 1, 0, ERR));
    REFUSED(-MV_ETRUNCATED, mv_write(view, &byte, 1, PAGE, ERR));
    REFUSED(-MV_ETRUNCATED, mv_load(view, 8, 8, &number, ERR));
    REFUSED(-MV_ETRUNCATED, mv_store(view, 2 * PAGE, 4, 1, ERR));
    REFUSED(-MV_ETRUNCATED, mv_try(view, load_first, mv_data(view), ERR));
    REFUSED(-MV_ETRUNCATED, mv_try(view, store_first, mv_data(view), ERR));
}

void set_handler(int number, const struct sigaction *action)
{
    CHECK(sigaction(number, action, NULL) == 0);
}

void set_default(void)
{
    set_handler(SIGBUS, &(struct sigaction){.sa_handler = SIG_DFL});
    set_handler(SIGSEGV, &(struct sigaction){.sa_handler = SIG_DFL});
}
