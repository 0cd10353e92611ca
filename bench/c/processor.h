/* processor.h: which processor a thread runs on. */
#ifndef BENCH_PROCESSOR_H
#define BENCH_PROCESSOR_H

/* stay_on has the calling thread run on the nth of the processors that this program
 * was started with, counted in a circle. Two ends of a wire are several times faster
 * or slower by whether the kernel has put them on one processor or on two, and it
 * may leave them there for as long as they are measured. It returns 0, or -1 after a
 * message. */
int stay_on(int n, const char *row);

/* apart measures, by a line of memory that two threads hand to and fro, how far apart
 * the processors of two ends are now: "near", where they share a cache below the last
 * one or nearly so, "far", or "one", where there is but one. A host can move the
 * processors of its guest, and what goes between them then takes several times as long,
 * minutes on end. The calling thread stays on the first. NULL after a message. */
const char *apart(const char *row);

#endif
