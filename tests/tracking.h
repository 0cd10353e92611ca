/*
 * tracking.h: views of each way of tracking, and what mv_dirty finds in them.
 *
 * A view of a file begins at byte 100 of it, so that pages are counted from the
 * file's beginning.
 */
#ifndef MAPVIEW_TESTS_TRACKING_H
#define MAPVIEW_TESTS_TRACKING_H

#include "support.h"

enum { TRACKED_PAGES = 12, MOST_RANGES = 64, TRACKED_FROM = 100 };

/* tracks are the ways that there are; the first two can be reset. */
enum { RESETTABLE = 2, WAYS = 3 };
extern const uint32_t tracks[WAYS];

/* ranges is where the calls below have mv_dirty store. */
extern mv_range ranges[MOST_RANGES];

/* refuse is a hook that answers EPERM. */
bool refuse(unsigned k, long *result, void *argument);

/* kernel_can_watch tells whether MV_TRACK_KERNEL is there. */
bool kernel_can_watch(void);

/* open_way opens a view of the file at path that tracks in this way; skips the
 * test where the kernel cannot. open_file_way makes the file, too. */
mv_view *open_way(const char *path, uint32_t way, uint64_t flags);
mv_view *open_file_way(uint32_t way);

/* look returns how many ranges there are, and pages_found the pages of the file
 * that they have, as bits. */
int64_t look(mv_view *view, uint32_t flags);
uint64_t pages_found(mv_view *view, uint32_t flags);

/* check_range checks that ranges[i] are those pages of the file. */
void check_range(size_t i, const mv_view *view, uint64_t first, uint64_t end);

/* write_page writes some bytes at the beginning of a page of the file. */
void write_page(mv_view *view, uint64_t page);

#endif
