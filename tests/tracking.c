/* tracking.c: views of each way of tracking. */
#include "tracking.h"

mv_range ranges[MOST_RANGES];
const uint32_t tracks[WAYS] = {MV_TRACK_KERNEL, MV_TRACK_MARKS, MV_TRACK_PRIVATE};

bool refuse(unsigned k, long *result, void *argument)
{
    (void)k;
    (void)argument;
    *result = -EPERM;
    return true;
}

bool kernel_can_watch(void)
{
    mv_view *view = open_memory(PAGE, 0);
    close_view(view);
    mv_options o = with(MV_OPEN_TRACK);
    WORKS(mv_anonymous(PAGE, &o, &view, ERR));
    bool can = info_of(view).tracking == MV_TRACK_KERNEL;
    close_view(view);
    return can;
}

mv_view *open_way(const char *path, uint32_t way, uint64_t flags)
{
    mv_options o = with(MV_OPEN_WRITE | MV_OPEN_TRACK | flags);
    o.offset = TRACKED_FROM;
    o.reserve = 3 * TRACKED_PAGES * PAGE;
    if (way != MV_TRACK_KERNEL)
        failing_on(FAILING_userfaultfd, refuse, NULL);
    mv_view *view = open_with(path, &o);
    failing_on(FAILING_userfaultfd, NULL, NULL);
    if (way == MV_TRACK_KERNEL && info_of(view).tracking != way) {
        close_view(view);
        skip_test("this kernel does not note what is written: Linux 6.7 does");
    }
    SAME(info_of(view).tracking, way);
    return view;
}

mv_view *open_file_way(uint32_t way)
{
    uint64_t flags = way == MV_TRACK_PRIVATE ? MV_OPEN_PRIVATE : 0;
    return open_way(make_file(scratch("file"), TRACKED_PAGES * PAGE), way, flags);
}

int64_t look(mv_view *view, uint32_t flags)
{
    memset(ranges, 0xEE, sizeof ranges);
    return WORKS(mv_dirty(view, 0, MV_TO_END, ranges, MOST_RANGES, flags, ERR));
}

void check_range(size_t i, const mv_view *view, uint64_t first, uint64_t end)
{
    uint64_t lead = view->geometry.lead, size = mv_size(view);
    uint64_t start = first ? first * PAGE - lead : 0, stop = end * PAGE - lead;
    SAME(ranges[i].offset, start);
    SAME(ranges[i].length, (stop < size ? stop : size) - start);
}

uint64_t pages_found(mv_view *view, uint32_t flags)
{
    uint64_t bits = 0, lead = view->geometry.lead;
    int64_t n = look(view, flags);
    for (int64_t i = 0; i < n; i++)
        for (uint64_t at = ranges[i].offset; at < ranges[i].offset + ranges[i].length;
             at += PAGE - (lead + at) % PAGE)
            bits |= (uint64_t)1 << (lead + at) / PAGE;
    return bits;
}

void write_page(mv_view *view, uint64_t page)
{
    SAME(WORKS(mv_write(view, "dirty", 5, page ? page * PAGE - view->geometry.lead : 0, ERR)), 5);
}
