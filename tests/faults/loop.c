/* loop.c: mounts images by the system calls alone: there are thousands. */
#include "loop.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/btrfs.h>
#include <linux/loop.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <unistd.h>

/* Whoever else looks for a free loop device, or still has a file open, may
 * need a moment. */
enum { ATTEMPTS = 200, MOMENT = 10000 /* microseconds */ };

static int attach(int control, int image, char *device, size_t room)
{
    struct loop_config config = {.fd = (unsigned)image, .info.lo_flags = LO_FLAGS_AUTOCLEAR};
    for (int i = 0; i < ATTEMPTS; i++, usleep(MOMENT)) {
        int number = ioctl(control, LOOP_CTL_GET_FREE);
        if (number < 0)
            return -errno;
        snprintf(device, room, "/dev/loop%d", number);
        int loop = open(device, O_RDWR | O_CLOEXEC);
        if (loop < 0)
            continue;
        if (ioctl(loop, LOOP_CONFIGURE, &config) == 0)
            return loop;
        int code = -errno;
        close(loop);
        if (code != -EBUSY)
            return code;
    }
    return -EBUSY;
}

int loop_mount(const char *image, const char *type, const char *options, const char *folder)
{
    char device[64];
    int control = open("/dev/loop-control", O_RDWR | O_CLOEXEC);
    int file = open(image, O_RDWR | O_CLOEXEC);
    int loop = control < 0 || file < 0 ? -errno : attach(control, file, device, sizeof device);
    int r = loop < 0 ? loop : mount(device, folder, type, 0, options) < 0 ? -errno : 0;
    if (loop >= 0)
        close(loop); /* without a mount the device goes now */
    if (file >= 0)
        close(file);
    if (control >= 0)
        close(control);
    return r;
}

static void forget_btrfs(void)
{
    struct btrfs_ioctl_vol_args all = {0};
    int control = open("/dev/btrfs-control", O_RDWR | O_CLOEXEC);
    if (control < 0)
        return;
    ioctl(control, BTRFS_IOC_FORGET_DEV, &all); /* none, where all is in use */
    close(control);
}

int loop_unmount(const char *folder)
{
    int r = -1;
    for (int i = 0; r < 0 && i < ATTEMPTS; i++) {
        r = umount(folder);
        if (r < 0 && errno != EBUSY)
            break;
        if (r < 0)
            usleep(MOMENT);
    }
    r = r < 0 ? -errno : 0;
    forget_btrfs();
    return r;
}
