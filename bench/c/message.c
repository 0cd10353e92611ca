/*
 * message.c: the row Message: messages that one process sends and another
 * receives, through memory that they share or through the kernel.
 *
 * In shared memory they go through a ring, whoever made the memory. Who has to
 * wait looks again and again, with a pause between, and from some looks on lets
 * others run meanwhile: the same rule for all.
 */

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "processor.h"
#include "stage.h"

enum { RING = 256 << 10, LOOKS = 1000, LOOKS_TO_GIVE_UP = 20 * 1000 * 1000, LARGEST = 64 << 10 };

/* The two ends are on cache lines of their own. */
struct ring {
    _Alignas(128) atomic_size_t sent;
    _Alignas(128) atomic_size_t received;
    _Alignas(4096) char bytes[RING];
};

/* A channel is one way's: its memory or descriptors, and the process that receives. */
struct channel {
    struct memory memory; /* of the ring; of none, where the kernel carries */
    int in, out;          /* else these */
    int control[2];       /* orders to the receiver, answers from it */
    pid_t receiver;
};

struct orders {
    size_t size;
    long n; /* 0: show the last message; -1: end */
};

static void pause_once(long looks)
{
    if (looks > LOOKS)
        sched_yield();
    else
        pause_briefly();
}

/* await_move waits until *moved is another number than seen; it gives up at some time. */
static size_t await_move(atomic_size_t *moved, size_t seen)
{
    size_t now_at = seen;
    for (long looks = 0; looks < LOOKS_TO_GIVE_UP; looks++) {
        now_at = atomic_load_explicit(moved, memory_order_acquire);
        if (now_at != seen)
            break;
        pause_once(looks);
    }
    return now_at;
}

/* number_it makes a message differ from the one before. */
static void number_it(char *buf, uint64_t number)
{
    memcpy(buf, &number, sizeof number);
}

static int send_by_ring(struct ring *r, char *buf, size_t size, long n, uint64_t number)
{
    size_t places = RING / size, sent = atomic_load(&r->sent), received = atomic_load(&r->received);
    for (long i = 0; i < n; i++) {
        if (sent - received == places) {
            size_t before = received;
            received = await_move(&r->received, before);
            if (received == before)
                return -1;
        }
        number_it(buf, number + (uint64_t)i);
        memcpy(r->bytes + sent % places * size, buf, size);
        atomic_store_explicit(&r->sent, ++sent, memory_order_release);
    }
    return 0;
}

static int receive_by_ring(struct ring *r, char *buf, size_t size, long n, uint64_t *sum)
{
    size_t places = RING / size, received = atomic_load(&r->received), sent = received;
    for (long i = 0; i < n; i++) {
        if (sent == received && (sent = await_move(&r->sent, received)) == received)
            return -1;
        memcpy(buf, r->bytes + received % places * size, size);
        atomic_store_explicit(&r->received, ++received, memory_order_release);
        *sum += ends(buf, size);
    }
    return 0;
}

static int read_all(int fd, void *buf, size_t n)
{
    for (size_t done = 0; done < n;) {
        ssize_t k = read(fd, (char *)buf + done, n - done);
        if (k <= 0)
            return -1;
        done += (size_t)k;
    }
    return 0;
}

static int write_all(int fd, const void *buf, size_t n)
{
    for (size_t done = 0; done < n;) {
        ssize_t k = write(fd, (const char *)buf + done, n - done);
        if (k <= 0)
            return -1;
        done += (size_t)k;
    }
    return 0;
}

/* ---- the process that receives ---- */

static void receive_orders(struct channel *c)
{
    static char buf[LARGEST];
    struct orders orders;
    while (read_all(c->control[1], &orders, sizeof orders) == 0 && orders.n >= 0) {
        uint64_t sum = 0;
        int rc = 0;
        if (orders.n == 0) {
            rc = write_all(c->control[1], buf, orders.size);
            memset(buf, 0, sizeof buf);
        } else {
            if (c->memory.at)
                rc = receive_by_ring((struct ring *)c->memory.at, buf, orders.size, orders.n, &sum);
            for (long i = 0; !c->memory.at && rc == 0 && i < orders.n; i++) {
                rc = read_all(c->out, buf, orders.size);
                sum += ends(buf, orders.size);
            }
            rc = rc == 0 ? write_all(c->control[1], &sum, sizeof sum) : rc;
        }
        if (rc != 0)
            break;
    }
    _exit(0);
}

static int start_receiver(struct channel *c)
{
    pid_t parent = getpid();
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, c->control) != 0)
        return -1;
    c->receiver = fork();
    if (c->receiver == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (getppid() != parent)
            _exit(1);
        close(c->control[0]);
        if (stay_on(1, "Message") != 0)
            _exit(1);
        receive_orders(c);
    }
    close(c->control[1]);
    return c->receiver > 0 ? 0 : -1;
}

/* ---- the ways ---- */

enum { OF_PIPE = 100, OF_UNIX_SOCKET };

static int open_channel(struct work *w, struct way *v)
{
    struct channel *c = calloc(1, sizeof *c);
    int pair[2] = {-1, -1}, rc = 0;
    (void)w;
    if (!(v->extra = c))
        return -1;
    c->control[0] = -1;
    if (v->kind == OF_PIPE) {
        rc = pipe2(pair, O_CLOEXEC);
        if (rc == 0)
            fcntl(pair[1], F_SETPIPE_SZ, RING); /* as much as the ring, where it is allowed */
    } else if (v->kind == OF_UNIX_SOCKET) {
        rc = socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair);
    } else {
        rc = take_memory(&c->memory, v->kind, sizeof(struct ring));
        if (rc == 0)
            memset(c->memory.at, 0, sizeof(struct ring));
    }
    c->out = pair[0];
    c->in = pair[1];
    return rc == 0 ? start_receiver(c) : ABSENT;
}

static void close_channel(struct work *w, struct way *v)
{
    struct channel *c = v->extra;
    struct orders end = {0, -1};
    (void)w;
    if (!c)
        return;
    if (c->receiver > 0) {
        if (write_all(c->control[0], &end, sizeof end) != 0)
            kill(c->receiver, SIGKILL);
        waitpid(c->receiver, NULL, 0);
        close(c->control[0]);
    }
    if (c->in >= 0)
        close(c->in);
    if (c->out >= 0)
        close(c->out);
    drop_memory(&c->memory);
    free(c);
    v->extra = NULL;
}

/* The messages are on their way until the receiver has answered. */
static int by_channel(struct work *w, struct way *v, long first, long n)
{
    struct channel *c = v->extra;
    struct orders orders = {w->walk.size, n};
    int rc = write_all(c->control[0], &orders, sizeof orders);
    (void)first;
    if (rc == 0 && c->memory.at)
        rc = send_by_ring((struct ring *)c->memory.at, w->buf, w->walk.size, n, w->seed);
    for (long i = 0; !c->memory.at && rc == 0 && i < n; i++) {
        number_it(w->buf, w->seed + (uint64_t)i);
        rc = write_all(c->in, w->buf, w->walk.size);
    }
    if (rc != 0)
        kill(c->receiver, SIGKILL); /* so that no answer is waited for */
    return rc == 0 ? read_all(c->control[0], &w->sum, sizeof w->sum) : -1;
}

/* The limit: the two copies, by one process. */
static int by_copies(struct work *w, struct way *v, long first, long n)
{
    size_t size = w->walk.size, places = RING / size;
    char *other = w->buf + MIB;
    for (long i = first; i < first + n; i++) {
        char *at = v->data + (size_t)i % places * size;
        number_it(w->buf, w->seed + (uint64_t)(i - first));
        memcpy(at, w->buf, size);
        KEEP();
        memcpy(other, at, size);
        KEEP();
        w->sum += ends(other, size);
    }
    return 0;
}

/* Every message was summed up by the receiver, which shows the last one. */
static int check_messages(struct work *w, struct way *v, long first, long n)
{
    static char shown[LARGEST];
    struct channel *c = v->extra;
    struct orders show = {w->walk.size, 0};
    uint64_t sum = 0;
    (void)first;
    for (long i = 0; i < n; i++) {
        number_it(w->buf, w->seed + (uint64_t)i);
        sum += ends(w->buf, w->walk.size);
    }
    if (v->run == by_copies)
        memcpy(shown, w->buf + MIB, w->walk.size);
    else if (write_all(c->control[0], &show, sizeof show) != 0 ||
             read_all(c->control[0], shown, w->walk.size) != 0)
        return work_fail(w, v, "the receiver does not answer");
    if (sum != w->sum)
        return work_fail(w, v, "not every message has arrived");
    return memcmp(shown, w->buf, w->walk.size) == 0 ? 0 : work_fail(w, v, "other bytes have arrived");
}

#define WAY(who, how, which, second)                                                             \
    {                                                                                            \
        .impl = who, .op = how, .open = open_channel, .run = by_channel, .close = close_channel, \
        .kind = which, .again = second                                                           \
    }
static struct way ways[] = {
    WAY("pipe", "write+read", OF_PIPE, 0),
    WAY("libc", "unix-socket", OF_UNIX_SOCKET, 0),
    WAY("sysv", "ring", OF_SYSV, 0),
    WAY("posixshm", "ring", OF_POSIX, 0),
    WAY("memfd", "ring", OF_MEMFD, 0),
    WAY("mmap", "ring", OF_MMAP_SHARED, 0),
    WAY("mapview", "mv_anonymous,ring", OF_MV_ANONYMOUS, 0),
    WAY("mapview", "mv_memory,ring", OF_MV_MEMORY, 0),
    {.impl = "memory",
     .op = "memcpy+memcpy",
     .open = open_way_memory,
     .run = by_copies,
     .close = close_way_all,
     .kind = OF_HUGE_PAGES},
    WAY("mmap", "ring", OF_MMAP_SHARED, 1),
};
enum { WAYS = sizeof ways / sizeof ways[0] };

static int measure_message(const struct row *row, const struct order *order)
{
    static const size_t sizes[] = {64, 4 * KIB, LARGEST};
    static char nothing[RING];
    struct work w = {.row = row->name,
                     .writes = 1,
                     .check = check_messages,
                     .holds = as_far_apart,
                     .count = COUNT_CALLS,
                     .time = 3e-3, /* the receiver has to wake up */
                     .content = nothing,
                     .file_size = RING,
                     .walk = {64, 1, 0}};
    w.buf = aligned_alloc(4096, 2 * MIB);
    int rc = w.buf ? stay_on(0, row->name) : fail("no memory", row->name);
    if (rc == 0)
        rc = open_ways(&w, ways, WAYS);
    for (int b = 0; rc == 0 && b < 3; b++) {
        if (!(w.distance = apart(row->name))) {
            rc = -1;
            break;
        }
        w.walk = (struct walk){sizes[b], 1, 0};
        snprintf(w.keys, sizeof w.keys, "processors=%s", w.distance);
        snprintf(w.title, sizeof w.title, "messages of %zu bytes from one process to another",
                 sizes[b]);
        snprintf(
            w.state, sizeof w.state,
            "each process on a processor of its own, where there are two; %zu messages fit between "
            "them in shared memory; waiting: %d looks with a pause, then sched_yield",
            RING / sizes[b], LOOKS);
        rc = measure_work(&w, ways, WAYS, order->seconds / 3, order->run);
    }
    close_ways(&w, ways, WAYS);
    free(w.buf);
    return rc;
}

const struct row message_rows[] = {
    {"Message", 1, 6, "messages from one process to another", measure_message},
    {0},
};
