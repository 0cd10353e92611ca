/* counters.c: see counters.h. The device's counter is /sys/dev/block/N:M/stat. */

#include "counters.h"

#include <stdio.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

long faults_so_far(void)
{
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return usage.ru_minflt + usage.ru_majflt;
}

double device_bytes(const char *path)
{
    struct stat st;
    char name[64];
    unsigned long sectors;
    if (stat(path, &st) != 0)
        return -1;
    snprintf(name, sizeof name, "/sys/dev/block/%u:%u/stat", major(st.st_dev), minor(st.st_dev));
    FILE *counters = fopen(name, "re");
    if (!counters)
        return -1;
    int got = fscanf(counters, "%*u %*u %*u %*u %*u %*u %lu", &sectors);
    fclose(counters);
    return got == 1 ? (double)sectors * 512 : -1;
}
