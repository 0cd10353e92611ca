/* test_options.c: which options are refused, and where a view comes to lie. */
#include "support.h"

#include <stdlib.h>

#define TOO_LARGE ((uint64_t)INT64_MAX + 1)

/* ---- structs and flags ---- */

static mv_options checked; /* what the last check gave back */

static int check_options(const mv_options *given, enum mv__kind kind)
{
    return mv__options_check(given, kind, &checked, ERR);
}

static void test_null_means_defaults(void **state)
{
    (void)state;
    const mv_options defaults = MV_OPTIONS_INIT;
    WORKS(check_options(NULL, MV__PATH));
    CHECK(memcmp(&checked, &defaults, sizeof defaults) == 0);
    WORKS(check_options(&defaults, MV__PATH));
    CHECK(memcmp(&checked, &defaults, sizeof defaults) == 0);
}

static void test_struct_sizes(void **state)
{
    (void)state;
    struct {
        mv_options options;
        unsigned char tail[4096];
    } larger;
    memset(&larger, 0, sizeof larger);
    for (uint32_t size = 0; size < sizeof(mv_options); size++) {
        larger.options.size = size;
        REFUSED(-EINVAL, check_options(&larger.options, MV__PATH));
    }
    larger.options.flags = MV_OPEN_WRITE;
    for (uint32_t size = sizeof(mv_options); size <= 4096; size += 8) {
        larger.options.size = size;
        WORKS(check_options(&larger.options, MV__PATH));
        SAME(checked.size, sizeof(mv_options));
        SAME(checked.flags, MV_OPEN_WRITE);
    }
    larger.options.size = 4097;
    REFUSED(-E2BIG, check_options(&larger.options, MV__PATH));
    larger.options.size = UINT32_MAX;
    REFUSED(-E2BIG, check_options(&larger.options, MV__PATH));
    /* One byte of a field that is not known, first, in between and last. */
    for (size_t at = 0; at < 64; at++) {
        larger.options.size = sizeof(mv_options) + 64;
        larger.tail[at] = 1;
        REFUSED(-E2BIG, check_options(&larger.options, MV__PATH));
        larger.tail[at] = 0;
    }
    larger.tail[64] = 1; /* behind its end */
    WORKS(check_options(&larger.options, MV__PATH));
}

static void test_unknown_flags(void **state)
{
    (void)state;
    static const enum mv__kind kinds[] = {MV__PATH, MV__DESCRIPTOR, MV__ANONYMOUS};
    for (unsigned bit = 12; bit < 64; bit++)
        for (size_t i = 0; i < 3; i++) {
            mv_options o = with((uint64_t)1 << bit);
            REFUSED(-EINVAL, check_options(&o, kinds[i]));
            FAILED_OP("options");
        }
}

/* Each flag alone, with what it needs, for each kind of call. */
static void test_flags_of_calls(void **state)
{
    (void)state;
    static const struct {
        uint64_t flags;
        bool path, descriptor, memory;
    } cases[] = {
        {0, true, true, true},
        {MV_OPEN_WRITE, true, true, true},
        {MV_OPEN_PRIVATE, true, true, true},
        {MV_OPEN_WRITE | MV_OPEN_PRIVATE, true, true, true},
        {MV_OPEN_CREATE, true, false, false},
        {MV_OPEN_CREATE | MV_OPEN_EXCLUSIVE, true, false, false},
        {MV_OPEN_WRITE | MV_OPEN_TRUNCATE, true, true, false},
        {MV_OPEN_RANDOM, true, true, true},
        {MV_OPEN_SEQUENTIAL, true, true, true},
        {MV_OPEN_NOFOLLOW, true, false, false},
        {MV_OPEN_SHARE_DESCRIPTION, false, true, false},
        {MV_OPEN_NO_HANDLER, true, true, true},
        {MV_OPEN_SHARE_DESCRIPTION | MV_OPEN_WRITE, false, true, false},
        {MV_OPEN_TRACK, false, false, true}, /* memory can be written anyway */
        {MV_OPEN_TRACK | MV_OPEN_WRITE, true, true, true},
        {MV_OPEN_TRACK | MV_OPEN_WRITE | MV_OPEN_PRIVATE, true, true, true},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        mv_options o = with(cases[i].flags);
        SAME(check_options(&o, MV__PATH), cases[i].path ? 0 : -EINVAL);
        SAME(check_options(&o, MV__DESCRIPTOR), cases[i].descriptor ? 0 : -EINVAL);
        SAME(check_options(&o, MV__ANONYMOUS), cases[i].memory ? 0 : -EINVAL);
    }
}

static void test_contradictory_flags(void **state)
{
    (void)state;
    static const uint64_t wrong[] = {
        MV_OPEN_TRUNCATE,
        MV_OPEN_TRUNCATE | MV_OPEN_CREATE,
        MV_OPEN_TRUNCATE | MV_OPEN_WRITE | MV_OPEN_PRIVATE,
        MV_OPEN_EXCLUSIVE,
        MV_OPEN_EXCLUSIVE | MV_OPEN_WRITE,
        MV_OPEN_RANDOM | MV_OPEN_SEQUENTIAL,
        MV_OPEN_DEVICE, /* no length */
    };
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        mv_options o = with(wrong[i]);
        REFUSED(-EINVAL, check_options(&o, MV__PATH));
        FAILED_OP("options");
    }
}

static void test_device_flag(void **state)
{
    (void)state;
    mv_options o = with(MV_OPEN_DEVICE);
    o.length = 4096;
    WORKS(check_options(&o, MV__PATH));
    WORKS(check_options(&o, MV__DESCRIPTOR));
    REFUSED(-EINVAL, check_options(&o, MV__ANONYMOUS));
    o.flags = MV_OPEN_DEVICE | MV_OPEN_CREATE;
    REFUSED(-EINVAL, check_options(&o, MV__PATH));
    o.flags = MV_OPEN_DEVICE | MV_OPEN_WRITE | MV_OPEN_TRUNCATE;
    REFUSED(-EINVAL, check_options(&o, MV__PATH));
    o.flags = MV_OPEN_DEVICE | MV_OPEN_WRITE;
    o.file_size = 1;
    REFUSED(-EINVAL, check_options(&o, MV__PATH));
}

/* ---- fields ---- */

static void test_mode(void **state)
{
    (void)state;
    mv_options o = with(MV_OPEN_CREATE);
    o.mode = 07777;
    WORKS(check_options(&o, MV__PATH));
    o.mode = 010000;
    REFUSED(-EINVAL, check_options(&o, MV__PATH));
    o.mode = UINT32_MAX;
    REFUSED(-EINVAL, check_options(&o, MV__PATH));
}

static void test_overflow(void **state)
{
    (void)state;
    static const struct {
        uint64_t offset, length, file_size, reserve;
        int code;
    } cases[] = {
        {INT64_MAX, 0, 0, 0, 0},           {TOO_LARGE, 0, 0, 0, -EOVERFLOW},
        {UINT64_MAX, 0, 0, 0, -EOVERFLOW}, {0, INT64_MAX, 0, 0, 0},
        {0, TOO_LARGE, 0, 0, -EOVERFLOW},  {0, UINT64_MAX, 0, 0, -EOVERFLOW},
        {1, INT64_MAX, 0, 0, -EOVERFLOW},  {UINT64_MAX, UINT64_MAX, 0, 0, -EOVERFLOW},
        {0, 0, INT64_MAX, 0, 0},           {0, 0, TOO_LARGE, 0, -EOVERFLOW},
        {0, 0, 0, INT64_MAX, 0},           {0, 0, 0, TOO_LARGE, -EOVERFLOW},
        {0, 0, 0, UINT64_MAX, -EOVERFLOW}, {4096, 0, 0, INT64_MAX, -EOVERFLOW},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        mv_options o = with(MV_OPEN_WRITE);
        o.offset = cases[i].offset;
        o.length = cases[i].length;
        o.file_size = cases[i].file_size;
        o.reserve = cases[i].reserve;
        if (cases[i].code == 0)
            WORKS(check_options(&o, MV__PATH));
        else
            REFUSED(cases[i].code, check_options(&o, MV__PATH));
    }
}

static void test_file_size_needs_a_shared_write_view(void **state)
{
    (void)state;
    mv_options o = MV_OPTIONS_INIT;
    o.file_size = 1;
    REFUSED(-EINVAL, check_options(&o, MV__PATH));
    o.flags = MV_OPEN_WRITE | MV_OPEN_PRIVATE;
    REFUSED(-EINVAL, check_options(&o, MV__PATH));
    o.flags = MV_OPEN_WRITE;
    WORKS(check_options(&o, MV__PATH));
    WORKS(check_options(&o, MV__DESCRIPTOR));
}

static void test_memory_takes_little(void **state)
{
    (void)state;
    mv_options o = MV_OPTIONS_INIT;
    o.reserve = 10;
    WORKS(check_options(&o, MV__ANONYMOUS));
    CHECK(checked.flags == MV_OPEN_WRITE);
    o.flags = MV_OPEN_PRIVATE;
    REFUSED(-EINVAL, check_options(&o, MV__ANONYMOUS));
    uint64_t *const fields[] = {&o.offset, &o.length, &o.file_size};
    for (size_t i = 0; i < 3; i++) {
        o = with(MV_OPEN_WRITE);
        *fields[i] = 1;
        REFUSED(-EINVAL, check_options(&o, MV__ANONYMOUS));
    }
    o = with(0);
    o.mode = 0600;
    REFUSED(-EINVAL, check_options(&o, MV__ANONYMOUS));
}

/* ---- geometry ---- */

/* What must hold of every plan that is made. */
static void check_plan(const struct mv__geometry *g, const mv_options *o, uint64_t file_length,
                       size_t page)
{
    CHECK(g->offset == o->offset);
    SAME(g->lead, o->offset % page);
    SAME(g->mapped % page, 0);
    CHECK(g->mapped > g->lead && g->mapped <= PTRDIFF_MAX);
    CHECK(g->size <= g->limit && g->limit <= g->mapped - g->lead);
    CHECK(g->size == (o->length ? o->length : file_length - o->offset));
    CHECK(g->size <= file_length - o->offset);
    CHECK(g->limit <= INT64_MAX - g->offset);
    CHECK(!o->length || g->limit == g->size);
    CHECK(o->length || g->limit >= o->reserve || g->limit == INT64_MAX - g->offset);
    /* No more than a page over what was asked for. */
    uint64_t room = !o->length && o->reserve > g->size ? o->reserve : g->size;
    CHECK(g->mapped - g->lead < room + page || (room == 0 && g->mapped == page));
}

static int wanted_code(const mv_options *o, uint64_t file_length, size_t page)
{
    if (o->offset > file_length || o->length > file_length - o->offset)
        return -EINVAL;
    uint64_t size = o->length ? o->length : file_length - o->offset;
    uint64_t room = !o->length && o->reserve > size ? o->reserve : size; /* a part never grows */
    return room > PTRDIFF_MAX - o->offset % page - page ? -ENOMEM : 0;
}

static void plan_one(uint64_t offset, uint64_t length, uint64_t reserve, uint64_t file_length,
                     size_t page)
{
    struct mv__geometry g;
    mv_options o = with(MV_OPEN_WRITE);
    o.offset = offset;
    o.length = length;
    o.reserve = reserve;
    mv_options given = o;
    if (mv__options_check(&given, MV__PATH, &o, NULL) < 0)
        return; /* refused before there is a plan */
    int wanted = wanted_code(&o, file_length, page);
    if (wanted < 0) {
        REFUSED(wanted, mv__geometry_plan(&o, file_length, page, &g, ERR));
        return;
    }
    WORKS(mv__geometry_plan(&o, file_length, page, &g, ERR));
    check_plan(&g, &o, file_length, page);
}

static void test_plans_at_the_edges(void **state)
{
    (void)state;
    static const uint64_t edges[] = {
        0,
        1,
        2,
        4095,
        4096,
        4097,
        8191,
        8192,
        12289,
        65535,
        65536,
        65537,
        1000000,
        INT32_MAX,
        (uint64_t)INT32_MAX + 1,
        UINT32_MAX,
        (uint64_t)UINT32_MAX + 1,
        (uint64_t)UINT32_MAX + 4097,
        (uint64_t)1 << 47,
        ((uint64_t)1 << 62) + 1,
        INT64_MAX - 65536,
        INT64_MAX - 8192,
        INT64_MAX - 8191,
        INT64_MAX - 4096,
        INT64_MAX - 4095,
        INT64_MAX - 1,
        INT64_MAX,
    };
    enum { COUNT = sizeof edges / sizeof edges[0] };
    for (size_t page = 4096; page <= 65536; page *= 16)
        for (int i = 0; i < COUNT; i++)
            for (int j = 0; j < COUNT; j++)
                for (int k = 0; k < COUNT; k++)
                    for (int l = 0; l <= COUNT; l++) /* the last one is a device */
                        plan_one(edges[i], edges[j], edges[k], l < COUNT ? edges[l] : UINT64_MAX, page);
}

/* Numbers of every size, made by the same generator on every run. */
static uint64_t next_number(uint64_t *seed)
{
    *seed = *seed * 6364136223846793005U + 1442695040888963407U;
    return (*seed ^ (*seed >> 29)) >> (*seed >> 58);
}

static void test_plans_at_random(void **state)
{
    (void)state;
    uint64_t seed = 1;
    for (int i = 0; i < 100000; i++) {
        uint64_t offset = next_number(&seed), length = next_number(&seed), reserve = next_number(&seed);
        plan_one(offset, i % 2 ? 0 : length, i % 3 ? 0 : reserve, next_number(&seed) >> 1, 4096);
    }
}

/* A few plans written out. */
static void test_plans_by_hand(void **state)
{
    (void)state;
    struct mv__geometry g;
    mv_options o = MV_OPTIONS_INIT;
    WORKS(mv__geometry_plan(&o, 0, 4096, &g, ERR));
    SAME(g.size, 0);
    SAME(g.mapped, 4096);
    SAME(g.limit, 4096);

    o.offset = 5000;
    WORKS(mv__geometry_plan(&o, 5000, 4096, &g, ERR));
    SAME(g.lead, 904);
    SAME(g.size, 0);
    SAME(g.mapped, 4096);
    SAME(g.limit, 3192);
    REFUSED(-EINVAL, mv__geometry_plan(&o, 4999, 4096, &g, ERR));
    CHECK(strstr(support_error.text, "5000") && strstr(support_error.text, "4999"));

    o.length = 10;
    WORKS(mv__geometry_plan(&o, 9000, 4096, &g, ERR));
    SAME(g.size, 10);
    SAME(g.limit, 10);
    REFUSED(-EINVAL, mv__geometry_plan(&o, 5009, 4096, &g, ERR));

    o.length = 0;
    o.reserve = 4000;
    WORKS(mv__geometry_plan(&o, 5010, 4096, &g, ERR));
    SAME(g.size, 10);
    SAME(g.mapped, 8192);
    SAME(g.limit, 8192 - 904);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_null_means_defaults),
        TEST(test_struct_sizes),
        TEST(test_unknown_flags),
        TEST(test_flags_of_calls),
        TEST(test_contradictory_flags),
        TEST(test_device_flag),
        TEST(test_mode),
        TEST(test_overflow),
        TEST(test_file_size_needs_a_shared_write_view),
        TEST(test_memory_takes_little),
        TEST(test_plans_at_the_edges),
        TEST(test_plans_at_random),
        TEST(test_plans_by_hand),
    };
    return RUN(tests);
}
