/* socket.c: the row Socket: a file in memory goes through a socket, to a thread
 * that receives it. */

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <unistd.h>

#include "processor.h"
#include "stage.h"

#define SPAN (1 * MIB) /* what is larger is a question to the memory */

/* A wire is a connected pair, and the thread at its other end. The thread sums
 * up the first number of each page that arrives; when it is told to it compares
 * every byte. */
static struct wire {
    int in, out;
    int pipe[2]; /* for splice */
    pthread_t receiver;
    int running;
    const char *content;
    char *buf;
    size_t chunk;           /* bytes of one receive */
    size_t off;             /* in the content, of what comes next */
    atomic_size_t received; /* since the sample began */
    uint64_t sum;
    int compare, wrong;
} wire;

static void look_at(struct wire *r, size_t n)
{
    for (size_t i = (4096 - r->off % 4096) % 4096; i + sizeof(uint64_t) <= n; i += 4096)
        r->sum += ends(r->buf + i, sizeof(uint64_t));
    if (r->compare && memcmp(r->buf, r->content + r->off, n) != 0)
        r->wrong = 1;
}

static void *receive(void *arg)
{
    struct wire *r = arg;
    if (stay_on(1, "Socket") != 0) {
        shutdown(r->out, SHUT_RDWR); /* nobody must wait for it */
        return NULL;
    }
    for (;;) {
        size_t most = SPAN - r->off < r->chunk ? SPAN - r->off : r->chunk;
        ssize_t n = recv(r->out, r->buf, most, 0);
        if (n <= 0)
            return NULL;
        look_at(r, (size_t)n);
        r->off = (r->off + (size_t)n) % SPAN;
        atomic_fetch_add(&r->received, (size_t)n);
    }
}

/* await_all waits until what was sent has arrived. */
static int await_all(size_t n)
{
    double give_up = now() + 30;
    while (atomic_load(&wire.received) < n) {
        if (now() > give_up) {
            errno = ETIMEDOUT;
            return -1;
        }
        sched_yield();
    }
    return atomic_load(&wire.received) == n ? 0 : -1;
}

static int connect_tcp(int ends_of[2])
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t n = sizeof at;
    int one = 1, server = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    ends_of[0] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int rc = server >= 0 && ends_of[0] >= 0 && bind(server, (struct sockaddr *)&at, n) == 0 &&
                     listen(server, 1) == 0 && getsockname(server, (struct sockaddr *)&at, &n) == 0 &&
                     connect(ends_of[0], (struct sockaddr *)&at, n) == 0
                 ? 0
                 : -1;
    ends_of[1] = rc == 0 ? accept(server, NULL, NULL) : -1;
    if (server >= 0)
        close(server);
    if (ends_of[1] < 0)
        return -1;
    return setsockopt(ends_of[0], IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
}

static int open_wire(struct work *w, int tcp)
{
    int pair[2] = {-1, -1};
    wire = (struct wire){.in = -1, .out = -1, .pipe = {-1, -1}, .content = w->content};
    wire.buf = aligned_alloc(4096, MIB);
    if (!wire.buf || pipe2(wire.pipe, O_CLOEXEC) != 0 ||
        fcntl(wire.pipe[1], F_SETPIPE_SZ, (int)MIB) < 0)
        return fail("pipe", w->row);
    if ((tcp ? connect_tcp(pair) : socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair)) != 0)
        return fail("socket", w->row);
    wire.in = pair[0];
    wire.out = pair[1];
    wire.chunk = MIB;
    wire.running = pthread_create(&wire.receiver, NULL, receive, &wire) == 0;
    return wire.running ? 0 : fail("pthread_create", w->row);
}

static void close_wire(void)
{
    if (wire.in >= 0)
        shutdown(wire.in, SHUT_RDWR);
    if (wire.running)
        pthread_join(wire.receiver, NULL);
    for (int i = 0; i < 2; i++)
        if (wire.pipe[i] >= 0)
            close(wire.pipe[i]);
    if (wire.in >= 0)
        close(wire.in);
    if (wire.out >= 0)
        close(wire.out);
    free(wire.buf);
}

/* ---- the ways: each sends one access ---- */

static int send_bytes(const char *at, size_t n)
{
    for (size_t done = 0; done < n;) {
        ssize_t k = send(wire.in, at + done, n - done, MSG_NOSIGNAL);
        if (k <= 0)
            return -1;
        done += (size_t)k;
    }
    return 0;
}

static int send_view(struct work *w, struct way *v, size_t at)
{
    return send_bytes((const char *)mv_data(v->view) + at, w->walk.size);
}

static int send_data(struct work *w, struct way *v, size_t at)
{
    return send_bytes(v->data + at, w->walk.size);
}

static int send_read(struct work *w, struct way *v, size_t at)
{
    if (pread(v->fd, w->buf, w->walk.size, (off_t)at) != (ssize_t)w->walk.size)
        return -1;
    return send_bytes(w->buf, w->walk.size);
}

static int send_file(struct work *w, struct way *v, size_t at)
{
    off_t off = (off_t)at, end = (off_t)(at + w->walk.size);
    while (off < end)
        if (sendfile(wire.in, v->fd, &off, (size_t)(end - off)) <= 0)
            return -1;
    return 0;
}

static int send_splice(struct work *w, struct way *v, size_t at)
{
    off_t off = (off_t)at;
    for (size_t done = 0; done < w->walk.size;) {
        ssize_t n = splice(v->fd, &off, wire.pipe[1], NULL, w->walk.size - done, SPLICE_F_MOVE);
        if (n <= 0)
            return -1;
        for (ssize_t out = 0; out < n;) {
            ssize_t k = splice(wire.pipe[0], NULL, wire.in, NULL, (size_t)(n - out),
                               SPLICE_F_MOVE | SPLICE_F_MORE);
            if (k <= 0)
                return -1;
            out += k;
        }
        done += (size_t)n;
    }
    return 0;
}

/* The limit: one copy, with no socket: what no receiver can be spared. */
static int copy_data(struct work *w, struct way *v, size_t at)
{
    memcpy(w->buf, v->data + at, w->walk.size);
    KEEP();
    return 0;
}

static int by_copy(struct work *w, struct way *v, long first, long n)
{
    for (long i = first; i < first + n; i++) {
        copy_data(w, v, place_of(w->walk, i));
        for (size_t k = 0; k < w->walk.size; k += 4096)
            w->sum += ends(w->buf + k, sizeof(uint64_t));
    }
    return 0;
}

#define RUN(name, one)                                                 \
    static int name(struct work *w, struct way *v, long first, long n) \
    {                                                                  \
        for (long i = first; i < first + n; i++)                       \
            if (one(w, v, place_of(w->walk, i)) != 0)                  \
                return -1;                                             \
        if (await_all((size_t)n * w->walk.size) != 0)                  \
            return -1;                                                 \
        w->sum = wire.sum;                                             \
        return 0;                                                      \
    }
RUN(by_view, send_view)
RUN(by_data, send_data)
RUN(by_read_and_send, send_read)
RUN(by_sendfile, send_file)
RUN(by_splice, send_splice)

/* Nothing is on its way before a sample, which begins at the start of the file:
 * the receiver counts from there. */
static int begin(struct work *w, struct way *v)
{
    (void)w, (void)v;
    wire.sum = 0;
    wire.wrong = 0;
    wire.off = 0;
    atomic_store(&wire.received, 0);
    return 0;
}

static int check_sent(struct work *w, struct way *v, long first, long n)
{
    uint64_t sum = 0;
    for (long i = first; i < first + n; i++)
        for (size_t k = 0; k < w->walk.size; k += 4096)
            sum += ends(w->content + place_of(w->walk, i) + k, sizeof(uint64_t));
    if (wire.wrong)
        return work_fail(w, v, "other bytes have arrived");
    return sum == w->sum ? 0 : work_fail(w, v, "not all of the bytes have arrived");
}

#define WAY(who, how, opener, runner, second)                                    \
    {                                                                            \
        .impl = who, .op = how, .open = opener, .prepare = begin, .run = runner, \
        .close = close_way_all, .again = second                                  \
    }
static struct way ways[] = {
    WAY("sendfile", "sendfile", open_way_fd, by_sendfile, 0),
    WAY("libc", "splice", open_way_fd, by_splice, 0),
    WAY("mapview", "send,mv_data", open_way_view, by_view, 0),
    WAY("mmap", "send", open_way_map, by_data, 0),
    WAY("libc", "pread+send", open_way_fd, by_read_and_send, 0),
    {.impl = "memory",
     .op = "memcpy",
     .open = open_way_memory,
     .run = by_copy,
     .close = close_way_all,
     .kind = OF_HUGE_PAGES},
    WAY("mmap", "send", open_way_map, by_data, 1),
};
enum { WAYS = sizeof ways / sizeof ways[0] };

static int measure_wire(struct work *w, int tcp, size_t size, double seconds, const char *run)
{
    w->walk = (struct walk){size, SPAN / size, 0};
    w->ops = (long)(4 * MIB / size);
    if (!(w->distance = apart(w->row)))
        return -1;
    snprintf(w->keys, sizeof w->keys, "pattern=seq/cache=resident/socket=%s/processors=%s",
             tcp ? "tcp" : "unix", w->distance);
    snprintf(w->title, sizeof w->title,
             "a file of 1 MiB in memory, four times over, %zu KiB at a time, to a thread behind %s",
             size >> 10, tcp ? "TCP loopback" : "an AF_UNIX pair");
    int rc = open_wire(w, tcp);
    /* All bytes once, compared; then sums are enough. */
    wire.compare = 1;
    for (int k = 0; rc == 0 && k < WAYS; k++) {
        struct way *v = &ways[k];
        if (v->absence)
            continue;
        w->sum = 0;
        begin(w, v);
        rc = v->run(w, v, 0, w->ops) == 0 ? check_sent(w, v, 0, w->ops)
                                          : work_fail(w, v, "an access failed or came back short");
    }
    wire.compare = 0;
    if (rc == 0)
        rc = measure_work(w, ways, WAYS, seconds, run);
    close_wire();
    return rc;
}

static int measure_socket(const struct row *row, const struct order *order)
{
    static const size_t sizes[] = {64 * KIB, MIB};
    struct stage stage = {.size = 0};
    struct work w = {
        .row = row->name, .check = check_sent, .holds = as_far_apart, .count = COUNT_CALLS};
    int rc = open_stage(&stage, &w, order, "c-socket", SPAN, MIB);
    if (rc == 0)
        rc = stay_on(0, row->name);
    if (rc == 0)
        rc = say_state(&w, SPAN, "; each end on a processor of its own, where there are two");
    if (rc == 0)
        rc = open_ways(&w, ways, WAYS);
    for (int b = 0; rc == 0 && b < 4; b++)
        rc = measure_wire(&w, b / 2, sizes[b % 2], order->seconds / 4, order->run);
    close_ways(&w, ways, WAYS);
    close_stage(&stage, &w);
    return rc;
}

const struct row socket_rows[] = {
    {"Socket", 1, 6, "a file in memory sent through a socket", measure_socket},
    {0},
};
