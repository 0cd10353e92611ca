/* support.c: checks, the frame of a test, and what it may not leak. */
#include "support.h"

#include <dirent.h>
#include <ftw.h>
#include <inttypes.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>

#if __has_include(<valgrind/valgrind.h>)
#include <valgrind/valgrind.h>
#else
#define VALGRIND_DISABLE_ERROR_REPORTING
#define VALGRIND_ENABLE_ERROR_REPORTING
#endif

mv_error support_error;
const char *support_context;

static bool ended_early; /* failed or skipped: what it leaks is then no news */
static bool is_child;
static char folder[256], memory_folder[256];

/* Seconds, also under valgrind and beside others. */
enum { LONGEST_TEST = 300 };

/* The exit statuses of a child that is no success. */
enum { CHILD_FAILED = 1, CHILD_SKIPPED = 77 };

/* ---- checks ---- */

void support_failed(const char *what, const char *file, int line)
{
    const char *context = support_context ? support_context : "";
    failing_disarm();
    if (is_child) {
        fprintf(stderr, "%s:%d: in a child: %s %s\n", file, line, what, context);
        _exit(CHILD_FAILED);
    }
    ended_early = true;
    print_error("%s:%d: %s %s\n", file, line, what, context);
    _fail(file, line);
    abort(); /* not reached: _fail leaves the test */
}

void support_same(int64_t actual, int64_t expected, const char *what, const char *file, int line)
{
    char text[512];
    if (actual == expected)
        return;
    snprintf(text, sizeof text, "%s is %" PRId64 ", not %" PRId64, what, actual, expected);
    support_failed(text, file, line);
}

void support_same_text(const char *actual, const char *expected, const char *file, int line)
{
    char text[512];
    if (strcmp(actual, expected) == 0)
        return;
    snprintf(text, sizeof text, "the text is \"%s\", not \"%s\"", actual, expected);
    support_failed(text, file, line);
}

static const mv_error untouched = {sizeof(mv_error), 4711, 1, 2, 3, "untouched", "untouched"};

mv_error *support_prepare(void)
{
    support_error = untouched;
    return &support_error;
}

int64_t support_worked(int64_t result, const char *what, const char *file, int line)
{
    char text[512];
    if (result < 0) {
        snprintf(text, sizeof text, "%s failed with %" PRId64 ": %s: %s", what, result,
                 support_error.op, support_error.text);
        support_failed(text, file, line);
    }
    if (memcmp(&support_error, &untouched, sizeof untouched) != 0) {
        snprintf(text, sizeof text, "%s worked, yet changed the mv_error: %s", what,
                 support_error.text);
        support_failed(text, file, line);
    }
    return result;
}

bool support_sentence(const char *text, size_t room)
{
    size_t n = strnlen(text, room);
    if (n < 8 || n == room || strchr(text, '\n') || strstr(text, "(null)"))
        return false;
    return text[n - 1] != '.' && text[n - 1] != ' '; /* it stands after a colon, too */
}

void support_refused(int64_t result, int64_t code, const char *what, const char *file, int line)
{
    char text[512];
    const mv_error *e = &support_error;
    if (result != code) {
        snprintf(text, sizeof text, "%s returned %" PRId64 ", not %" PRId64 "; op \"%s\", text \"%s\"",
                 what, result, code, e->op, e->text);
        support_failed(text, file, line);
    }
    if (e->code != code || e->size != sizeof *e || strcmp(e->text, untouched.text) == 0 ||
        strnlen(e->op, sizeof e->op) - 1 >= sizeof e->op - 1 ||
        !support_sentence(e->text, sizeof e->text)) {
        snprintf(text, sizeof text,
                 "%s filled the mv_error badly: size %" PRIu32
                 ", code %d, op \"%.24s\", text \"%.160s\"",
                 what, e->size, e->code, e->op, e->text);
        support_failed(text, file, line);
    }
}

void support_place(uint64_t offset, uint64_t length, uint64_t done, const char *file, int line)
{
    char text[512];
    const mv_error *e = &support_error;
    if (e->offset == offset && e->length == length && e->done == done)
        return;
    snprintf(text, sizeof text,
             "the failure is at %" PRIu64 ", length %" PRIu64 ", done %" PRIu64 ", not at %" PRIu64
             ", %" PRIu64 ", %" PRIu64 " (%s)",
             e->offset, e->length, e->done, offset, length, done, e->text);
    support_failed(text, file, line);
}

/* ---- the frame of a test ---- */

static struct resources at_begin;

static int remove_entry(const char *path, const struct stat *st, int type, struct FTW *walk)
{
    (void)st;
    (void)type;
    return walk->level > 0 ? remove(path) : 0;
}

static void empty_folder(const char *path)
{
    if (path[0])
        nftw(path, remove_entry, 16, FTW_DEPTH | FTW_PHYS | FTW_MOUNT);
}

static void make_folder(char *path, size_t room, const char *parent)
{
    snprintf(path, room, "%s/mapview-test.XXXXXX", parent);
    if (!mkdtemp(path))
        path[0] = 0;
    else
        chmod(path, 0755); /* for as_nobody */
}

/* What the library makes once and keeps for the process, before anything is
 * counted. */
static void warm_up(void)
{
    mv_view *view;
    char byte = 1;
    if (mv_anonymous(1, NULL, &view, NULL) < 0)
        return;
    mv_write(view, &byte, 1, 0, NULL);
    mv_probe(view, 0, 1, MV_READ, NULL);
    mv_has(NULL, MV_HAS_KERNEL_COPY);
    mv_close(view, NULL);
}

/* valgrind extends a stack at an access, but not to make room for a signal. */
static void extend_stack(void)
{
    volatile char room[1 << 20];
    for (size_t i = sizeof room; i >= 1024; i -= 1024)
        room[i - 1] = 0;
}

int support_group_begin_cold(void **state)
{
    (void)state;
    if (under_valgrind())
        extend_stack();
    const char *parent = getenv("TMPDIR");
    make_folder(folder, sizeof folder, parent && parent[0] == '/' ? parent : "/tmp");
    if (!folder[0]) {
        print_error("no scratch folder could be made\n");
        return -1;
    }
    failing_install();
    return 0;
}

int support_group_begin(void **state)
{
    int r = support_group_begin_cold(state);
    if (r == 0)
        warm_up();
    return r;
}

int support_group_end(void **state)
{
    (void)state;
    empty_folder(folder);
    empty_folder(memory_folder);
    int r = rmdir(folder);
    if (memory_folder[0])
        r |= rmdir(memory_folder);
    folder[0] = memory_folder[0] = 0;
    return r;
}

/* cmocka sets SIGBUS and SIGSEGV anew around each test, and with that takes
 * the library's handler away. It does so by signal, which is this one here. */
__attribute__((visibility("default"))) void (*signal(int number, void (*handler)(int)))(int)
{
    struct sigaction now = {.sa_handler = handler, .sa_flags = SA_RESTART}, before = {0};
    if (number == SIGBUS || number == SIGSEGV)
        return SIG_DFL;
    return sigaction(number, &now, &before) == 0 ? before.sa_handler : SIG_ERR;
}

int support_begin(void **state)
{
    (void)state;
    failing_reset();
    support_context = NULL;
    ended_early = false;
    alarm(LONGEST_TEST); /* one that hangs ends the program */
    at_begin = resources_now();
    return 0;
}

int support_end(void **state)
{
    (void)state;
    alarm(0);
    failing_reset();
    empty_folder(folder);
    empty_folder(memory_folder);
    if (ended_early || resources_same(at_begin))
        return 0;
    print_error("the test leaks\n");
    return -1;
}

void skip_test(const char *reason)
{
    if (is_child) {
        printf("skipped: %s\n", reason);
        fflush(stdout);
        _exit(CHILD_SKIPPED);
    }
    ended_early = true;
    print_message("skipped: %s\n", reason);
    skip();
    abort(); /* not reached */
}

/* ---- scratch files ---- */

static const char *join(const char *parent, const char *name)
{
    static char paths[64][512];
    static unsigned next;
    char *path = paths[next++ % 64];
    snprintf(path, sizeof paths[0], "%s/%s", parent, name);
    return path;
}

const char *scratch(const char *name)
{
    return join(folder, name);
}

const char *scratch_memory(const char *name)
{
    if (!memory_folder[0])
        make_folder(memory_folder, sizeof memory_folder, "/dev/shm");
    if (!memory_folder[0])
        skip_test("there is no tmpfs at /dev/shm");
    return join(memory_folder, name);
}

/* ---- resources ---- */

/* Lines of /proc/self/maps that show a scratch file or memory of mapview. */
static int scratch_mappings(void)
{
    char line[1024];
    int count = 0;
    FILE *maps = fopen("/proc/self/maps", "re");
    CHECK(maps);
    while (fgets(line, sizeof line, maps))
        if (strstr(line, "mapview-test.") || strstr(line, "/memfd:mapview"))
            count++;
    fclose(maps);
    return count;
}

struct resources resources_now(void)
{
    struct resources now = {.heap = failing_heap(), .mapped = failing_mapped()};
    DIR *all = opendir("/proc/self/fd");
    CHECK(all);
    while (readdir(all))
        now.descriptors++;
    closedir(all);
    now.mappings = scratch_mappings();
    return now;
}

bool resources_same(struct resources before)
{
    struct resources now = resources_now();
    if (now.descriptors == before.descriptors && now.heap == before.heap &&
        now.mapped == before.mapped && now.mappings == before.mappings)
        return true;
    fprintf(
        stderr,
        "descriptors %d -> %d, allocations %ld -> %ld, mapped bytes %ld -> %ld, mappings %d -> %d\n",
        before.descriptors, now.descriptors, before.heap, now.heap, before.mapped, now.mapped,
        before.mappings, now.mappings);
    return false;
}

int descriptors_of(int fd, const char *path)
{
    struct stat wanted, st;
    CHECK((path ? stat(path, &wanted) : fstat(fd, &wanted)) == 0);
    DIR *all = opendir("/proc/self/fd");
    CHECK(all);
    int count = 0;
    for (struct dirent *entry = readdir(all); entry; entry = readdir(all))
        if (entry->d_name[0] != '.' && fstat((int)strtol(entry->d_name, NULL, 10), &st) == 0 &&
            st.st_dev == wanted.st_dev && st.st_ino == wanted.st_ino)
            count++;
    closedir(all);
    return count;
}

static bool read_mapping(const char *line, struct mapping *out)
{
    return sscanf(line, "%" SCNxPTR "-%" SCNxPTR " %4s", &out->start, &out->end, out->permissions) == 3;
}

static bool covers(const struct mapping *m, const void *address)
{
    return m->start <= (uintptr_t)address && (uintptr_t)address < m->end;
}

bool find_mapping(const void *address, struct mapping *out)
{
    char line[1024];
    bool found = false;
    FILE *maps = fopen("/proc/self/maps", "re");
    CHECK(maps);
    while (!found && fgets(line, sizeof line, maps))
        found = read_mapping(line, out) && covers(out, address);
    fclose(maps);
    return found;
}

long smaps_kib(const void *address, const char *field)
{
    char line[1024];
    struct mapping m;
    bool inside = false;
    long kib = -1;
    FILE *maps = fopen("/proc/self/smaps", "re");
    CHECK(maps);
    while (kib < 0 && fgets(line, sizeof line, maps)) {
        if (read_mapping(line, &m))
            inside = covers(&m, address);
        else if (inside && strncmp(line, field, strlen(field)) == 0 && line[strlen(field)] == ':')
            kib = strtol(line + strlen(field) + 1, NULL, 10);
    }
    fclose(maps);
    CHECK(kib >= 0);
    return kib;
}

bool under_sanitizer(void)
{
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
    return true;
#else
    return false;
#endif
}

void expect_faults(bool on)
{
    if (on)
        VALGRIND_DISABLE_ERROR_REPORTING;
    else
        VALGRIND_ENABLE_ERROR_REPORTING;
}

bool under_valgrind(void)
{
    const char *preload = getenv("LD_PRELOAD");
    return preload && strstr(preload, "vgpreload");
}

/* ---- children ---- */

/* A child must neither hang nor go on with the tests. */
static pid_t start_child(void)
{
    fflush(NULL);
    pid_t child = fork();
    CHECK(child >= 0);
    if (child > 0)
        return child;
    is_child = true;
    for (int number = 1; number < 32; number++) /* cmocka's handlers */
        signal(number, SIG_DFL);
    alarm(LONGEST_TEST - 10);
    return 0;
}

static int end_of(pid_t child)
{
    int status;
    pid_t waited;
    do
        waited = waitpid(child, &status, 0);
    while (waited < 0 && errno == EINTR);
    CHECK(waited == child);
    return status;
}

void in_child(void (*function)(void *), void *argument)
{
    pid_t child = start_child();
    if (child == 0) {
        function(argument);
        fflush(NULL);
        _exit(0);
    }
    int status = end_of(child);
    if (WIFEXITED(status) && WEXITSTATUS(status) == CHILD_SKIPPED) {
        if (is_child)
            _exit(CHILD_SKIPPED);
        ended_early = true;
        skip();
    }
    SAME(WIFSIGNALED(status) ? WTERMSIG(status) : 0, 0);
    SAME(WEXITSTATUS(status), 0);
}

int end_of_child(void (*function)(void *), void *argument)
{
    struct rlimit none = {0, 0};
    pid_t child = start_child();
    if (child == 0) {
        setrlimit(RLIMIT_CORE, &none);
        function(argument);
        fflush(NULL);
        _exit(0);
    }
    int status = end_of(child);
    if (WIFEXITED(status) && WEXITSTATUS(status) == CHILD_SKIPPED) {
        ended_early = true;
        skip();
    }
    return status;
}

static void give_signal_back(int number, siginfo_t *info, void *context)
{
    (void)info;
    (void)context;
    expect_faults(false);
    _exit(number);
}

int touch(void *address, uint32_t access)
{
    pid_t child = start_child();
    if (child == 0) {
        struct sigaction action = {.sa_sigaction = give_signal_back, .sa_flags = SA_SIGINFO};
        sigaction(SIGBUS, &action, NULL);
        sigaction(SIGSEGV, &action, NULL);
        expect_faults(true);
        volatile unsigned char *at = address;
        unsigned char seen = *at;
        if (access & MV_WRITE)
            *at = seen;
        expect_faults(false);
        _exit(0);
    }
    int status = end_of(child);
    CHECK(WIFEXITED(status));
    return WEXITSTATUS(status);
}
