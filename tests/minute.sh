#!/bin/sh
# A minute in which a foreign process cuts and regrows a file under readers and
# writers, in C and in Go beside each other; and a million Views opened and closed.
# shellcheck source=tests/lib.sh
. "$(dirname "$0")/lib.sh"
export MAPVIEW_MINUTE=1

tests/run.sh 'a minute of cutting, C' build/testing/test_storm >"$scratch/c" 2>&1 &
c=$!
tests/go.sh ./go -run 'Storm|MillionCycles' -v >"$scratch/go" 2>&1 || { cat "$scratch/go"; fail "the Go part"; }
wait $c || { cat "$scratch/c"; fail "the C part"; }
passed "C:  $(grep -o '60 s of cutting.*' "$scratch/c")"
passed "Go: $(grep -o '60 s of cutting.*' "$scratch/go")"
passed "Go: $(grep -o 'lent false: 1000000 cycles.*' "$scratch/go"); $(grep -o 'lent true: 1000000 cycles.*' "$scratch/go")"
