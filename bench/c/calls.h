/* calls.h: counts the system calls of this process, by another that traces it. */
#ifndef BENCH_CALLS_H
#define BENCH_CALLS_H

/* start_counter starts the process that counts. It should come before there is
 * much memory: what fork has shared is copied when it is written later. Where
 * tracing is refused, that shows when counting begins. end_counter ends it. */
void start_counter(void);
void end_counter(void);

/* begin_calls begins to count the system calls of all threads of this process;
 * it returns 0 or -1 where nobody counts. end_calls returns how many there were
 * since, or -1. */
int begin_calls(void);
long end_calls(void);

#endif
