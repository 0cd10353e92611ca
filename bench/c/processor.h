/* processor.h: which processor a thread runs on. */
#ifndef BENCH_PROCESSOR_H
#define BENCH_PROCESSOR_H

struct work;

/* pause_briefly tells the processor that the thread waits for another one: it shares
 * what it computes with. */
static inline void pause_briefly(void)
{
#ifdef __x86_64__
    __builtin_ia32_pause();
#elif defined __aarch64__
    __asm__ volatile("isb");
#endif
}

/* stay_on has the calling thread run on the nth of the processors that this program
 * was started with, counted in a circle. Two ends of a wire are several times faster
 * or slower by whether the kernel has put them on one processor or on two, and it
 * may leave them there for as long as they are measured. It returns 0, or -1 after a
 * message. */
int stay_on(int n, const char *row);

/* apart measures, by a line of memory that two threads hand to and fro, how far apart
 * the processors of two ends are now: "near" (less than 90 ns for one handing over),
 * "far", or "one", where there is but one. A host moves the processors of its guest
 * together and apart while it runs, and what goes between them then takes several
 * times as long. The calling thread stays on the first. NULL after a message. */
const char *apart(const char *row);

/* as_far_apart is holds of blocks between processors: w->distance is what it was. */
int as_far_apart(struct work *w);

#endif
