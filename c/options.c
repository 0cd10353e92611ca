/* options.c: checks an mv_options and plans where the view lies. No system
 * calls: everything here can be tested and fuzzed as arithmetic. */
#include "internal.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

/* The largest offset that off_t can hold. */
#define LARGEST ((uint64_t)INT64_MAX)

/* No release will have a larger mv_options: a size over this is garbage. */
#define LARGEST_STRUCT 4096

#define EVERY_FLAG                                                                             \
    (MV_OPEN_WRITE | MV_OPEN_PRIVATE | MV_OPEN_CREATE | MV_OPEN_EXCLUSIVE | MV_OPEN_TRUNCATE | \
     MV_OPEN_RANDOM | MV_OPEN_SEQUENTIAL | MV_OPEN_DEVICE | MV_OPEN_NOFOLLOW |                 \
     MV_OPEN_SHARE_DESCRIPTION | MV_OPEN_NO_HANDLER | MV_OPEN_TRACK)

static uint64_t flags_of_kind(enum mv__kind kind)
{
    switch (kind) {
    case MV__PATH:
        return EVERY_FLAG & ~MV_OPEN_SHARE_DESCRIPTION;
    case MV__MEMORY:
        return EVERY_FLAG & ~(MV_OPEN_SHARE_DESCRIPTION | MV_OPEN_DEVICE | MV_OPEN_NOFOLLOW);
    case MV__DESCRIPTOR:
        return EVERY_FLAG & ~(MV_OPEN_CREATE | MV_OPEN_EXCLUSIVE | MV_OPEN_NOFOLLOW);
    default:
        return MV_OPEN_WRITE | MV_OPEN_PRIVATE | MV_OPEN_RANDOM | MV_OPEN_SEQUENTIAL |
               MV_OPEN_NO_HANDLER | MV_OPEN_TRACK;
    }
}

static int invalid(mv_error *err, const char *sentence)
{
    return mv__fail(err, -EINVAL, "options", "%s", sentence);
}

int mv__options_copy(const void *given, void *out, uint32_t known, mv_error *err)
{
    uint32_t size;
    memcpy(&size, given, sizeof size);
    if (size < known)
        return mv__fail(err, -EINVAL, "options",
                        "options.size is %" PRIu32 ", less than the struct that it is of", size);
    if (size > LARGEST_STRUCT)
        return mv__fail(err, -E2BIG, "options",
                        "options.size is %" PRIu32 ": was it set by the _INIT macro?", size);
    const unsigned char *bytes = given;
    for (size_t i = known; i < size; i++)
        if (bytes[i] != 0)
            return mv__fail(err, -E2BIG, "options",
                            "options has fields that this library does not know");
    memcpy(out, given, known);
    memcpy(out, &known, sizeof known);
    return 0;
}

static int check_flags(const mv_options *o, enum mv__kind kind, mv_error *err)
{
    uint64_t f = o->flags;
    if (f & ~EVERY_FLAG)
        return mv__fail(err, -EINVAL, "options", "options.flags has unknown bits 0x%" PRIx64,
                        f & ~EVERY_FLAG);
    if (f & ~flags_of_kind(kind))
        return mv__fail(err, -EINVAL, "options",
                        "options.flags has bits 0x%" PRIx64 " that this call does not take",
                        f & ~flags_of_kind(kind));
    if ((f & MV_OPEN_TRUNCATE) && (!(f & MV_OPEN_WRITE) || (f & MV_OPEN_PRIVATE)))
        return invalid(err, "truncating needs a view that is shared and can be written");
    if ((f & MV_OPEN_EXCLUSIVE) && !(f & MV_OPEN_CREATE))
        return invalid(err, "exclusive creation needs the flag for creation, too");
    if ((f & MV_OPEN_RANDOM) && (f & MV_OPEN_SEQUENTIAL))
        return invalid(err, "random and sequential access contradict each other");
    if ((f & MV_OPEN_TRACK) && !(f & MV_OPEN_WRITE) && kind != MV__ANONYMOUS)
        return invalid(err, "tracking needs a view that can be written");
    if ((f & MV_OPEN_DEVICE) && o->length == 0)
        return invalid(err, "a device needs a length");
    if ((f & MV_OPEN_DEVICE) && (f & (MV_OPEN_CREATE | MV_OPEN_TRUNCATE)))
        return invalid(err, "a device can be neither created nor truncated");
    return 0;
}

static int check_fields(const mv_options *o, enum mv__kind kind, mv_error *err)
{
    bool shared_write = (o->flags & MV_OPEN_WRITE) && !(o->flags & MV_OPEN_PRIVATE);
    if (o->mode & ~07777U)
        return mv__fail(err, -EINVAL, "options", "mode 0%" PRIo32 " has more than permission bits",
                        o->mode);
    if (o->offset > LARGEST || o->length > LARGEST - o->offset)
        return mv__fail(err, -EOVERFLOW, "options", "offset plus length is over 63 bits");
    if (o->file_size > LARGEST || o->reserve > LARGEST - o->offset)
        return mv__fail(err, -EOVERFLOW, "options",
                        "the file size, or offset plus reserve, is over 63 bits");
    if (kind == MV__ANONYMOUS) {
        if (o->offset || o->length || o->file_size || o->mode)
            return invalid(err, "memory takes no offset, length, file_size or mode");
        if (o->reserve && (o->flags & MV_OPEN_PRIVATE))
            return invalid(err, "private memory cannot grow, so it takes no reserve");
        return 0;
    }
    if (o->file_size && kind == MV__MEMORY)
        return invalid(err, "memory takes its size as an argument, not as file_size");
    if (o->file_size && !shared_write)
        return invalid(err, "a file size needs a view that is shared and can be written");
    if (o->file_size && (o->flags & MV_OPEN_DEVICE))
        return invalid(err, "a file size is not for devices");
    return 0;
}

int mv__options_check(const mv_options *given, enum mv__kind kind, mv_options *out, mv_error *err)
{
    *out = (mv_options)MV_OPTIONS_INIT;
    int r = given ? mv__options_copy(given, out, sizeof *out, err) : 0;
    if (r == 0)
        r = check_flags(out, kind, err);
    if (r == 0)
        r = check_fields(out, kind, err);
    if (r == 0 && kind == MV__ANONYMOUS)
        out->flags |= MV_OPEN_WRITE;
    return r;
}

int mv__geometry_plan(const mv_options *o, uint64_t file_length, size_t page, struct mv__geometry *out,
                      mv_error *err)
{
    uint64_t size = o->length;
    if (o->offset > file_length)
        return mv__fail(err, -EINVAL, "options",
                        "offset %" PRIu64 " is past the end of the file, %" PRIu64, o->offset,
                        file_length);
    if (size > file_length - o->offset)
        return mv__fail(err, -EINVAL, "options",
                        "offset %" PRIu64 " plus length %" PRIu64
                        " is past the end of the file, %" PRIu64,
                        o->offset, size, file_length);
    if (size == 0)
        size = file_length - o->offset;

    /* At least a page is mapped, so that an empty view has an address and the
     * kernel's word that the file can be mapped. */
    size_t lead = (size_t)(o->offset & (page - 1));
    uint64_t room = o->reserve > size && !o->length ? o->reserve : size;
    uint64_t largest = (uint64_t)PTRDIFF_MAX - lead - page;
    if (room > largest)
        return mv__fail(err, -ENOMEM, "options",
                        "%" PRIu64 " bytes are more than the processor can address", room);
    uint64_t mapped = (lead + (room ? room : 1) + page - 1) & ~(uint64_t)(page - 1);

    /* A part of a file never grows over the part that was asked for, and no
     * view over what an offset in the file can name. */
    uint64_t limit = o->length ? size : mapped - lead;
    if (limit > LARGEST - o->offset)
        limit = LARGEST - o->offset;
    *out = (struct mv__geometry){
        .offset = o->offset, .lead = lead, .mapped = (size_t)mapped, .size = size, .limit = limit};
    return 0;
}
