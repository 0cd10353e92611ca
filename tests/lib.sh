# shellcheck shell=sh
# lib.sh: what the test scripts share. Each begins with
#     . "$(dirname "$0")/lib.sh"
# and then stands at the top of the tree, in a shell that stops at a failure.
# $scratch is a folder of its own, gone at the end.

set -eu
cd "$(dirname "$0")/.."
top=$PWD
suite=$(basename "$0" .sh)
scratch=$(mktemp -d "${TMPDIR:-/tmp}/mapview-$suite.XXXXXX")
# Go's module cache is read-only, so it needs the chmod.
trap 'chmod -R u+w "$scratch"; rm -rf "$scratch"' EXIT
trap 'exit 130' INT TERM HUP

: "${CC:=cc}"
export GOTOOLCHAIN=local GOWORK=off

echo "== $suite"

# The flags of the make that runs this script are not for the makes it runs.
unset MAKEFLAGS MFLAGS MAKELEVEL MAKEOVERRIDES || :

# fail SENTENCE: says what is wrong and ends the suite.
fail() {
    echo "FAILED: $suite: $*" >&2
    exit 1
}

# passed SENTENCE: says what has been seen to hold.
passed() {
    echo "   $*"
}

# skip SENTENCE: ends the suite, for a reason that lies in this machine. It is
# named again at the end of make test. In CI it is a failure: nobody reads
# the reasons there.
skip() {
    [ "${CI:-}" = true ] && fail "skipped in CI: $*"
    echo "SKIPPED: $suite: $*"
    mkdir -p "$top/build"
    echo "   $suite: $*" >>"$top/build/skipped"
    exit 0
}

# copy_tree DIR: the sources, as a release has them, into a new DIR.
copy_tree() {
    mkdir -p "$1"
    tar -C "$top" --exclude=./build --exclude=./.git -cf - . | tar -C "$1" -xf -
}

# install_library PREFIX [SETTING]...: make install, quietly.
install_library() {
    prefix=$1
    shift
    make install prefix="$prefix" "$@" >"$scratch/install.log" 2>&1 ||
        { cat "$scratch/install.log"; fail "make install"; }
}
