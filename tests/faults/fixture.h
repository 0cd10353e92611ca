/*
 * fixture.h: the file systems of mounts.sh, for C programs that it runs.
 *
 * A file system is named as there: "ext4", "xfs", "btrfs", "tmpfs", "overlay".
 */
#ifndef MAPVIEW_TESTS_FIXTURE_H
#define MAPVIEW_TESTS_FIXTURE_H

#include "../support.h"

/* FIXTURE_NAMES is all that mounts.sh can make, NULL at the end. */
extern const char *const fixture_names[];

/* fixture_has tells whether it was made, fixture_has_disk whether on a fault
 * disk. Both check that mounts.sh runs this program at all. */
bool fixture_has(const char *fs);
bool fixture_has_disk(const char *fs);

/* fixture_path returns the path of name in the file system; a name that begins
 * with a dot is of what stands beside it (".disk/disk", ".lower/file"). The
 * string holds for some thirty calls. */
const char *fixture_path(const char *fs, const char *name);

/* fixture_order gives the disk a command, which must work; fixture_try_order
 * returns 0 or a negative errno. */
void fixture_order(const char *fs, const char *command);
int fixture_try_order(const char *fs, const char *command);

/* fixture_count returns one of the disk's counts: "reads", "failed" and so on. */
unsigned long fixture_count(const char *fs, const char *what);

/* fixture_forget makes the kernel read the file's bytes from the disk again
 * when they are next needed. */
void fixture_forget(const char *path);

/* fixture_fill takes all the room that there is, with a file that
 * fixture_free removes again. */
void fixture_fill(const char *fs);
void fixture_free(const char *fs);

/* fixture_unmount and fixture_mount end and begin the use of its disk: nothing
 * may be open there. Only for file systems that are themselves on a disk: not
 * tmpfs and overlay. */
void fixture_unmount(const char *fs);
void fixture_mount(const char *fs);

/* fixture_cut cuts the power of the disk at this moment and mounts it again:
 * what is there now is what was on the medium. */
void fixture_cut(const char *fs);

/* fixture_reset heals the disk and empties the file system: also what a failed
 * test has left. */
void fixture_reset(const char *fs);

#endif
