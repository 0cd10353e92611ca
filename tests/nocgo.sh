#!/bin/sh
# Without cgo the build stops, and says in one line what to do. Go turns cgo
# off by itself where it finds no C compiler.
# shellcheck source=tests/lib.sh
. "$(dirname "$0")/lib.sh"

# stops HOW: the build of the package that is in $log has said it.
stops() {
    grep -v '^#' "$scratch/log" >"$scratch/said" || :
    [ "$(wc -l <"$scratch/said")" -eq 1 ] || { cat "$scratch/log"; fail "$1: not one line"; }
    grep -q 'install_a_C_compiler' "$scratch/said" || { cat "$scratch/log"; fail "$1: not what to do"; }
    passed "$1: $(sed 's/.*: //' "$scratch/said")"
}

if CGO_ENABLED=0 go build ./go/... >"$scratch/log" 2>&1; then fail "builds with CGO_ENABLED=0"; fi
stops "CGO_ENABLED=0"

goroot=$(go env GOROOT)
if env -u CC -u CGO_ENABLED PATH="$goroot/bin" go build ./go/... >"$scratch/log" 2>&1; then
    fail "builds without a C compiler"
fi
stops "no C compiler"
