/* test_crash.c: cuts the power of file systems at every flush of a run, and
 * looks whether what was promised is there. */
#include "crash.h"

#include "../faults/loop.h"

#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>

static unsigned seed = 1;
static size_t most_partial = 80; /* images with a part of what was not flushed */

/* On a machine with much else to do, a place has so many seconds for every cut,
 * and then passes most of the rest over. The last ones have the lies. */
enum { LONGEST = 40, PASSED_OVER = 10, LAST = 4 };

static struct {
    int images, partial;
    int broken; /* files whose promises do not hold, over all images */
    size_t cuts, epochs;
} count;

/* One image: mounted as after a crash, with all that the file system does to
 * recover. */
static void check_image(const char *type, const char *image, const char *folder)
{
    char shown[600];
    int r = loop_mount(image, type, "", folder);
    count.images++;
    if (r < 0)
        printf("%s cannot be mounted: %s\n", type, strerror(-r));
    snprintf(shown, sizeof shown, "%s/shown", folder);
    count.broken += history_check(r < 0 ? NULL : shown);
    if (r == 0)
        SAME(loop_unmount(folder), 0);
}

static const char *word_for(enum survivors survivors)
{
    static const char *const words[] = {"none", "all", "all but one", "one", "some", "torn"};
    return words[survivors];
}

static void check_cut(const char *fs, size_t epoch, enum survivors survivors)
{
    int before = count.broken;
    const char *image = fixture_path(fs, ".image"), *folder = fixture_path(fs, ".crash");
    log_image(image, epoch, survivors, seed + (unsigned)epoch);
    check_image(fs, image, folder);
    if (count.broken > before)
        printf("%s, after flush %zu, %s of the %zu writes after it survived: broken for %d files\n", fs,
               epoch, word_for(survivors), log_epoch_writes(epoch), count.broken - before);
}

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* An epoch is cut at once behind its flush, without what was written after it,
 * and once more with a part of that, if there are not too many. */
static void check_epochs(const char *fs)
{
    size_t n = log_epochs(), step = (n + most_partial - 1) / most_partial;
    double end = now() + LONGEST;
    for (size_t epoch = 0; epoch < n; epoch++) {
        history_advance(log_epoch_end(epoch));
        if (now() > end && epoch % PASSED_OVER != 0 && epoch + LAST < n)
            continue;
        count.cuts++;
        check_cut(fs, epoch, NONE);
        if (epoch % step != 0 || log_epoch_writes(epoch) == 0)
            continue;
        check_cut(fs, epoch, (enum survivors)(ALL + epoch / step % TORN));
        count.partial++;
    }
    count.epochs = n;
}

static void print_counts(const char *place, double seconds)
{
    struct history_totals t = history_totals();
    printf("%s: %d violations of %d promises about %d files, in %d images of cuts at %zu of %zu "
           "flushes (%d with a part "
           "of what was not flushed); %llu promised bytes compared, %d of %d lies found out; %.1f s\n",
           place, count.broken, t.promises - t.lies, t.files - t.lies, count.images, count.cuts,
           count.epochs, count.partial, (unsigned long long)t.checked, t.lies_found, t.lies, seconds);
}

static void run_crash(const char *place, const char *fs, bool journal)
{
    double start = now();
    memset(&count, 0, sizeof count);
    log_begin(fs, !journal);
    actor_enumerate(fs);
    actor_random(fs, seed);
    actor_lie(fs);
    log_end(fs);
    fixture_unmount(fs); /* two with one identity would be too many */
    const char *folder = fixture_path(fs, ".crash");
    CHECK(mkdir(folder, 0700) == 0);
    check_epochs(fs);
    CHECK(rmdir(folder) == 0);
    unlink(fixture_path(fs, ".image"));
    fixture_mount(fs);
    log_free();
    print_counts(place, now() - start);
    support_context = history_unfound();
    CHECK(!history_unfound()); /* else the model sees nothing */
    support_context = place;
    SAME(count.broken, 0);
    CHECK(count.partial > 0 && history_totals().checked > 0);
}

/* Nothing that a file system does for others comes to the help of a name
 * there. */
static void remake_without_journal(void)
{
    char command[1200];
    CHECK(mkdir(scratch("root"), 0755) == 0 && mkdir(scratch("root/shown"), 0755) == 0);
    fixture_unmount("ext4");
    snprintf(command, sizeof command,
             "mkfs.ext4 -q -F -m 0 -b 4096 -O ^has_journal -d '%s' '%s' >/dev/null", scratch("root"),
             fixture_path("ext4", ".disk/disk"));
    CHECK(system(command) == 0);
    fixture_mount("ext4");
}

static void test_place(void **state)
{
    const char *place = *state;
    bool journal = strcmp(place, "ext4 without a journal") != 0;
    const char *fs = journal ? place : "ext4";
    if (!fixture_has_disk(fs))
        skip_test("it could not be made here");
    if (!journal)
        remake_without_journal();
    run_crash(place, fs, journal);
}

/* With arguments: a seed, how many partial images at most, the only place. */
int main(int argc, char **argv)
{
    static char places[][32] = {"ext4", "xfs", "btrfs", "ext4 without a journal"};
    struct CMUnitTest tests[4];
    size_t n = 0;
    if (argc > 1)
        seed = (unsigned)atoi(argv[1]);
    if (argc > 2 && atoi(argv[2]) > 0)
        most_partial = (size_t)atoi(argv[2]);
    for (size_t i = 0; i < 4; i++)
        if (argc < 4 || strcmp(argv[3], places[i]) == 0)
            tests[n++] =
                (struct CMUnitTest){places[i], test_place, support_begin, support_end, places[i]};
    return _cmocka_run_group_tests("crash", tests, n, support_group_begin, support_group_end);
}
