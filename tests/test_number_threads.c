/* test_number_threads.c: mv_load and mv_store by several threads, and processes. */
#include "support.h"

#include <sched.h>

/* ---- threads ---- */

/* Two store a number and its complement in turn, until a third has seen both
 * often enough; it hands back what it saw that was neither. */
enum { SIGHTS = 2000 };

static struct {
    mv_view *view;
    uint64_t off;
    uint32_t width;
    atomic_bool over;
} duel;

static void *store_until_over(void *argument)
{
    const uint64_t *numbers = argument;
    for (unsigned i = 0; !atomic_load(&duel.over); i++)
        if (mv_store(duel.view, duel.off, duel.width, numbers[i % 2], NULL) < 0)
            return argument;
    return NULL;
}

static uint64_t watch(uint64_t one, uint64_t other)
{
    unsigned changes = 0;
    for (uint64_t value, last = one; changes < SIGHTS; last = value) {
        if (mv_load(duel.view, duel.off, duel.width, &value, NULL) < 0)
            value = 0;
        if (value != one && value != other)
            return value;
        changes += value != last;
    }
    return one;
}

static void fight(mv_view *view, uint64_t off, uint32_t width)
{
    pthread_t threads[2];
    uint64_t mask = UINT64_MAX >> (64 - 8 * width);
    uint64_t numbers[2] = {0x00FF00FF00FF00FF & mask, 0xFF00FF00FF00FF00 & mask};
    void *failed[2];
    duel.view = view;
    duel.off = off;
    duel.width = width;
    atomic_store(&duel.over, false);
    SAME(mv_store(view, off, width, numbers[0], NULL), 0);
    for (int i = 0; i < 2; i++)
        CHECK(pthread_create(&threads[i], NULL, store_until_over, numbers) == 0);
    uint64_t seen = watch(numbers[0], numbers[1]);
    atomic_store(&duel.over, true);
    for (int i = 0; i < 2; i++)
        CHECK(pthread_join(threads[i], &failed[i]) == 0);
    SAME(seen, numbers[0]);
    CHECK(!failed[0] && !failed[1]);
}

/* Nobody ever sees a part of a number, at whatever place of a cache line. */
static void test_at_once(void **state)
{
    (void)state;
    if (under_valgrind())
        skip_test("under valgrind one thread runs at a time");
    mv_view *view = open_view(make_file(scratch("file"), 2 * PAGE), MV_OPEN_WRITE);
    for (uint32_t width = 2; width <= 8; width *= 2) {
        fight(view, 64 - width, width);
        fight(view, PAGE, width);
    }
    close_view(view);
}

/* What was written before a store is seen by who has loaded what it stored. */
enum { MESSAGE = 200 };

static unsigned messages(void)
{
    return under_valgrind() ? 100 : 5000;
}

static void *send_all(void *argument)
{
    mv_view *view = argument;
    unsigned char bytes[MESSAGE];
    uint64_t answer = 0;
    int64_t failed = 0;
    for (unsigned i = 1; i <= messages(); i++) {
        memset(bytes, (int)(i % 256), sizeof bytes);
        failed |= mv_write(view, bytes, sizeof bytes, PAGE, NULL) < 0;
        failed |= mv_store(view, 0, 4, i, NULL) < 0;
        while (!failed && answer != i) { /* until it was read */
            failed |= mv_load(view, 64, 4, &answer, NULL) < 0;
            sched_yield();
        }
    }
    return failed ? NULL : argument;
}

static unsigned receive(mv_view *view, unsigned number)
{
    unsigned char bytes[MESSAGE] = {0};
    uint64_t flag = 0;
    unsigned wrong = 0;
    while (flag != number) {
        if (mv_load(view, 0, 4, &flag, NULL) < 0)
            return 1;
        sched_yield();
    }
    wrong += mv_read(view, bytes, sizeof bytes, PAGE, NULL) != MESSAGE;
    for (size_t i = 0; i < sizeof bytes; i++)
        wrong += bytes[i] != (unsigned char)number;
    return wrong + (mv_store(view, 64, 4, number, NULL) < 0);
}

static void test_messages(void **state)
{
    (void)state;
    pthread_t thread;
    void *sent;
    unsigned wrong = 0;
    mv_view *view = open_view(make_sparse(scratch("file"), 2 * PAGE), MV_OPEN_WRITE);
    CHECK(pthread_create(&thread, NULL, send_all, view) == 0);
    for (unsigned i = 1; i <= messages(); i++)
        wrong += receive(view, i);
    CHECK(pthread_join(thread, &sent) == 0);
    SAME(wrong, 0);
    CHECK(sent);
    close_view(view);
}

/* ---- a child of fork ---- */

static void use_in_child(void *argument)
{
    mv_view *const *views = argument;
    uint64_t value = 0;
    for (int i = 0; i < 2; i++) {
        WORKS(mv_load(views[i], 8, 8, &value, ERR));
        SAME(value, 5);
        WORKS(mv_store(views[i], 8, 8, 6, ERR));
        REFUSED(-MV_ETRUNCATED, mv_load(views[i], PAGE, 4, &value, ERR));
        REFUSED(-MV_ETRUNCATED, mv_store(views[i], PAGE, 4, 0, ERR));
        close_view(views[i]);
    }
}

static void test_child(void **state)
{
    (void)state;
    const char *path = make_file(scratch("file"), 2 * PAGE);
    mv_view *views[2] = {open_view(path, MV_OPEN_WRITE),
                         open_view(path, MV_OPEN_WRITE | MV_OPEN_PRIVATE)};
    cut_file(path, PAGE);
    for (int i = 0; i < 2; i++)
        WORKS(mv_store(views[i], 8, 8, 5, ERR));
    in_child(use_in_child, views);
    for (int i = 0; i < 2; i++) {
        uint64_t value = 0;
        WORKS(mv_load(views[i], 8, 8, &value, ERR));
        SAME(value, i == 0 ? 6 : 5);
        close_view(views[i]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_at_once),
        TEST(test_messages),
        TEST(test_child),
    };
    return RUN(tests);
}
