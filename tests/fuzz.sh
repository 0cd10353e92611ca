#!/bin/sh
# fuzz.sh: operations at random on a view and its file, against a model, for a
# minute or FUZZ_SECONDS. An input that fails is written to go/testdata/fuzz/:
# it stays there, as a seed that make test-go tries from then on.
# shellcheck source=tests/lib.sh
. "$(dirname "$0")/lib.sh"
seconds=${FUZZ_SECONDS:-60}
case $seconds in '' | *[!0-9]*) fail "FUZZ_SECONDS is '$seconds', not a number of seconds" ;; esac

# What a worker has left when it is stopped goes with the scratch folder.
mkdir "$scratch/tmp"
TMPDIR=$scratch/tmp go test ./go -run '^$' -fuzz '^FuzzOperations$' -fuzztime "${seconds}s" \
    -fuzzminimizetime 10x >"$scratch/log" 2>&1 || { cat "$scratch/log"; fail "an input, see above"; }
passed "$(grep -o 'elapsed: .*' "$scratch/log" | tail -n 1)"
