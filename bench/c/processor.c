/* processor.c: see processor.h. */

#include "processor.h"

#include <sched.h>

#include "rounds.h"

int stay_on(int n, const char *row)
{
    static cpu_set_t all; /* before anybody was told to stay: threads inherit it */
    cpu_set_t one;
    if (CPU_COUNT(&all) == 0 && sched_getaffinity(0, sizeof all, &all) != 0)
        return fail("sched_getaffinity", row);
    n %= CPU_COUNT(&all);
    int cpu = 0;
    for (; !CPU_ISSET(cpu, &all) || n > 0; cpu++)
        n -= CPU_ISSET(cpu, &all) != 0;
    CPU_ZERO(&one);
    CPU_SET(cpu, &one);
    return sched_setaffinity(0, sizeof one, &one) == 0 ? 0 : fail("sched_setaffinity", row);
}
