/* rows.h: what the program can measure, row by row. */
#ifndef BENCH_ROWS_H
#define BENCH_ROWS_H

/* An order is what the command line asks for. */
struct order {
    const char *dir; /* for the files */
    double seconds;  /* about how long to measure */
    const char *run; /* what a progress line begins with */
};

/* A row is a piece of work. It is measured in blocks, one for each size and state. */
struct row {
    const char *name;
    int full;       /* a part of full runs alone */
    double seconds; /* what sound figures take, set-up included */
    const char *title;
    /* measure prints raw text, or a SKIPPED line where this machine cannot do
     * it, and returns 0; or -1 after a message on standard error. */
    int (*measure)(const struct row *row, const struct order *order);
};

/* Each list ends in a row without a name. */
extern const struct row note_rows[], goal_rows[], copy_rows[], touch_rows[], once_rows[], cold_rows[],
    update_rows[], speed_rows[], socket_rows[], message_rows[];

/* measure_goals measures the goals' blocks that belong to the row. */
int measure_goals(const struct row *row, const struct order *order);

/* measure_growth measures how a file grows on the file system NAME, in dir. */
int measure_growth(const char *name, const char *dir);

#endif
