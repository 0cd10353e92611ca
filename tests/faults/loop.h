/*
 * loop.h: a file system in an image, mounted through a loop device that goes
 * with the mount.
 */
#ifndef MAPVIEW_TESTS_LOOP_H
#define MAPVIEW_TESTS_LOOP_H

/* loop_mount mounts the image on folder. Returns 0 or a negative errno. */
int loop_mount(const char *image, const char *type, const char *options, const char *folder);

/* loop_unmount unmounts folder, once nobody uses it any more, and makes btrfs
 * forget what it has seen: it would refuse an earlier state of the same one.
 * Returns 0 or a negative errno. */
int loop_unmount(const char *folder);

#endif
