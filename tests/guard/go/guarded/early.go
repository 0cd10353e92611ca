//go:build early

package guarded

/*
#include <mapview.h>

__attribute__((constructor)) static void install_early(void)
{
    mv_guard_install(NULL);
}
*/
import "C"
