#!/bin/sh
# The header is a C and C++ header of its own: whoever includes it needs
# nothing before it, and gets no warning, and no name but mapview's.
# shellcheck source=tests/lib.sh
. "$(dirname "$0")/lib.sh"

# Twice, so that the guard counts; the _INIT macros and the flags are used.
cat >"$scratch/use.c" <<'END'
#include <mapview.h>
#include <mapview.h>

static int byte(void *at)
{
    return *(unsigned char *)at;
}

int use(void);
int use(void)
{
    mv_error error = MV_ERROR_INIT;
    mv_options options = MV_OPTIONS_INIT;
    mv_info info = MV_INFO_INIT;
    mv_view *view = NULL;

    options.flags = MV_OPEN_WRITE | MV_OPEN_CREATE | MV_OPEN_NO_HANDLER;
    if (mv_open("file", &options, &view, &error) < 0 || mv_stat(view, &info, &error) < 0)
        return -MV_ETRUNCATED;
    if (mv_guard_status() == MV_GUARD_NONE || mv_try(view, byte, mv_data(view), &error) < 0)
        return -1;
    return mv_close(view, &error);
}
END
cp "$scratch/use.c" "$scratch/use.cc"

# check COMPILER STANDARD FILE
check() {
    "$1" -fsyntax-only "-std=$2" -pedantic -Wall -Wextra -Werror -Iinclude "$scratch/$3" ||
        fail "$1 -std=$2 does not take the header"
}

for compiler in $CC gcc clang; do
    command -v "$compiler" >/dev/null || continue
    for standard in c99 c11 c17; do check "$compiler" "$standard" use.c; done
done
passed "C99, C11, C17"
for compiler in c++ g++ clang++; do
    command -v "$compiler" >/dev/null || continue
    for standard in c++11 c++17; do check "$compiler" "$standard" use.cc; done
done
passed "C++11, C++17"

included=$(sed -n 's/^ *# *include *//p' include/mapview.h | sort | tr '\n' ' ')
[ "$included" = '<stddef.h> <stdint.h> ' ] || fail "the header includes $included"
passed "needs <stddef.h> and <stdint.h> alone"

# What it defines, less what those two define.
macros() { "$CC" -dM -E -x c "$1" -Iinclude | awk '{ sub(/\(.*/, "", $2); print $2 }' | sort; }
printf '#include <stddef.h>\n#include <stdint.h>\n' >"$scratch/without.h"
macros "$scratch/without.h" >"$scratch/without"
macros include/mapview.h >"$scratch/with"
foreign=$(comm -13 "$scratch/without" "$scratch/with" | grep -v -e '^MV_' -e '^MAPVIEW_H$' || :)
[ -z "$foreign" ] || fail "the header defines $foreign"
passed "every macro begins with MV_"
