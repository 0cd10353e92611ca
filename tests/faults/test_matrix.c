/* test_matrix.c: runs every cell of the fault matrix, prints it, and counts. */
#include "matrix.h"

#include <stdlib.h>

enum { MOST_FAULTS = 24, MOST_PLACES = 8 };

/* The file systems, and the file that has none. */
static const char *places[MOST_PLACES];
static int place_count, fault_count;

static struct entry {
    const struct fault *fault;
    int row, place;
    char name[80];
} entries[MOST_FAULTS * MOST_PLACES];

static char words[MOST_FAULTS][MOST_PLACES][COLUMNS][12]; /* "": has not run */
static const char *reasons[MOST_FAULTS][MOST_PLACES];
static bool asked[MOST_FAULTS][MOST_PLACES];

/* One fault on one file system, under every column. */
static void test_row(void **state)
{
    const struct entry *e = *state;
    for (int c = 0; c < COLUMNS; c++) {
        static char context[128];
        snprintf(context, sizeof context, "(%s on %s, %s)", e->fault->name, places[e->place],
                 columns[c].name);
        support_context = context;
        const char *why = matrix_impossible(e->fault, places[e->place], &columns[c]);
        const char *word = why ? "-" : matrix_run(e->fault, places[e->place], &columns[c]);
        snprintf(words[e->row][e->place][c], sizeof words[0][0][0], "%s", word);
        if (why)
            reasons[e->row][e->place] = why;
    }
}

static int end_row(void **state)
{
    const struct entry *e = *state;
    const char *fs = places[e->place];
    if (fixture_has(fs)) /* also after a failure in the midst of a fault */
        fixture_reset(fs);
    return support_end(state);
}

/* ---- the table ---- */

static int cells, impossible, left;

static void print_row(int row, int place)
{
    printf("%-18s %-8s", faults[row].name, places[place]);
    for (int c = 0; c < COLUMNS; c++) {
        const char *word = words[row][place][c];
        cells++;
        impossible += strcmp(word, "-") == 0;
        left += word[0] == 0;
        printf(" %-9s", word[0] ? word : "FAILED");
    }
    printf("\n");
}

static void print_reason(int row, int place)
{
    int count = 0;
    printf("%s cannot be on %s", faults[row].name, places[place]);
    for (int c = 0; c < COLUMNS; c++)
        count += strcmp(words[row][place][c], "-") == 0;
    for (int c = 0; count < COLUMNS && c < COLUMNS; c++)
        if (strcmp(words[row][place][c], "-") == 0)
            printf(", %s", columns[c].name);
    printf(": %s\n", reasons[row][place]);
}

/* Each of these is done for every row that was asked for. */
static void on_rows(void (*print)(int row, int place), bool only_with_reason)
{
    for (int row = 0; row < fault_count; row++)
        for (int place = 0; place < place_count; place++)
            if (asked[row][place] && (!only_with_reason || reasons[row][place]))
                print(row, place);
}

static void print_table(void)
{
    static const char *const heads[COLUMNS] = {"read",     "write",     "load",   "store",
                                               "try load", "try store", "read/k", "write/k"};
    printf("%-27s", "C; /k: without a handler");
    for (int c = 0; c < COLUMNS; c++)
        printf(" %-9s", heads[c]);
    printf("\n");
    on_rows(print_row, false);
    on_rows(print_reason, true);
    printf("%d cells: %d ran, %d cannot exist, %d failed or did not run\n", cells,
           cells - impossible - left, impossible, left);
}

static void find_places(void)
{
    for (const char *const *fs = fixture_names; *fs; fs++)
        if (fixture_has(*fs))
            places[place_count++] = *fs;
    places[place_count++] = "memfd";
}

/* With arguments, only rows whose name holds the first, on file systems whose
 * name holds the second: to look into a failure. */
static bool is_asked(const struct entry *e, int argc, char **argv)
{
    return (argc < 2 || strstr(e->fault->name, argv[1])) &&
           (argc < 3 || strstr(places[e->place], argv[2]));
}

int main(int argc, char **argv)
{
    static struct CMUnitTest tests[MOST_FAULTS * MOST_PLACES];
    size_t count = 0;
    find_places();
    while (faults[fault_count].name)
        fault_count++;
    for (int row = 0; row < fault_count; row++)
        for (int place = 0; place < place_count; place++) {
            struct entry *e = &entries[count];
            *e = (struct entry){.fault = &faults[row], .row = row, .place = place};
            snprintf(e->name, sizeof e->name, "%s on %s", faults[row].name, places[place]);
            asked[row][place] = is_asked(e, argc, argv);
            if (asked[row][place])
                tests[count++] = (struct CMUnitTest){e->name, test_row, support_begin, end_row, e};
        }
    int failed =
        _cmocka_run_group_tests("matrix", tests, count, support_group_begin, support_group_end);
    print_table();
    return left > 0 || failed != 0;
}
