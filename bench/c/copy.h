/* copy.h: the plain ways to read and to write bytes of a file that is in memory. */
#ifndef BENCH_COPY_H
#define BENCH_COPY_H

#include "work.h"

/* Each reads, or writes where w->writes, and ends in its own kind of sync where
 * w->sync asks for one. */
int by_mv_copy(struct work *w, struct way *v, long first, long n); /* mv_read, mv_write */
int by_memcpy(struct work *w, struct way *v, long first, long n);  /* of v->data */
int by_mv_data(struct work *w, struct way *v, long first, long n); /* memcpy of mv_data */
int by_pread(struct work *w, struct way *v, long first, long n);   /* pread, pwrite */
int by_read(struct work *w, struct way *v, long first, long n);    /* read, write; in order */

/* stay_writable prepares a mapping or a view for writes without faults. */
int stay_writable(struct work *w, struct way *v);

#endif
