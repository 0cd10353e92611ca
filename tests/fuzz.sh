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
status=0
TMPDIR=$scratch/tmp go test ./go -run '^$' -fuzz '^FuzzOperations$' -fuzztime "${seconds}s" \
    -fuzzminimizetime 10x >"$scratch/log" 2>&1 || status=$?

# Before Go 1.27 the end of the time may be taken for a failure (go.dev/issue/75804).
# An input that fails is always written.
is_end_of_time() {
    grep -q '^ *context deadline exceeded$' "$scratch/log" && ! grep -q 'Failing input written' "$scratch/log"
}
[ "$status" -eq 0 ] || is_end_of_time || { cat "$scratch/log"; fail "operations at random"; }
execs=$(grep -o 'execs: [0-9]*' "$scratch/log" | tail -n 1)
[ "${execs#execs: }" -gt 0 ] || { cat "$scratch/log"; fail "nothing was executed"; }
passed "$(grep -o 'elapsed: .*' "$scratch/log" | tail -n 1)"
