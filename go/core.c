//go:build cgo

/* core.c: the C core as one unit. cgo compiles only what lies in this folder. */
#include "../c/error.c"
#include "../c/sys_linux.c"
#include "../c/options.c"
#include "../c/source.c"
#include "../c/view.c"
#include "../c/open.c"
#include "../c/resize.c"
#include "../c/copy.c"
#include "../c/cause.c"
#include "../c/sync.c"
#include "../c/advice.c"
#include "../c/caps.c"
