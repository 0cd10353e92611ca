/* number.c: mv_load and mv_store: numbers, accessed at once. */
#include "internal.h"

#include <endian.h>
#include <errno.h>
#include <inttypes.h>
#include <string.h>

/* How often the page may be there when asked, and gone again when accessed. */
#define ATTEMPTS_OF_NUMBER 1000

static int check(mv_view *view, uint64_t off, uint32_t width, uint32_t access, mv_error *err)
{
    uint64_t size;
    struct mv__place place = {off, width, 0};
    int r = mv__view_live(view, &size, err);
    if (r != 0)
        return r;
    if (width != 1 && width != 2 && width != 4 && width != 8)
        return mv__fail_at(err, -EINVAL, place, "number", "the width is not 1, 2, 4 or 8 bytes");
    if (off > size || size - off < width)
        return mv__fail_at(err, -EINVAL, place, "number",
                           "%" PRIu32 " bytes from %" PRIu64 " leave the view of %" PRIu64 " bytes",
                           width, off, size);
    if (((uintptr_t)view->data + off) & (width - 1))
        return mv__fail_at(err, -EINVAL, place, "number", "the number is not aligned to its width");
    if (access == MV_WRITE && !view->writable)
        return mv__fail_at(err, -EACCES, place, "number", "the view is read-only");
    if (!view->guarded || !mv__guard_ready())
        return mv__fail_at(err, -EOPNOTSUPP, place, "number", "there is no signal handler to rely on");
    return 0;
}

/* The number whose bytes these are, as they lie in memory. */
static uint64_t from_bytes(uint32_t width, const unsigned char bytes[8])
{
    uint64_t value = 0;
    for (uint32_t i = 0; i < width; i++)
        value |= (uint64_t)bytes[BYTE_ORDER == LITTLE_ENDIAN ? i : width - 1 - i] << (8 * i);
    return value;
}

static bool access_number(mv_view *view, uint64_t off, uint32_t width, uint32_t access, uint64_t *value)
{
    unsigned char *at = view->data + off;
    return access == MV_WRITE ? mv__cpu_store(at, width, *value) : mv__cpu_load(at, width, value);
}

static int fail_as(mv_error *err, int code, const mv_error *why)
{
    return mv__fail_at(err, code, (struct mv__place){why->offset, why->length, 0}, why->op, "%s",
                       why->text);
}

/* After a fault: the cause, or the number after all. What cannot be accessed
 * nobody can come between, so its bytes may be read by pread. Nothing but a
 * store at once is a store, though. */
static int access_slowly(mv_view *view, uint64_t off, uint32_t width, uint32_t access, uint64_t *value,
                         mv_error *err)
{
    unsigned char bytes[8] = {0};
    for (int i = 0; i < ATTEMPTS_OF_NUMBER; i++) {
        struct mv__fault f = {
            .offset = off, .access = access, .buf = access == MV_READ ? bytes : NULL, .n = width};
        mv_error why = MV_ERROR_INIT;
        /* Without err no sentence is made: a signal handler may call. */
        int64_t moved = mv__cause_resolve(view, &f, err ? &why : NULL);
        if (moved < 0)
            return fail_as(err, (int)moved, &why);
        if (moved == (int64_t)width) {
            *value = from_bytes(width, bytes);
            return 0;
        }
        if (moved > 0)
            return mv__fail_at(err, -MV_ETRUNCATED,
                               (struct mv__place){off + (uint64_t)moved, width - (uint64_t)moved, 0},
                               "pread", "the file ends inside the number");
        if (access_number(view, off, width, access, value))
            return 0;
    }
    return mv__fail_at(err, -EAGAIN, (struct mv__place){off, width, 0}, "number",
                       "the bytes come and go, and were gone at every attempt");
}

static int number(mv_view *view, uint64_t off, uint32_t width, uint32_t access, uint64_t *value,
                  mv_error *err)
{
    int r = check(view, off, width, access, err);
    if (r != 0)
        return r;
    if (!access_number(view, off, width, access, value))
        r = access_slowly(view, off, width, access, value, err);
    if (access == MV_WRITE)
        mv__view_wrote(view, off, width);
    if (r != 0)
        return r;
    uint64_t size; /* a detach that ran beside: what was accessed is not the file's */
    r = mv__view_live(view, &size, err);
    if (r == 0 && (off > size || size - off < width))
        r = mv__fail_at(err, -MV_ETRUNCATED, (struct mv__place){off, width, 0}, "number",
                        "the view has been made smaller");
    return r;
}

int mv_load(mv_view *view, uint64_t off, uint32_t width, uint64_t *value, mv_error *err)
{
    if (!value)
        return mv__fail(err, -EINVAL, "number", "there is no place for the value");
    uint64_t loaded = 0;
    int r = number(view, off, width, MV_READ, &loaded, err);
    if (r == 0)
        *value = loaded;
    return r;
}

int mv_store(mv_view *view, uint64_t off, uint32_t width, uint64_t value, mv_error *err)
{
    if (width < 8 && value >> (8 * (width & 7)))
        return mv__fail(err, -EINVAL, "number", "the value does not fit the width");
    return number(view, off, width, MV_WRITE, &value, err);
}
