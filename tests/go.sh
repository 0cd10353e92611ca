#!/bin/sh
# go.sh MODULE [FLAG]...: the Go tests of a module. None comes from the cache,
# since what they see is this kernel and these file systems, not the sources
# alone.
# shellcheck source=tests/lib.sh
. "$(dirname "$0")/lib.sh"
module=$1
shift
echo "   module $module $*"
cd "$module"
go mod download >"$scratch/log" 2>&1 ||
    skip "what module $module needs cannot be downloaded: $(tail -n 1 "$scratch/log")"
go test -count=1 "$@" ./... || fail "the Go tests of module $module $*"
