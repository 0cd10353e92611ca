/* guarded.h: guarded accesses of every kind, each at its fault. */
#ifndef MAPVIEW_TESTS_GUARDED_H
#define MAPVIEW_TESTS_GUARDED_H

#include "support.h"

#include <signal.h>

/* guarded_group_begin begins a group in which the handler is not installed. */
int guarded_group_begin(void **state);

/* LEFT: what a fault may leave behind knows nothing of the sanitizers. */
#define LEFT __attribute__((noinline, no_sanitize_address, no_sanitize_thread))

/* open_cut returns a view of a new file in the scratch folder, which has been
 * cut to nothing since. */
enum { CUT_PAGES = 4 };
mv_view *open_cut(const char *name, uint64_t flags);

/* check_guarded accesses a write view of a file that has been cut to nothing,
 * in every way, and checks that each is refused. */
void check_guarded(mv_view *view);

/* load_first loads one byte, store_first stores one: for mv_try. */
int load_first(void *at);
int store_first(void *at);

/* set_handler is sigaction, checked; set_default sets SIGBUS and SIGSEGV to
 * SIG_DFL, which they are not under a sanitizer. */
void set_handler(int number, const struct sigaction *action);
void set_default(void);

#endif
