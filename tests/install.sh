#!/bin/sh
# A program of a user's: built through pkg-config against an installed copy,
# run against the shared and the static library, and nothing left behind.
# shellcheck source=tests/lib.sh
. "$(dirname "$0")/lib.sh"

program=c/examples/typed_int.c
version=$(awk '/^.define MV_VERSION_/ { v = v dot $3; dot = "." } END { print v }' include/mapview.h)
cat >"$scratch/version.c" <<'END'
#include <mapview.h>
#include <stdio.h>

int main(void)
{
    return puts(mv_version()) < 0;
}
END

# build_and_run ROOT PREFIX LIBDIR: what pkg-config says is enough. ROOT is
# where a staged installation lies, or empty.
build_and_run() {
    PKG_CONFIG_LIBDIR=$1$3/pkgconfig
    PKG_CONFIG_SYSROOT_DIR=$1
    export PKG_CONFIG_LIBDIR PKG_CONFIG_SYSROOT_DIR
    [ "$(pkg-config --modversion mapview)" = "$version" ] || fail "pkg-config and the header: two versions"

    # shellcheck disable=SC2046 # several words each
    "$CC" -o "$scratch/shared" "$program" $(pkg-config --cflags --libs mapview) ||
        fail "$program does not build against the shared library"
    readelf -dW "$scratch/shared" | grep -q 'NEEDED.*libmapview\.so\.[0-9]*\]' || fail "not linked by SONAME"
    LD_LIBRARY_PATH=$1$3 "$scratch/shared" >"$scratch/output" || fail "$program, shared"

    # shellcheck disable=SC2046
    "$CC" -o "$scratch/version" "$scratch/version.c" $(pkg-config --cflags --libs mapview)
    [ "$(LD_LIBRARY_PATH=$1$3 "$scratch/version")" = "$version" ] || fail "the library is not version $version"

    # shellcheck disable=SC2046
    "$CC" -static -o "$scratch/static" "$program" $(pkg-config --static --cflags --libs mapview) ||
        fail "$program does not build against the static library"
    "$scratch/static" >"$scratch/output.static" || fail "$program, static"
    cmp "$scratch/output" "$scratch/output.static" || fail "shared and static do not do the same"
}

# nothing_left ROOT
nothing_left() {
    left=$(find "$1" ! -type d)
    [ -z "$left" ] || fail "uninstall has left $left"
}

# Straight into a folder.
prefix=$scratch/home
install_library "$prefix"
build_and_run '' "$prefix" "$prefix/lib"
count=$(find "$prefix" ! -type d | wc -l)
[ "$count" -eq 6 ] || fail "make install wrote $count files"
[ "$(find "$prefix/lib" -type f -name '*.so*' | wc -l)" -eq 1 ] || fail "the names of the library are not links"
make uninstall prefix="$prefix" >/dev/null
nothing_left "$prefix"
passed "prefix: shared and static, and nothing left"

# Staged, with a libdir and an includedir of its own, as packages are made.
root=$scratch/stage
set -- DESTDIR="$root" libdir=/usr/lib/some-machine includedir=/usr/include/some
install_library /usr "$@"
grep -r -F "$scratch" "$root/usr/lib/some-machine/pkgconfig" && fail "DESTDIR is in mapview.pc"
[ -f "$root/usr/include/some/mapview.h" ] || fail "includedir was not used"
build_and_run "$root" /usr /usr/lib/some-machine
make uninstall prefix=/usr "$@" >/dev/null
nothing_left "$root"
passed "DESTDIR, libdir, includedir: shared and static, and nothing left"

# The prefix is said at install: a build for another one serves as well.
objects=$(find build/release -name '*.o' -newer "$scratch/install.log")
[ -z "$objects" ] || fail "make install compiled again: $objects"
passed "another prefix does not compile again"
