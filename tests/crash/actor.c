/* actor.c: does what a run is made of, through the library, and notes it. */
#include "crash.h"

#include <stdlib.h>

/* An actor is one file at work. */
struct actor {
    const char *fs;
    int file;
    mv_view *view;
    uint64_t size;
    unsigned version;
    bool raw; /* stores go through mv_data */
};

/* ---- operations ---- */

static const char *path_of(const struct actor *actor, const char *suffix)
{
    char name[64];
    snprintf(name, sizeof name, "f%d%s", actor->file, suffix);
    return fixture_path(actor->fs, name);
}

static struct actor create(const char *fs, int file, uint64_t size, const char *suffix)
{
    struct actor actor = {.fs = fs, .file = file, .raw = file % 2};
    mv_options options = with(MV_OPEN_WRITE | MV_OPEN_CREATE | MV_OPEN_EXCLUSIVE);
    options.reserve = LONGEST_FILE;
    options.file_size = size;
    if (suffix[0]) /* what has the last name so far */
        make_file(path_of(&actor, ""), 0);
    history_note(CREATED, file, 0, 0, 0);
    history_note(SIZED, file, 0, size, 0);
    actor.view = open_with(path_of(&actor, suffix), &options);
    actor.size = size;
    return actor;
}

static const unsigned char *version_bytes(struct actor *actor, uint64_t from, uint64_t to)
{
    static unsigned char bytes[LONGEST_FILE];
    for (uint64_t at = from; at < to; at++)
        bytes[at] = version_byte(actor->file, actor->version, at);
    return bytes + from;
}

static void store(struct actor *actor, uint64_t from, uint64_t to)
{
    actor->version++;
    const unsigned char *bytes = version_bytes(actor, from, to);
    history_note(STORED, actor->file, from, to, actor->version);
    if (actor->raw)
        memcpy((char *)mv_data(actor->view) + from, bytes, to - from);
    else
        SAME(WORKS(mv_write(actor->view, bytes, to - from, from, ERR)), to - from);
}

static void resize(struct actor *actor, uint64_t size)
{
    history_note(SIZED, actor->file, 0, size, 0);
    WORKS(mv_resize(actor->view, size, ERR));
    actor->size = size;
}

static void discard(struct actor *actor, uint64_t from, uint64_t to)
{
    history_note(GIVEN_BACK, actor->file, from, to, 0);
    WORKS(mv_discard(actor->view, from, to - from, ERR));
}

static void sync_data(struct actor *actor, uint64_t from, uint64_t to)
{
    WORKS(mv_sync(actor->view, from, to - from, MV_SYNC_DATA, ERR));
    history_note(PROMISED, actor->file, from, to, 0);
}

static void sync_full(struct actor *actor, uint64_t from, uint64_t to)
{
    WORKS(mv_sync(actor->view, from, to - from, MV_SYNC_FULL, ERR));
    history_note(WHOLE, actor->file, from, to, 0);
}

static void take_last_name(struct actor *actor)
{
    history_note(RENAMED, actor->file, 0, 0, 0);
    CHECK(rename(path_of(actor, ".new"), path_of(actor, "")) == 0);
}

/* Somebody else writes to the file, and a view that only reads syncs it. */
static void store_beside(struct actor *actor, uint64_t from, uint64_t to)
{
    actor->version++;
    history_note(STORED, actor->file, from, to, actor->version);
    write_file(path_of(actor, ""), version_bytes(actor, from, to), to - from, from);
    mv_view *reader = open_view(path_of(actor, ""), 0);
    WORKS(mv_sync(reader, from, to - from, MV_SYNC_DATA, ERR));
    history_note(PROMISED, actor->file, from, to, 0);
    close_view(reader);
}

/* ---- every short sequence ---- */

enum change { OVERWRITE, GROW, SHRINK, CHANGES };
enum sync_kind { NO_SYNC, DATA, FULL, SYNCS };

/* What was changed, for the sync of it. */
struct part {
    uint64_t from, to;
};

static struct part change(struct actor *actor, enum change how)
{
    uint64_t size = actor->size;
    switch (how) {
    case OVERWRITE:
        store(actor, 700, 2500);
        return (struct part){700, 2500};
    case GROW:
        resize(actor, size + 4500);
        store(actor, size, size + 4500);
        return (struct part){size, size + 4500};
    case SHRINK:
        resize(actor, size - 2100);
        return (struct part){0, size - 2100};
    case CHANGES:
        break;
    }
    abort();
}

static void sync_part(struct actor *actor, enum sync_kind how, struct part part)
{
    if (how == DATA)
        sync_data(actor, part.from, part.to);
    else if (how == FULL)
        sync_full(actor, part.from, part.to);
}

static void step(struct actor *actor, int number)
{
    struct part part = change(actor, (enum change)(number % CHANGES));
    sync_part(actor, (enum sync_kind)(number / CHANGES), part);
}

/* Where there is no journal, to sync the file alone would not write a name that
 * it took from another one. */
static void name_late(struct actor *actor)
{
    sync_data(actor, 0, actor->size);
    take_last_name(actor);
    sync_full(actor, 0, actor->size);
}

/* Two steps of nine kinds each on a file that was created, stored into, and
 * synced in one of the three ways; every third one gets its name late. */
void actor_enumerate(const char *fs)
{
    enum { STEPS = CHANGES * SYNCS };
    for (int first = 0; first < STEPS; first++)
        for (int second = 0; second < STEPS; second++) {
            int number = first * STEPS + second;
            bool late = number % 3 == 1;
            struct actor actor = create(fs, number, 6000, late ? ".new" : "");
            store(&actor, 0, 6000);
            if (late)
                name_late(&actor);
            else
                sync_part(&actor, (enum sync_kind)((first + second) % SYNCS), (struct part){0, 6000});
            step(&actor, first);
            step(&actor, second);
            close_view(actor.view);
        }
}

/* ---- a long one ---- */

enum { FIRST_RANDOM = 200, AT_ONCE = 4, LONG = 160 };

static struct part any_part(const struct actor *actor, unsigned *seed)
{
    uint64_t from = (unsigned)rand_r(seed) % actor->size;
    return (struct part){from, from + 1 + (unsigned)rand_r(seed) % (actor->size - from)};
}

static void act(struct actor *actor, unsigned *seed)
{
    struct part part = any_part(actor, seed);
    unsigned what = (unsigned)rand_r(seed) / 16 % 20;
    if (actor->version + 2 >= MOST_VERSIONS)
        sync_full(actor, part.from, part.to);
    else if (what < 7)
        store(actor, part.from, part.to);
    else if (what < 9)
        resize(actor, 1000 + (unsigned)rand_r(seed) % (LONGEST_FILE - 1000));
    else if (what < 10)
        discard(actor, part.from, part.to);
    else if (what < 11)
        store_beside(actor, part.from, part.to);
    else if (what < 15)
        sync_data(actor, part.from, part.to);
    else if (what < 17)
        sync_data(actor, 0, actor->size);
    else
        sync_full(actor, part.from, part.to);
}

void actor_random(const char *fs, unsigned seed)
{
    struct actor actors[AT_ONCE];
    for (int i = 0; i < AT_ONCE; i++) {
        actors[i] = create(fs, FIRST_RANDOM + i, 8000, "");
        sync_full(&actors[i], 0, 0);
    }
    for (int i = 0; i < LONG; i++)
        act(&actors[(unsigned)rand_r(&seed) / 16 % AT_ONCE], &seed);
    for (int i = 0; i < AT_ONCE; i++)
        close_view(actors[i].view);
}

/* ---- lies ---- */

enum { FIRST_LIE = 240, LIES = 6 };

/* That the promise comes before anything else is flushed is the lie: what is
 * flushed for one makes true what another has said before. */
void actor_lie(const char *fs)
{
    struct actor a[LIES];
    for (int i = 0; i < LIES - 1; i++) {
        a[i] = create(fs, FIRST_LIE + i, 6000, i == 0 ? ".new" : "");
        store(&a[i], 0, 6000);
        if (i > 0)
            sync_full(&a[i], 0, 6000);
    }
    sync_data(&a[0], 0, 6000);
    take_last_name(&a[0]);
    history_lie(a[0].file, "a name that was given after the sync");
    history_note(WHOLE, a[0].file, 0, 6000, 0);

    store(&a[1], 100, 5000);
    history_lie(a[1].file, "a store that was not synced");
    history_note(PROMISED, a[1].file, 100, 5000, 0);

    store(&a[2], 100, 5000);
    WORKS(mv_sync(a[2].view, 0, MV_TO_END, MV_SYNC_START, ERR));
    history_lie(a[2].file, "a store whose writing was only started");
    history_note(PROMISED, a[2].file, 100, 5000, 0);

    resize(&a[3], 2000);
    history_lie(a[3].file, "a shrink that was not synced");
    history_note(WHOLE, a[3].file, 0, 0, 0);

    resize(&a[4], 9000);
    history_lie(a[4].file, "a growth that was not synced");
    history_note(WHOLE, a[4].file, 0, 0, 0);

    a[5] = create(fs, FIRST_LIE + 5, 6000, "");
    history_lie(a[5].file, "a file that was created and not synced");
    history_note(WHOLE, a[5].file, 0, 0, 0);

    for (int i = 0; i < LIES; i++)
        close_view(a[i].view);
}
