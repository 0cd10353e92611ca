#!/bin/sh
# A program that uses golang.org/x/exp/mmap or github.com/edsrzf/mmap-go changes
# its import line and nothing else. Proof: those packages' own tests, from their
# authors, not a byte changed. They lie inside their package, so the sources of
# the drop-in are put in the place of theirs, in a copy. And since those tests are
# few: tests/dropin asks both the same in thousands of ways.
# shellcheck source=tests/lib.sh
. "$(dirname "$0")/lib.sh"

# download MODULE: sets version and original, the folder of its sources.
download() {
    version=$1@$(awk -v path="$1" '$1 == path { print $2 }' "$top/tests/dropin/go.mod")
    go mod download -json "$version" >"$scratch/download" 2>&1 ||
        skip "$version cannot be downloaded: $(sed -n 's/^.*"Error": "\(.*\)".*$/\1/p' "$scratch/download")"
    original=$(sed -n 's/^.*"Dir": "\(.*\)".*$/\1/p' "$scratch/download")
}

# dropin MODULE PACKAGE OURS: PACKAGE is the package's folder in MODULE, OURS
# that of its drop-in here.
dropin() {
    download "$1"
    rm -rf "$scratch/module"
    mkdir -p "$scratch/module/$2"
    cd "$scratch/module"
    cat >go.mod <<END_OF_MOD
module $1

go 1.24

require example.com/mapview v0.0.0

replace example.com/mapview => $top
END_OF_MOD
    for file in "$top/$3"/*.go; do
        case $file in *_test.go) ;; *) cp "$file" "$2" ;; esac
    done
    cp "$original/$2"/*_test.go "$2"
    export TMPDIR="$scratch" # where theirs leave their files
    for flag in '' -race; do
        # shellcheck disable=SC2086 # no word when it is empty
        go test -count=1 -v $flag "./$2" >"$scratch/log" 2>&1 ||
            { cat "$scratch/log"; fail "the tests of $version"; }
    done
    tests=$(cat "$2"/*_test.go | grep -c '^func Test\|^	// Output:')
    run=$(grep -c '^--- PASS' "$scratch/log") || run=0
    { [ "$run" -gt 0 ] && [ "$run" -eq "$tests" ]; } || fail "$run tests of $version ran, of $tests"
    passed "$3: $run tests of $version, as they are"
}

dropin golang.org/x/exp mmap go/mmap
dropin github.com/edsrzf/mmap-go . go/mmapgo

cd "$top/tests/dropin"
go test -count=1 -v . >"$scratch/log" 2>&1 || { grep -v '^=== ' "$scratch/log" | head -n 50; fail "other answers"; }
passed "the same answers: $(sed -n 's/^ *mmapgo_test.go:[0-9]*: //p' "$scratch/log")"
