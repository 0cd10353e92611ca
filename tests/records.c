/* records.c: logs of records that can be told from each other. */
#include "records.h"

unsigned char record[4096];

mv_view *open_log(const char *path, uint64_t flags, uint64_t reserve)
{
    mv_options o = with(MV_OPEN_WRITE | MV_OPEN_CREATE | flags);
    o.reserve = reserve;
    return open_with(path, &o);
}

mv_appender *open_appender(mv_view *view, uint32_t flags)
{
    mv_append_options o = MV_APPEND_OPTIONS_INIT;
    mv_appender *a;
    o.flags = flags;
    WORKS(mv_appender_open(view, &o, &a, ERR));
    return a;
}

void fill_record(unsigned char *bytes, uint64_t n, uint64_t i)
{
    for (uint64_t k = 0; k < n; k++)
        bytes[k] = (unsigned char)(i * 31 + k * 7 + 1);
}

bool has_record(const void *bytes, uint64_t n, uint64_t i)
{
    const unsigned char *b = bytes;
    for (uint64_t k = 0; k < n; k++)
        if (b[k] != (unsigned char)(i * 31 + k * 7 + 1))
            return false;
    return true;
}

void append_record(mv_appender *a, uint64_t n, uint64_t i, uint64_t expected)
{
    fill_record(record, n, i);
    SAME(WORKS(mv_append(a, record, n, ERR)), expected);
    SAME(mv_append_end(a), expected + n);
}
