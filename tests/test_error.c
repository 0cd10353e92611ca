/* test_error.c: mv_error, the sentences, the version. */
#include "support.h"

#include <inttypes.h>

static void test_fail_fills_everything(void **state)
{
    (void)state;
    mv_error err = MV_ERROR_INIT;
    memset((char *)&err + sizeof err.size, 0xEE, sizeof err - sizeof err.size);
    SAME(mv__fail(&err, -EIO, "fsync", "%d of %s", 7, "eight"), -EIO);
    SAME(err.size, sizeof err);
    SAME(err.code, -EIO);
    SAME(err.offset, 0);
    SAME(err.length, 0);
    SAME(err.done, 0);
    SAME_TEXT(err.op, "fsync");
    SAME_TEXT(err.text, "7 of eight");
}

static void test_fail_at_says_where(void **state)
{
    (void)state;
    mv_error err = MV_ERROR_INIT;
    SAME(mv__fail_at(&err, -MV_ETRUNCATED, (struct mv__place){1, 2, UINT64_MAX}, "fstat", "cut"),
         -MV_ETRUNCATED);
    SAME(err.code, -1001);
    SAME(err.offset, 1);
    SAME(err.length, 2);
    CHECK(err.done == UINT64_MAX);
}

static void test_fail_call_has_a_sentence(void **state)
{
    (void)state;
    SAME(mv__fail_call(support_prepare(), -EMFILE, "pipe2"), -EMFILE);
    FAILED_OP("pipe2");
    SAME_TEXT(support_error.text, "pipe2 failed: this process has too many open descriptors");
}

static void test_no_error_wanted(void **state)
{
    (void)state;
    SAME(mv__fail(NULL, -EIO, "fsync", "nobody listens"), -EIO);
    SAME(mv__error_usable(NULL), 0);
}

/* What is too long is cut and still ends in a zero byte. */
static void test_long_text_is_cut(void **state)
{
    (void)state;
    mv_error err = MV_ERROR_INIT;
    char text[300];
    memset(text, 'x', sizeof text);
    text[sizeof text - 1] = 0;
    mv__fail(&err, -EIO, text, "%s", text);
    SAME(strnlen(err.op, sizeof err.op), sizeof err.op - 1);
    SAME(strnlen(err.text, sizeof err.text), sizeof err.text - 1);
}

/* A smaller mv_error than the first release's is not touched, and of a larger
 * one no more than is known. */
static void test_sizes(void **state)
{
    (void)state;
    struct {
        mv_error err;
        unsigned char behind[16];
    } larger;
    for (uint32_t size = 0; size <= sizeof larger; size++) {
        memset(&larger, 0xEE, sizeof larger);
        larger.err.size = size;
        mv__fail(&larger.err, -EIO, "op", "text");
        bool usable = size >= sizeof larger.err;
        SAME(mv__error_usable(&larger.err), usable ? 0 : -EINVAL);
        SAME(larger.err.size, size);
        SAME(larger.err.code, usable ? -EIO : (int32_t)0xEEEEEEEE);
        for (size_t i = usable ? sizeof larger.err : sizeof size; i < sizeof larger; i++)
            SAME(((unsigned char *)&larger)[i], 0xEE);
    }
}

/* An mv_error that is too small is an error of every call, but for mv_close,
 * which must not leave the view behind. */
static void test_every_call_refuses_a_bad_error(void **state)
{
    (void)state;
    mv_error bad = MV_ERROR_INIT;
    mv_view *view = open_memory(10, 0), *none = view;
    mv_info info = MV_INFO_INIT;
    char byte = 0;
    bad.size = sizeof bad - 1;
    SAME(mv_open(scratch("none"), NULL, &none, &bad), -EINVAL);
    CHECK(!none);
    SAME(mv_open_fd(0, NULL, &none, &bad), -EINVAL);
    SAME(mv_anonymous(1, NULL, &none, &bad), -EINVAL);
    SAME(mv_detach(view, &bad), -EINVAL);
    SAME(mv_read(view, &byte, 1, 0, &bad), -EINVAL);
    SAME(mv_write(view, &byte, 1, 0, &bad), -EINVAL);
    SAME(mv_probe(view, 0, 1, MV_READ, &bad), -EINVAL);
    SAME(mv_sync(view, 0, 1, MV_SYNC_DATA, &bad), -EINVAL);
    SAME(mv_resize(view, 1, &bad), -EINVAL);
    SAME(mv_refresh(view, &bad), -EINVAL);
    SAME(mv_advise(view, 0, 1, 0, &bad), -EINVAL);
    SAME(mv_prefault(view, 0, 1, MV_READ, &bad), -EINVAL);
    SAME(mv_discard(view, 0, 1, &bad), -EINVAL);
    SAME(mv_pin(view, 0, 1, &bad), -EINVAL);
    SAME(mv_unpin(view, 0, 1, &bad), -EINVAL);
    SAME(mv_protect(view, 0, 1, MV_READ, &bad), -EINVAL);
    SAME(mv_stat(view, &info, &bad), -EINVAL);
    SAME(mv_fd(view, &bad), -EINVAL);
    SAME(bad.size, sizeof bad - 1);
    SAME(bad.code, 0);
    check_usable(view);
    SAME(mv_close(view, &bad), 0);
}

/* Every code that the header names, and every one that the library can pass
 * on, has a sentence of its own. */
static void test_strerror(void **state)
{
    (void)state;
    static const int codes[] = {MV_ETRUNCATED, EACCES, EAGAIN,  EBADF,        EBUSY,   ECHILD,
                                EDQUOT,        EEXIST, EFAULT,  EFBIG,        EINVAL,  EIO,
                                EISDIR,        ELOOP,  ENOTDIR, ENAMETOOLONG, EMFILE,  ENFILE,
                                ENODEV,        ENOENT, ENOMEM,  ENOSPC,       ENXIO,   EOPNOTSUPP,
                                EOVERFLOW,     EPERM,  EROFS,   ESTALE,       ETXTBSY, E2BIG};
    enum { COUNT = sizeof codes / sizeof codes[0] };
    const char *unknown = mv_strerror(9999);
    CHECK(support_sentence(unknown, 160));
    for (int i = 0; i < COUNT; i++) {
        const char *sentence = mv_strerror(codes[i]);
        CHECK(support_sentence(sentence, 100));
        CHECK(mv_strerror(-codes[i]) == sentence);
        CHECK(strcmp(sentence, unknown) != 0);
        for (int j = 0; j < i; j++)
            CHECK(strcmp(sentence, mv_strerror(codes[j])) != 0);
    }
    SAME_TEXT(mv_strerror(0), "no error");
    SAME_TEXT(mv_strerror(INT32_MIN), unknown);
    SAME_TEXT(mv_strerror(INT32_MAX), unknown);
}

/* No errno of this system is taken for MV_ETRUNCATED. */
static void test_truncated_is_apart(void **state)
{
    (void)state;
    for (int code = 1; code < 500; code++)
        CHECK(strcmp(mv_strerror(code), mv_strerror(MV_ETRUNCATED)) != 0);
}

static void test_version(void **state)
{
    (void)state;
    char wanted[32];
    snprintf(wanted, sizeof wanted, "%d.%d.%d", MV_VERSION_MAJOR, MV_VERSION_MINOR, MV_VERSION_PATCH);
    SAME_TEXT(mv_version(), wanted);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_fail_fills_everything),
        TEST(test_fail_at_says_where),
        TEST(test_fail_call_has_a_sentence),
        TEST(test_no_error_wanted),
        TEST(test_long_text_is_cut),
        TEST(test_sizes),
        TEST(test_every_call_refuses_a_bad_error),
        TEST(test_strerror),
        TEST(test_truncated_is_apart),
        TEST(test_version),
    };
    return RUN(tests);
}
