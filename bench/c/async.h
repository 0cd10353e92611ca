/* async.h: accesses by POSIX aio and by io_uring, one at a time or a batch at once. */
#ifndef BENCH_ASYNC_H
#define BENCH_ASYNC_H

#include "work.h"

/* open_uring opens the file besides; kind: flags of open(2). Without liburing, or
 * where the kernel refuses a ring, the way is absent. (aio needs open_way_fd alone.) */
int open_uring(struct work *w, struct way *v);
void close_uring(struct work *w, struct way *v);

/* The runs: v->batch accesses at once. A sync at the end is the file's. */
int run_aio(struct work *w, struct way *v, long first, long n);
int run_uring(struct work *w, struct way *v, long first, long n);

#endif
