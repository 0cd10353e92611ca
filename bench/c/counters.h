/* counters.h: what the kernel counts, for this process or for a device. */
#ifndef BENCH_COUNTERS_H
#define BENCH_COUNTERS_H

/* faults_so_far counts the page faults of this process. */
long faults_so_far(void);

/* device_bytes are the bytes that were written to the device of that file,
 * whoever wrote them; -1 where it has no counter (memory, btrfs). */
double device_bytes(const char *path);

#endif
