#!/bin/sh
# A program that uses golang.org/x/exp/mmap changes its import line and
# nothing else. Proof: the package's own test, from its author, with the
# import put in, since it lies inside its package.
# shellcheck source=tests/lib.sh
. "$(dirname "$0")/lib.sh"

exp=golang.org/x/exp@$(awk '$1 == "golang.org/x/exp" { print $2 }' bench/go.mod)
mkdir "$scratch/dropin"
cd "$scratch"
go mod download -json "$exp" >"$scratch/download" 2>&1 ||
    skip "$exp cannot be downloaded: $(sed -n 's/^.*"Error": "\(.*\)".*$/\1/p' "$scratch/download")"
original=$(sed -n 's/^.*"Dir": "\(.*\)".*$/\1/p' "$scratch/download")/mmap/mmap_test.go

cd "$scratch/dropin"
cat >go.mod <<END
module example.org/dropin

go 1.24

require example.com/mapview v0.0.0

replace example.com/mapview => $top
END
sed -e 's/^package mmap$/package mmap_test/' \
    -e 's|^import ($|import (\n\t. "example.com/mapview/go/mmap"\n|' "$original" >mmap_test.go
# One line changed and two added, or it is not the same test.
[ "$(diff "$original" mmap_test.go | grep -c '^[<>]')" -eq 4 ] || fail "the test has another form: $exp"

go test -count=1 -v . >"$scratch/log" 2>&1 || { cat "$scratch/log"; fail "the test of $exp"; }
run=$(grep -c '^--- PASS' "$scratch/log") || fail "the test of $exp held no tests"
passed "$run test of $exp"
