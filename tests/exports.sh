#!/bin/sh
# What libmapview.so shows and asks for: the calls of the header, and no name
# more; libc, and nothing that the header promises not to do.
# shellcheck source=tests/lib.sh
. "$(dirname "$0")/lib.sh"

library=$(readlink -f build/libmapview.so)

# same NAME NAME: the two lists of names agree.
same() {
    diff "$scratch/$1" "$scratch/$2" >"$scratch/difference" || {
        cat "$scratch/difference"
        fail "'$1' (<) and '$2' (>) are not the same"
    }
}

# A prototype may begin on a line of its own, so the header is read as one.
tr '\n' ' ' <include/mapview.h | grep -oE 'MV_API [a-z][^;]*;' | grep -oE '\bmv_[a-z_]+\(' |
    tr -d '(' | LC_ALL=C sort >"$scratch/header"
sed -n 's/^ *\(mv_[a-z_]*\);$/\1/p' c/libmapview.map >"$scratch/map"
LC_ALL=C sort -c "$scratch/map" || fail "c/libmapview.map is not sorted"
nm -D --defined-only "$library" | awk '$2 == "T" { sub(/@.*/, "", $3); print $3 }' |
    LC_ALL=C sort >"$scratch/shared library"
nm -g --defined-only build/libmapview.a | awk 'NF == 3 && $3 !~ /^mv__/ { print $3 }' |
    LC_ALL=C sort >"$scratch/static library"
[ -s "$scratch/header" ] || fail "no calls were found in the header"
same header map
same map "shared library"
same map "static library"
passed "the header, the map and both libraries name the same $(wc -l <"$scratch/map") calls"

# Each of these is called there with its system calls failed, but for those
# that make none.
while read -r call; do
    case $call in mv_data | mv_size | mv_reserved | mv_append_end | mv_strerror | mv_version) continue ;; esac
    grep -q "\b$call(" tests/test_open_failures.c tests/test_view_failures.c \
        tests/test_dirty_failures.c tests/test_write_failures.c tests/test_guard.c ||
        fail "no test makes the system calls of $call fail"
done <"$scratch/map"
passed "the system calls of every one are made to fail by a test"

others=$(nm -D --defined-only "$library" | awk '$2 != "T" && $2 != "A" { print $3 }')
[ -z "$others" ] || fail "the library exports data: $others"
unversioned=$(nm -D --defined-only "$library" | awk '$2 == "T" && $3 !~ /@@MAPVIEW_/ { print $3 }')
[ -z "$unversioned" ] || fail "no version on: $unversioned"
passed "every one carries the version of its release"

readelf -dW "$library" >"$scratch/dynamic"
needed=$(sed -n 's/.*(NEEDED).*\[\(.*\)\]/\1/p' "$scratch/dynamic" | grep -v '^ld-linux' | tr '\n' ' ')
case $needed in
libc.so*' ' | libpthread.so.0' 'libc.so.6' ' | libc.musl-*' ') passed "needs ${needed% } alone" ;;
*) fail "the library needs: $needed" ;;
esac

version=$(awk '/^.define MV_VERSION_/ { v = v dot $3; dot = "." } END { print v }' include/mapview.h)
[ "$(basename "$library")" = "libmapview.so.$version" ] || fail "the header says $version: $library"
grep -q "(SONAME).*\[libmapview.so.${version%%.*}\]" "$scratch/dynamic" || fail "SONAME"
grep -q 'FLAGS.*BIND_NOW\|(BIND_NOW)' "$scratch/dynamic" || fail "not linked with -z now"
grep -q 'NODELETE' "$scratch/dynamic" || fail "not linked with -z nodelete"
grep -q 'TEXTREL' "$scratch/dynamic" && fail "has text relocations"
readelf -lW "$library" >"$scratch/segments"
grep -q GNU_RELRO "$scratch/segments" || fail "not linked with -z relro"
grep GNU_STACK "$scratch/segments" | grep -q 'RWE' && fail "has an executable stack"
# The fault handler may touch no variable of a thread: the loader may have to
# allocate it first.
grep -q '^ *TLS ' "$scratch/segments" && fail "has thread-local variables"
# The table of system calls, which only tests may change.
objdump -t "$library" | grep -q ' \.data\.rel\.ro.* mv__sys$' || fail "mv__sys is not in read-only memory"
passed "SONAME, relro, now, nodelete, no executable stack, no TLS, a read-only table of calls"

# Fortified and stack-protected calls end in __*_chk and __stack_chk_fail,
# which are the compiler's.
nm -D --undefined-only "$library" | awk '{ sub(/@.*/, "", $2); print $2 }' >"$scratch/uses"
for call in abort exit _exit __assert_fail printf puts fprintf vfprintf fwrite perror __printf_chk \
    __fprintf_chk __vfprintf_chk syslog signal getenv secure_getenv; do
    grep -qx "$call" "$scratch/uses" && fail "the library calls $call"
done
passed "no abort, print or getenv"

# A thread is started where MV_APPEND_AHEAD asks for one, and nowhere else.
for file in c/*.c; do
    object=build/release/${file%.c}.o
    case $file in c/sys_linux.c | c/append.c) continue ;; esac
    ! nm --undefined-only "$object" | grep -q ' pthread_create' || fail "$file starts a thread"
    ! grep -n 'start_thread(' "$file" || fail "$file starts a thread"
done
grep -q 'o.flags & MV_APPEND_AHEAD) ? start_ahead' c/append.c ||
    fail "append.c starts its thread in another way than this knows"
passed "a thread for MV_APPEND_AHEAD alone"
