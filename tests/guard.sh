#!/bin/sh
# The handler beside other owners of signals: several copies of the library in
# one process, a Go program that calls it from C, and a Go library inside of a
# C program that uses it. (The handlers of C programs are in test_guard_*.c.)
# shellcheck source=tests/lib.sh
. "$(dirname "$0")/lib.sh"

unset GOTRACEBACK
prefix=$scratch/prefix
install_library "$prefix"
export PKG_CONFIG_PATH="$prefix/lib/pkgconfig" LD_LIBRARY_PATH="$prefix/lib"
# shellcheck disable=SC3045 # every shell has it
ulimit -c 0
mkdir "$scratch/files" "$scratch/bin"

# program NAME: builds tests/guard/NAME.c as a user would.
program() {
    # shellcheck disable=SC2046
    $CC -std=c11 -D_GNU_SOURCE -Wall -Wextra -Werror -O2 -g -o "$scratch/bin/$1" "tests/guard/$1.c" \
        $(pkg-config --cflags --libs mapview) -pthread -ldl
}

# ends STATUS NAME COMMAND...: it ends with that status within a minute. What
# it prints is in $scratch/out and $scratch/err.
ends() {
    expected=$1 name=$2
    shift 2
    status=0
    timeout -k 5 60 "$@" >"$scratch/out" 2>"$scratch/err" || status=$?
    [ "$status" -eq "$expected" ] && return
    cat "$scratch/out" "$scratch/err"
    fail "$name: exit status $status, not $expected"
}

bus=135 # ended by SIGBUS, which is 7 on every processor but MIPS, SPARC and Alpha

# said TEXT: the last program's error output has it.
said() {
    grep -q "$1" "$scratch/err" || { cat "$scratch/err"; fail "$name: no '$1'"; }
}

# ---- copies of the library in one process ----

program copies
library=$(readlink -f "$prefix/lib/libmapview.so")
copies() {
    # shellcheck disable=SC2086 # as many words as copies
    ends "$1" "$2 copies, $3" "$scratch/bin/copies" "$scratch/files/cut" "$3" $libraries
}
libraries=''
for n in 1 2 3; do
    libraries="$libraries $scratch/bin/libcopy$n.so"
    cp "$library" "$scratch/bin/libcopy$n.so"
    copies 0 "$n" none
    copies "$bus" "$n" fault
    copies "$bus" "$n" closed
done
passed "$(cat "$scratch/out"), of each 1, 2 and 3 copies; an unguarded fault ends them, also after dlclose"

# ---- a Go program ----

cp -r tests/guard/go "$scratch/go"
cd "$scratch/go"
go mod edit -replace "example.com/mapview=$top"

# go_program NAME FLAG...
go_program() {
    name=$1
    shift
    go build -o "$scratch/bin/$name" "$@" . || fail "the Go program does not build: $*"
}

# lives NAME: all its faults are errors or panics. crashes NAME STATUS: a fault
# in C that nobody guards ends it so; a nil dereference that nobody recovers
# ends it as always.
lives() {
    ends 0 "Go, $1" "$scratch/bin/$1" "$scratch/files" live
    passed "Go, $1: $(cat "$scratch/out")"
}
crashes() {
    ends "$2" "Go, $1, a fault in C" "$scratch/bin/$1" "$scratch/files" crash-c
    [ "$2" -ne 2 ] || { said 'SIGBUS: bus error' && said 'signal arrived during cgo execution' && said FaultUnguarded; }
    cp "$scratch/err" "$scratch/err.c"
    ends 2 "Go, $1, a nil dereference" "$scratch/bin/$1" "$scratch/files" crash-go
    said 'panic: runtime error: invalid memory address or nil pointer dereference'
    said '^goroutine 1 \[running'
    said 'main.dereference'
}

go_program lazy
lives lazy
crashes lazy 2
go_program early -tags early
lives early
crashes early "$bus" # Go leaves the fault to whoever was there before it: nobody
passed "Go's own reports of faults that nobody guards are what they were"

if go build -race -o "$scratch/bin/race" . >"$scratch/log" 2>&1; then
    lives race
    crashes race 2
else
    cat "$scratch/log"
    fail "the Go program does not build with -race"
fi

# ---- a Go library in a C program ----

go build -buildmode=c-shared -o "$scratch/bin/libgo.so" ./shared || fail "the Go library does not build"
cd "$top"
program host
# host STATUS DEATH
host() {
    ends "$1" "host, $order, $2" "$scratch/bin/host" "$scratch/files/host" "$order" "$2" "$scratch/bin/libgo.so"
}
for order in before after; do
    host "$bus" fault
    host 0 none
    passed "a Go library, loaded $order the handler: $(cat "$scratch/out")"
done
