/*
 * broken.c: a block of a right variant and one that is wrong in the way that is
 * named, for the test of the checks in rounds.c. Memory stands in for the file,
 * but for "lost", which never writes to its file.
 */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../rounds.h"

static const char *how;
static int passes;

static int is(const char *name)
{
    return strcmp(how, name) == 0;
}

/* place says which page access i works on. */
static size_t place(const struct block *b, size_t i)
{
    return is("one-page") ? 0 : is("backwards") ? b->accesses - 1 - i : i;
}

/* part says how many bytes of an access are moved. */
static size_t part(const struct block *b)
{
    return is("half") ? b->size / 2 : is("last-byte") ? b->size - 1 : b->size;
}

/* idle says whether this pass does nothing. Stride 0 is a timed pass. */
static int idle(size_t stride)
{
    passes++;
    return is("nothing") || (is("first") && passes == 1) || (is("closed") && passes > 1) ||
           (is("timed") && stride == 0) || (is("whole") && stride != 0) ||
           (is("last") && stride != 0 && passes > 40);
}

/* result says whether this pass reports an access that failed. */
static int result(size_t stride)
{
    return (is("short-timed") && stride == 0) || (is("short-whole") && stride != 0) ? -1 : 0;
}

static int read_right(const struct block *b, const struct variant *v, char *buf, size_t stride)
{
    for (size_t i = 0; i < b->accesses; i++)
        memcpy(buf + i * stride, v->memory + i * b->size, b->size);
    return 0;
}

static int write_right(const struct block *b, const struct variant *v, char *buf, size_t stride)
{
    for (size_t i = 0; i < b->accesses; i++)
        memcpy(v->memory + i * b->size, buf + i * stride, b->size);
    return 0;
}

static int read_wrong(const struct block *b, const struct variant *v, char *buf, size_t stride)
{
    if (idle(stride))
        return 0;
    for (size_t i = 0; i < b->accesses; i++)
        memcpy(buf + i * stride, v->memory + place(b, i) * b->size, part(b));
    return result(stride);
}

static int write_wrong(const struct block *b, const struct variant *v, char *buf, size_t stride)
{
    if (idle(stride))
        return 0;
    for (size_t i = 0; i < b->accesses; i++)
        memcpy(v->memory + place(b, i) * b->size, buf + i * stride, part(b));
    return result(stride);
}

/* broken read|write HOW FILE SIZE */
int main(int argc, char **argv)
{
    static char memory[FILE_SIZE];
    uint64_t seed = 3;
    if (argc != 5)
        return 2;
    int reads = strcmp(argv[1], "read") == 0;
    how = argv[2];
    fill_random(memory, sizeof memory, &seed);
    char *content = malloc(sizeof memory);
    if (!content)
        return 2;
    memcpy(content, memory, sizeof memory);
    struct block b = {.name = reads ? "Read" : "Write",
                      .size = strtoul(argv[4], NULL, 10),
                      .path = argv[3],
                      .content = reads ? content : NULL};
    struct variant right = {"memory", "right", reads ? read_right : write_right, NULL, memory, -1, 0};
    struct variant wrong = {
        is("lost") ? "mmap" : "memory", "wrong", reads ? read_wrong : write_wrong, NULL, memory, -1, 0};
    block_add(&b, &right);
    block_add(&b, &wrong);
    wrong.again = 1;
    block_add(&b, &wrong);
    int rc = block_measure(&b, 0.01, "");
    free(content);
    return rc == 0 ? 0 : 1;
}
