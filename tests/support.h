/*
 * support.h: what the C tests share.
 *
 * A check works in a test, in the functions that it calls and in a child of
 * fork. It does not in a thread that a test has started: that hands its
 * findings back.
 *
 * Every test begins in an empty scratch folder, and after it descriptors,
 * mappings and heap must be what they were before.
 */
#ifndef MAPVIEW_TESTS_SUPPORT_H
#define MAPVIEW_TESTS_SUPPORT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka needs the four above. */
#include <cmocka.h>

#include "failing.h"
#include "internal.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* ---- checks ---- */

__attribute__((noreturn)) void support_failed(const char *what, const char *file, int line);
void support_same(int64_t actual, int64_t expected, const char *what, const char *file, int line);
void support_same_text(const char *actual, const char *expected, const char *file, int line);

#define CHECK(condition) ((condition) ? (void)0 : support_failed(#condition, __FILE__, __LINE__))
#define SAME(actual, expected) \
    support_same((int64_t)(actual), (int64_t)(expected), #actual, __FILE__, __LINE__)
#define SAME_TEXT(actual, expected) support_same_text((actual), (expected), __FILE__, __LINE__)

/* support_context says what is being tested, where a check alone does not. */
extern const char *support_context;

/* ERR is the mv_error of the calls below. */
extern mv_error support_error;
#define ERR (&support_error)

mv_error *support_prepare(void);
int64_t support_worked(int64_t result, const char *what, const char *file, int line);
void support_refused(int64_t result, int64_t code, const char *what, const char *file, int line);
void support_place(uint64_t offset, uint64_t length, uint64_t done, const char *file, int line);

/* WORKS makes a call with ERR, checks that it did not fail and left ERR alone,
 * and gives its result. */
#define WORKS(call) (support_prepare(), support_worked((call), #call, __FILE__, __LINE__))

/* REFUSED makes a call with ERR and checks that it failed with code, and said
 * so in ERR: the code, an op, and one sentence. */
#define REFUSED(code, call) \
    (support_prepare(), support_refused((call), (code), #call, __FILE__, __LINE__))

/* AT checks where ERR says that the last failure was; FAILED_OP checks what
 * it says has failed. */
#define AT(offset, length, done) support_place((offset), (length), (done), __FILE__, __LINE__)
#define FAILED_OP(name) SAME_TEXT(support_error.op, (name))

/* support_sentence tells whether text is one sentence for a person. */
bool support_sentence(const char *text, size_t room);

/* ---- tests ---- */

int support_begin(void **state);
int support_end(void **state);
int support_group_begin(void **state);
int support_group_begin_cold(void **state); /* before the library has asked anything */
int support_group_end(void **state);

#define TEST(function) cmocka_unit_test_setup_teardown(function, support_begin, support_end)
#define RUN(tests) cmocka_run_group_tests(tests, support_group_begin, support_group_end)

/* skip_test says why and ends the test as skipped; in a child of fork it ends
 * the child, and in_child skips. */
__attribute__((noreturn)) void skip_test(const char *reason);

/* ---- files ---- */

/* scratch returns the path of name in the scratch folder, scratch_memory that
 * of name in a folder on tmpfs (skips where there is none). The string holds
 * for some fifty calls. */
const char *scratch(const char *name);
const char *scratch_memory(const char *name);

/* pattern is what the byte at that offset of a test's file is: never 0. */
unsigned char pattern(uint64_t at);

/* make_file makes a new file of length bytes of pattern, make_sparse one that
 * is a hole; both return their path. grow_file appends pattern up to length. */
const char *make_file(const char *path, uint64_t length);
const char *make_sparse(const char *path, uint64_t length);
void grow_file(const char *path, uint64_t length);

/* has_pattern and has_zeros tell of bytes that are at offset in the file. */
bool has_pattern(const void *bytes, size_t n, uint64_t offset);
bool has_zeros(const void *bytes, size_t n);

/* These look at a file past the library, and check that they could. */
int open_file(const char *path, int flags);
void read_file(const char *path, void *buf, size_t n, uint64_t offset);
void write_file(const char *path, const void *buf, size_t n, uint64_t offset);
bool file_has_pattern(const char *path, uint64_t offset, uint64_t n);
bool file_has_zeros(const char *path, uint64_t offset, uint64_t n);
uint64_t file_length(const char *path);
uint64_t file_storage(const char *path); /* bytes of its blocks */
bool file_exists(const char *path);
void cut_file(const char *path, uint64_t length); /* or extend it */

/* ---- views ---- */

#define PAGE mv__sys_page_size()
#define LARGEST_PAGE 65536 /* of any machine */

/* with returns options of these flags. */
mv_options with(uint64_t flags);

/* These check that they worked. */
mv_view *open_view(const char *path, uint64_t flags);
mv_view *open_with(const char *path, const mv_options *options);
mv_view *open_memory(uint64_t size, uint64_t reserve);
mv_info info_of(const mv_view *view);
void close_view(mv_view *view);
void close_failed(mv_view *view, int code); /* mv_close must return code */

/* check_usable checks that a write view of at least a byte still works: a
 * byte goes in, comes back and is restored. */
void check_usable(mv_view *view);

/* ---- resources ---- */

struct resources {
    int descriptors;
    long heap, mapped;
    int mappings; /* of scratch files and of memory files */
};
struct resources resources_now(void);
bool resources_same(struct resources before);

/* descriptors_of counts this process's descriptors of the file that fd or
 * path, when fd is -1, leads to. */
int descriptors_of(int fd, const char *path);

/* A mapping is one line of /proc/self/maps. */
struct mapping {
    uintptr_t start, end;
    char permissions[5];
};
bool find_mapping(const void *address, struct mapping *out);

/* smaps_kib returns a field of the mapping's entry in /proc/self/smaps. */
long smaps_kib(const void *address, const char *field);

/* ---- children ---- */

/* in_child runs function in a child of fork and checks that it ended well. */
void in_child(void (*function)(void *), void *argument);

/* as_nobody is in_child without any privilege; skips when not root. */
void as_nobody(void (*function)(void *), void *argument);

/* end_of_child runs function in a child of fork, where it should not come to
 * its end, and returns how it ended, as waitpid tells: 0 if it did. */
int end_of_child(void (*function)(void *), void *argument);

/* mount_small mounts an empty tmpfs of that size at path, which it makes.
 * Only in a child: the mount is in its own name space and goes with it. */
void mount_small(const char *path, size_t bytes);

/* touch accesses one byte in a child and returns the signal that this raised,
 * or 0. */
int touch(void *address, uint32_t access);

/* What some tests cannot be run under. */
bool under_valgrind(void);
bool under_sanitizer(void); /* of addresses or threads: both make mlock do nothing */

/* expect_faults(true) tells valgrind that what follows uses bad addresses on
 * purpose; expect_faults(false) ends that. */
void expect_faults(bool on);

/*
 * A trap is some pages of TRAP_BYTE. The first access of the program itself to
 * the second waits until another thread has called the function: something
 * that happens in the midst of a copy. It does not catch the kernel, to which
 * the page is a bad address until then.
 */
#define TRAP_BYTE 0xEE
#define TRAP_PAGES 12
struct trap {
    unsigned char *bytes;
    unsigned char *page; /* the second one */
    void (*function)(void *);
    void *argument;
    int fd;
    pthread_t thread;
    atomic_bool over;
    bool sprung;
};

/* trap_make skips the test where the kernel cannot do it. trap_free tells
 * whether function was called. */
void trap_make(struct trap *trap, void (*function)(void *), void *argument);
bool trap_free(struct trap *trap);

/* make_socket returns a socket, bound to path if that is not NULL. */
int make_socket(const char *path);

#endif
