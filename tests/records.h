/*
 * records.h: what the tests of appending share.
 */
#ifndef MAPVIEW_TESTS_RECORDS_H
#define MAPVIEW_TESTS_RECORDS_H

#include "support.h"

#define KIB ((uint64_t)1 << 10)
#define MIB ((uint64_t)1 << 20)

/* The record that append_record has appended last. */
extern unsigned char record[4096];

/* open_log opens a write view of a file that it creates, open_appender an
 * appender at its end. Both check that they worked. */
mv_view *open_log(const char *path, uint64_t flags, uint64_t reserve);
mv_appender *open_appender(mv_view *view, uint32_t flags);

/* fill_record makes record i, of n bytes; has_record tells whether it is that. */
void fill_record(unsigned char *bytes, uint64_t n, uint64_t i);
bool has_record(const void *bytes, uint64_t n, uint64_t i);

/* append_record appends record i and checks that it went where it should. */
void append_record(mv_appender *a, uint64_t n, uint64_t i, uint64_t expected);

#endif
