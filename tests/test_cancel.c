/* test_cancel.c: a thread that somebody has cancelled finishes its calls: none
 * of them is a point at which it ends. */
#include "support.h"

#include <pthread.h>

struct work {
    uint64_t way; /* of every view */
    bool finished;
};

static int do_nothing(void *argument)
{
    (void)argument;
    return 5;
}

static bool use_guarded(mv_view *view)
{
    uint64_t value;
    return mv_load(view, 0, 8, &value, NULL) == 0 && mv_store(view, 0, 8, value, NULL) == 0 &&
           mv_try(view, do_nothing, NULL, NULL) == 5;
}

static bool use_all(mv_view *view, mv_view *reading)
{
    char byte = 0;
    bool failed = mv_resize(view, 2 * PAGE, NULL) < 0;
    failed |= mv_write(view, &byte, 1, 0, NULL) != 1;
    failed |= mv_read(view, &byte, 1, 0, NULL) != 1;
    for (uint32_t level = MV_SYNC_START; level <= MV_SYNC_FULL; level++)
        failed |= mv_sync(view, 0, MV_TO_END, level, NULL) < 0;
    failed |= mv_sync(reading, 0, MV_TO_END, MV_SYNC_DATA, NULL) < 0;
    failed |= mv_refresh(reading, NULL) < 0;
    failed |= mv_probe(reading, 0, MV_TO_END, MV_READ, NULL) < 0;
    failed |= mv_discard(view, 0, 10, NULL) < 0;
    return !failed;
}

static void *work_while_cancelled(void *argument)
{
    struct work *work = argument;
    mv_view *view, *reading;
    mv_options o = with(MV_OPEN_WRITE | MV_OPEN_CREATE | work->way);
    o.file_size = PAGE;
    o.reserve = 4 * PAGE;
    pthread_cancel(pthread_self());
    if (mv_open(scratch("new"), &o, &view, NULL) < 0)
        return NULL;
    o = with(work->way);
    o.reserve = 4 * PAGE;
    if (mv_open(scratch("new"), &o, &reading, NULL) < 0)
        return NULL;
    bool finished = use_all(view, reading);
    if (work->way == 0)
        finished &= use_guarded(view);
    finished &= mv_detach(view, NULL) == 0;
    finished &= mv_close(view, NULL) == 0;
    finished &= mv_close(reading, NULL) == 0;
    work->finished = finished;
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, NULL);
    return argument;
}

static void test_cancellation(void **state)
{
    (void)state;
    static const uint64_t ways[] = {0, MV_OPEN_NO_HANDLER};
    for (size_t i = 0; i < 2; i++) {
        pthread_t thread;
        struct work work = {ways[i], false};
        void *result;
        CHECK(pthread_create(&thread, NULL, work_while_cancelled, &work) == 0);
        CHECK(pthread_join(thread, &result) == 0);
        CHECK(result == &work && work.finished);
        CHECK(unlink(scratch("new")) == 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_cancellation),
    };
    return RUN(tests);
}
