/* test_durable.c: runs the whole table of durability, prints it, and counts. */
#include "durable.h"

#include <stdlib.h>

enum { MOST_FAILINGS = 24, MOST_PLACES = 8, COLUMNS = 2 * WAYS };

static const char *places[MOST_PLACES];
static int place_count, failing_rows;

static struct entry {
    int row, place;
    char name[80];
} entries[MOST_FAILINGS * MOST_PLACES];

static struct result {
    enum verdict verdict;
    int code;
} results[MOST_FAILINGS][MOST_PLACES][COLUMNS];
static bool asked[MOST_FAILINGS][MOST_PLACES];

static struct trial trial; /* the one that runs */

/* What a success without the bytes counts as. */
static bool is_false(int row, struct result result)
{
    return result.verdict == NOT_THERE && failings[row].falseness == FALSE_SUCCESS;
}

/* One failing on one file system, under every column: first the stores by
 * mv_write, then the raw ones. */
static void test_failing(void **state)
{
    const struct entry *e = *state;
    int untrue = 0, failed = 0, lost = 0;
    for (int c = 0; c < COLUMNS; c++) {
        static char context[128];
        trial = (struct trial){.fs = places[e->place],
                               .failing = &failings[e->row],
                               .way = &ways[c % WAYS],
                               .raw = c >= WAYS,
                               .other = -1};
        snprintf(context, sizeof context, "(%s on %s, %s, %s)", trial.failing->name, trial.fs,
                 trial.way->name, trial.raw ? "raw" : "written");
        support_context = context;
        struct result *result = &results[e->row][e->place][c];
        result->verdict = durable_run(&trial);
        result->code = trial.code;
        untrue += is_false(e->row, *result);
        failed += result->verdict == FAILED;
        lost += result->verdict == NOT_THERE;
    }
    support_context = e->name;
    SAME(untrue, 0);
    /* Else the row would prove nothing. */
    if (failings[e->row].falseness == FALSE_SUCCESS)
        CHECK(failed > 0);
    else
        CHECK(lost > 0);
}

/* Also after a failure in the midst of it. */
static int end_failing(void **state)
{
    const struct entry *e = *state;
    durable_clean(&trial);
    fixture_reset(places[e->place]);
    return support_end(state);
}

/* ---- the table ---- */

static const char *word_for(int row, struct result result)
{
    static char number[16];
    switch (result.verdict) {
    case NOT_RUN:
        return "FAILED";
    case THERE:
        return "there";
    case NOT_THERE:
        return failings[row].falseness == FALSE_SUCCESS ? "FALSE" : "lost";
    case FAILED:
        break;
    }
    if (result.code == -EIO || result.code == -ENOSPC || result.code == -EROFS)
        return result.code == -EIO ? "EIO" : result.code == -EROFS ? "EROFS" : "ENOSPC";
    snprintf(number, sizeof number, "%d", result.code);
    return number;
}

static void print_rows(void)
{
    printf("%-29s stores by mv_write", "mv_sync after");
    printf("%*s stores through mv_data\n%-29s", 7 * WAYS - 19, "", "");
    for (int c = 0; c < COLUMNS; c++)
        printf(" %-6s%s", ways[c % WAYS].name, c == WAYS - 1 ? " " : "");
    printf("\n");
    for (int row = 0; row < failing_rows; row++)
        for (int place = 0; place < place_count; place++) {
            if (!asked[row][place])
                continue;
            printf("%-22s %-6s", failings[row].name, places[place]);
            for (int c = 0; c < COLUMNS; c++)
                printf(" %-6s%s", word_for(row, results[row][place][c]), c == WAYS - 1 ? " " : "");
            printf("\n");
        }
}

static struct totals {
    int cells, failed, there, untrue, weaker, control, left;
} totals_of(int place)
{
    struct totals t = {0};
    for (int row = 0; row < failing_rows; row++)
        for (int c = 0; c < COLUMNS && asked[row][place]; c++) {
            struct result result = results[row][place][c];
            bool lost = result.verdict == NOT_THERE;
            t.cells++;
            t.failed += result.verdict == FAILED;
            t.there += result.verdict == THERE;
            t.left += result.verdict == NOT_RUN;
            t.untrue += is_false(row, result);
            t.weaker += lost && failings[row].falseness == WEAKER;
            t.control += lost && failings[row].falseness == CONTROL;
        }
    return t;
}

/* Returns how many cells went wrong. */
static int print_totals(void)
{
    int wrong = 0;
    for (int place = 0; place < place_count; place++) {
        struct totals t = totals_of(place);
        printf("%s: %d cells: %d false successes; %d true failures, %d true successes, %d lost as "
               "the header says, %d lost in the controls, %d failed or did not run\n",
               places[place], t.cells, t.untrue, t.failed, t.there, t.weaker, t.control, t.left);
        wrong += t.untrue + t.left;
    }
    for (const char *const *fs = fixture_names; *fs; fs++)
        if (!fixture_has_disk(*fs) || strcmp(*fs, "overlay") == 0)
            printf("%s is not in the table: %s\n", *fs,
                   strcmp(*fs, "tmpfs") == 0     ? "it has no medium"
                   : strcmp(*fs, "overlay") == 0 ? "what it syncs is its ext4"
                                                 : "it could not be made here");
    return wrong;
}

static void find_places(void)
{
    for (const char *const *fs = fixture_names; *fs; fs++)
        if (fixture_has_disk(*fs) && strcmp(*fs, "overlay") != 0)
            places[place_count++] = *fs;
}

/* With arguments, only rows whose name holds the first, on file systems whose
 * name holds the second: to look into a failure. */
static bool is_asked(const struct entry *e, int argc, char **argv)
{
    return (argc < 2 || strstr(e->name, argv[1])) && (argc < 3 || strstr(places[e->place], argv[2]));
}

int main(int argc, char **argv)
{
    static struct CMUnitTest tests[MOST_FAILINGS * MOST_PLACES];
    size_t count = 0;
    find_places();
    while (failings[failing_rows].name)
        failing_rows++;
    for (int row = 0; row < failing_rows; row++)
        for (int place = 0; place < place_count; place++) {
            struct entry *e = &entries[count];
            *e = (struct entry){.row = row, .place = place};
            snprintf(e->name, sizeof e->name, "%s on %s", failings[row].name, places[place]);
            asked[row][place] = is_asked(e, argc, argv);
            if (asked[row][place])
                tests[count++] =
                    (struct CMUnitTest){e->name, test_failing, support_begin, end_failing, e};
        }
    int failed =
        _cmocka_run_group_tests("durable", tests, count, support_group_begin, support_group_end);
    return print_rows(), print_totals() > 0 || failed != 0;
}
