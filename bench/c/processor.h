/* processor.h: which processor a thread runs on. */
#ifndef BENCH_PROCESSOR_H
#define BENCH_PROCESSOR_H

/* stay_on has the calling thread run on the nth of the processors that this program
 * was started with, counted in a circle. Two ends of a wire are several times faster
 * or slower by whether the kernel has put them on one processor or on two, and it
 * may leave them there for as long as they are measured. It returns 0, or -1 after a
 * message. */
int stay_on(int n, const char *row);

#endif
