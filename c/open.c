/* open.c: the beginning and the end of a view. */
#include "internal.h"

#include <errno.h>
#include <inttypes.h>

/* The file's length once the options have been obeyed. */
static uint64_t length_to_be(const mv_options *o, uint64_t length)
{
    if (o->flags & MV_OPEN_TRUNCATE)
        length = 0;
    return o->file_size > length ? o->file_size : length;
}

/* Changes the file as the options ask, now that nothing else can fail. */
static int shape_file(mv_view *view, const mv_options *o, int fd, uint64_t length, mv_error *err)
{
    bool grows = o->file_size > length || (o->flags & MV_OPEN_TRUNCATE);
    int allowed = o->file_size && grows ? mv__resize_check_limit(o->file_size, err) : 0;
    if (allowed < 0)
        return allowed;
    if ((o->flags & MV_OPEN_TRUNCATE) && length > 0) {
        long r;
        do
            r = mv__sys.ftruncate(fd, 0);
        while (r == -EINTR);
        if (r < 0)
            return mv__fail_call(err, (int)r, "ftruncate");
        length = 0;
    }
    return o->file_size ? mv__resize_allocate(view, fd, length, 0, o->file_size, err) : 0;
}

/* The file may have changed since it was first looked at. A view up to the end
 * takes it as it is; a part must be there, and what file_size promises. */
static int confirm_size(mv_view *view, const mv_options *o, int fd, mv_error *err)
{
    uint64_t length;
    bool shaped = o->file_size || (o->flags & MV_OPEN_TRUNCATE);
    int r = mv__source_length(&view->source, fd, &length, shaped ? NULL : err);
    if (r != 0) /* what has just been given its length is taken to have it */
        return shaped ? 0 : r;
    uint64_t shown = length > o->offset ? length - o->offset : 0;
    if (length < o->offset || shown < o->length || length < o->file_size)
        return mv__fail(err, -MV_ETRUNCATED, "fstat",
                        "somebody has cut the file to %" PRIu64 " bytes while it was opened", length);
    if (shown < view->geometry.size) {
        view->geometry.size = shown;
        atomic_store(&view->size, shown);
    }
    return 0;
}

/* To who reads the whole file, a cut while it is opened is like one a moment
 * later: a fault that is an error. */
static bool reads_all(const mv_options *o)
{
    return !(o->flags & MV_OPEN_WRITE) && o->offset == 0 && o->length == 0;
}

/* Lets go of what make_view could not finish, which is the caller's error. */
static int give_up(mv_view *view, struct mv__source *source, int fd, const char *path, int code)
{
    if (path)
        mv__source_remove(source, path);
    if (view) {
        mv__source_free(&view->source);
        mv__view_free(view);
    }
    mv__source_abandon(source, fd);
    return code;
}

/* Maps fd and gives the view its source, which is copied; takes fd over. path
 * is that of a file to remove, if it was created, when this fails. The file is
 * changed last. */
static int make_view(struct mv__source *source, int fd, const mv_options *o, const char *path,
                     mv_view **out, mv_error *err)
{
    struct mv__geometry geometry;
    uint64_t length = source->length;
    mv_view *view = NULL;
    bool shapes = o->file_size || (o->flags & MV_OPEN_TRUNCATE);
    int r = source->is_file ? 0 : mv__source_length(source, fd, &length, err);
    if (r == 0)
        r = mv__geometry_plan(o, length_to_be(o, length), mv__sys_page_size(), &geometry, err);
    if (r == 0)
        r = mv__view_new(&geometry, o, fd, &view, err);
    if (r != 0)
        return give_up(view, source, fd, path, r);
    view->source = *source;
    view->source.mapping = view->base;
    if (!shapes && !reads_all(o))
        r = confirm_size(view, o, fd, err);
    if (r == 0)
        r = mv__dirty_open(view, err);
    if (r == 0)
        r = mv__source_settle(&view->source, fd, err);
    if (r != 0)
        return give_up(view, source, fd, path, r);
    view->through = mv__through_wanted(view);
    if (shapes) { /* a shared write view, so that fd is its own by now */
        r = shape_file(view, o, fd, length, err);
        if (r == 0)
            r = confirm_size(view, o, fd, err);
    }
    if (r != 0)
        return give_up(view, source, -1, path, r);
    *out = view;
    return 0;
}

static int check_out(mv_view **out, mv_error *err)
{
    if (out)
        *out = NULL;
    if (mv__error_usable(err) < 0)
        return -EINVAL;
    return out ? 0 : mv__fail(err, -EINVAL, "out", "out is NULL");
}

static int open_path(const char *path, const mv_options *o, mv_view **out, mv_error *err)
{
    struct mv__source source;
    int fd;
    int r = mv__source_path(&source, path, o, &fd, err);
    if (r != 0)
        return r;
    return make_view(&source, fd, o, (o->flags & MV_OPEN_EXCLUSIVE) ? path : NULL, out, err);
}

int mv_open(const char *path, const mv_options *options, mv_view **out, mv_error *err)
{
    mv_options o;
    int r = check_out(out, err);
    if (r == 0 && (!path || !path[0]))
        r = mv__fail(err, path ? -ENOENT : -EINVAL, "path", "the path is %s", path ? "empty" : "NULL");
    if (r == 0)
        r = mv__options_check(options, MV__PATH, &o, err);
    return r != 0 ? r : open_path(path, &o, out, err);
}

int mv_open_fd(int fd, const mv_options *options, mv_view **out, mv_error *err)
{
    mv_options o;
    struct mv__source source;
    int own;
    int r = check_out(out, err);
    if (r == 0)
        r = mv__options_check(options, MV__DESCRIPTOR, &o, err);
    if (r == 0)
        r = mv__source_descriptor(&source, fd, &o, &own, err);
    if (r != 0)
        return r;
    return make_view(&source, own, &o, NULL, out, err);
}

static int open_private_memory(uint64_t size, const mv_options *o, mv_view **out, mv_error *err)
{
    struct mv__geometry geometry;
    int r = mv__geometry_plan(o, size, mv__sys_page_size(), &geometry, err);
    if (r != 0)
        return r;
    geometry.limit = geometry.size; /* it cannot grow */
    mv_view *view;
    r = mv__view_new(&geometry, o, -1, &view, err);
    if (r != 0)
        return r;
    r = mv__dirty_open(view, err);
    if (r != 0)
        mv__view_free(view);
    else
        *out = view;
    return r;
}

int mv_anonymous(uint64_t size, const mv_options *options, mv_view **out, mv_error *err)
{
    mv_options o;
    struct mv__source source;
    int fd;
    int r = check_out(out, err);
    if (r == 0)
        r = mv__options_check(options, MV__ANONYMOUS, &o, err);
    if (r == 0 && size > (uint64_t)INT64_MAX)
        r = mv__fail(err, -EOVERFLOW, "size", "%" PRIu64 " bytes are over 63 bits", size);
    if (r != 0)
        return r;
    if (o.flags & MV_OPEN_PRIVATE)
        return open_private_memory(size, &o, out, err);
    r = mv__source_memory(&source, &fd, err);
    if (r != 0)
        return r;
    o.file_size = size;
    return make_view(&source, fd, &o, NULL, out, err);
}

static int plan_memory(uint64_t size, const mv_options *options, mv_options *o, mv_error *err)
{
    int r = mv__options_check(options, MV__MEMORY, o, err);
    if (r != 0)
        return r;
    if (size > (uint64_t)INT64_MAX)
        return mv__fail(err, -EOVERFLOW, "size", "%" PRIu64 " bytes are over 63 bits", size);
    if (size > 0 && (!(o->flags & MV_OPEN_WRITE) || (o->flags & MV_OPEN_PRIVATE)))
        return mv__fail(err, -EINVAL, "size", "a size needs a view that is shared and can be written");
    /* With blocks, unlike memory of mv_anonymous: the file system that it lies
     * in may be small, as in a container. */
    o->file_size = size;
    o->flags |= MV_OPEN_NOFOLLOW;
    return 0;
}

int mv_memory(const char *name, uint64_t size, const mv_options *options, mv_view **out, mv_error *err)
{
    mv_options o;
    char path[MV__MEMORY_PATH];
    int r = check_out(out, err);
    if (r == 0)
        r = mv__source_memory_path(name, path, err);
    if (r == 0)
        r = plan_memory(size, options, &o, err);
    if (r != 0)
        return r;
    return open_path(path, &o, out, err);
}

int mv_unlink_memory(const char *name, mv_error *err)
{
    char path[MV__MEMORY_PATH];
    int r = mv__error_usable(err);
    if (r == 0)
        r = mv__source_memory_path(name, path, err);
    if (r != 0)
        return r;
    r = (int)mv__sys.unlink(path);
    if (r == -EPERM) /* of a sticky folder: shm_unlink says so, too */
        r = -EACCES;
    if (r < 0)
        return mv__fail(err, r, "unlink", "the memory cannot be removed: %s", mv_strerror(r));
    return 0;
}

int mv_detach(mv_view *view, mv_error *err)
{
    int r = mv__view_own(view, err);
    if (r != 0)
        return r;
    pthread_mutex_lock(&view->shape_lock);
    /* First the word, then the deed: who fails beside this finds the reason. */
    uint64_t size = atomic_exchange(&view->size, MV__DETACHED);
    if (size != MV__DETACHED) {
        r = mv__view_detach(view, err);
        if (r == 0) {
            mv__source_drop(&view->source);
            mv__dirty_detach(view);
        } else
            atomic_store(&view->size, size & ~MV__CLEAN); /* nobody could mark it meanwhile */
    }
    pthread_mutex_unlock(&view->shape_lock);
    return r != 0 ? r : mv__sync_failure(view, err);
}

int mv_close(mv_view *view, mv_error *err)
{
    if (!view)
        return 0;
    /* No lock is taken: nothing else runs, and in a child of fork a lock may
     * be held by a thread that is not there. */
    int failed = mv__sync_held(view, err);
    int closed = mv__source_free(&view->source);
    int unmapped = mv__view_free(view);
    if (failed < 0)
        return failed;
    if (closed < 0)
        return mv__fail_call(err, closed, "close");
    return unmapped < 0 ? mv__fail_call(err, unmapped, "munmap") : 0;
}

int mv_fd(mv_view *view, mv_error *err)
{
    int r = mv__view_enter(view, err);
    if (r != 0)
        return r;
    int fd = mv__source_open_again(&view->source, err);
    uint64_t size;
    r = mv__view_live(view, &size, fd < 0 ? NULL : err);
    if (fd < 0 || r == 0)
        return fd;
    mv__sys.close(fd); /* beside a detach it may be another file by now */
    return r;
}
