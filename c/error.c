/* error.c: mv_error, filled in one place, and the sentences for the codes. */
#include "internal.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static int fill_error(mv_error *err, int code, struct mv__place place, const char *op,
                      const char *format, va_list arguments)
{
    if (!err || mv__error_usable(err) < 0)
        return code;
    mv_error full = {0};
    full.size = err->size; /* stays what the caller said */
    full.code = code;
    full.offset = place.offset;
    full.length = place.length;
    full.done = place.done;
    (void)snprintf(full.op, sizeof full.op, "%s", op);
    (void)vsnprintf(full.text, sizeof full.text, format, arguments);
    memcpy(err, &full, sizeof full); /* a larger one's tail is not known here */
    return code;
}

int mv__fail(mv_error *err, int code, const char *op, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    fill_error(err, code, (struct mv__place){0, 0, 0}, op, format, arguments);
    va_end(arguments);
    return code;
}

int mv__fail_at(mv_error *err, int code, struct mv__place place, const char *op, const char *format,
                ...)
{
    va_list arguments;
    va_start(arguments, format);
    fill_error(err, code, place, op, format, arguments);
    va_end(arguments);
    return code;
}

int mv__fail_call(mv_error *err, int code, const char *op)
{
    return mv__fail(err, code, op, "%s failed: %s", op, mv_strerror(code));
}

/* The sentences say what a code means to a user of mapview, which is often
 * more than the system's own say. */
const char *mv_strerror(int code)
{
    switch (code < 0 && code != INT32_MIN ? -code : code) {
    case 0:
        return "no error";
    case MV_ETRUNCATED:
        return "the file ends before this byte: somebody has cut it";
    case EACCES:
        return "permission denied, or the view cannot be accessed in this way";
    case EAGAIN:
        return "it cannot be done for now, try again";
    case EBADF:
        return "the descriptor is not open, or the view is detached";
    case EBUSY:
        return "somebody else has made the file longer";
    case ECHILD:
        return "the view belongs to the parent of this process";
    case EDQUOT:
        return "the disk quota is used up";
    case EEXIST:
        return "the file exists already";
    case EFAULT:
        return "the caller's buffer cannot be accessed";
    case EFBIG:
        return "larger than RLIMIT_FSIZE or the file system allows";
    case EINVAL:
        return "an argument is not valid";
    case EIO:
        return "the device failed";
    case EISDIR:
        return "the path is a directory";
    case ELOOP:
        return "the path is a symbolic link, or has too many of them";
    case EMFILE:
        return "this process has too many open descriptors";
    case ENFILE:
        return "the system has too many open files";
    case ENODEV:
        return "this kind of file cannot be mapped";
    case ENOENT:
        return "there is no such file";
    case ENOMEM:
        return "no memory or address space is left, or too many mappings";
    case ENAMETOOLONG:
        return "the path, or a part of it, is too long";
    case ENOTDIR:
        return "a part of the path is no directory";
    case ENOSPC:
        return "no space is left on the device";
    case ENXIO:
        return "the path is a socket, or names a device that is not there";
    case EOPNOTSUPP:
        return "the kernel or the file system cannot do this";
    case EOVERFLOW:
        return "a sum of sizes and offsets is too large";
    case EPERM:
        return "the operation is not permitted";
    case EROFS:
        return "the file system is read-only";
    case ESTALE:
        return "the path, or the descriptor, leads to another file now";
    case ETXTBSY:
        return "the file is a program that is running";
    case E2BIG:
        return "a struct holds fields that this library does not know";
    default:
        return "an error that mapview has no sentence for; see errno(3)";
    }
}

#define MV__TEXT(x) #x
#define MV__DOTTED(major, minor, patch) MV__TEXT(major) "." MV__TEXT(minor) "." MV__TEXT(patch)

const char *mv_version(void)
{
    return MV__DOTTED(MV_VERSION_MAJOR, MV_VERSION_MINOR, MV_VERSION_PATCH);
}
