/*
 * share_fork: a parent and its child share an int.
 *
 * The memory of mv_anonymous belongs to both sides of a fork: what one stores
 * the other sees. A variable belongs to the process alone: the child changes
 * its own copy.
 */
#define _POSIX_C_SOURCE 200809L

#include <mapview.h>

#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

int main(void)
{
    mv_error error = MV_ERROR_INIT;
    mv_view *view;
    if (mv_anonymous(sizeof(int), NULL, &view, &error) < 0) {
        fprintf(stderr, "share_fork: %s\n", error.text);
        return 1;
    }

    int *shared = mv_data(view);
    int plain = 1;
    *shared = 1;

    pid_t child = fork();
    if (child < 0) {
        perror("share_fork: fork");
        return 1;
    }
    if (child == 0) {
        *shared = 2;
        plain = 2;
        printf("child:  shared int %d, plain int %d\n", *shared, plain);
        return mv_close(view, NULL) < 0;
    }

    /* The child's store happened before its end, and so before this returns. */
    int status;
    if (waitpid(child, &status, 0) < 0 || status != 0) {
        fprintf(stderr, "share_fork: the child failed\n");
        return 1;
    }
    printf("parent: shared int %d, plain int %d\n", *shared, plain);
    int as_expected = *shared == 2 && plain == 1;

    if (mv_close(view, &error) < 0) {
        fprintf(stderr, "share_fork: %s\n", error.text);
        return 1;
    }
    return as_expected ? 0 : 1;
}
