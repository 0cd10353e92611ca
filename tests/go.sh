#!/bin/sh
# go.sh [FLAG]...: the Go tests. None comes from the cache, since what they
# see is this kernel and these file systems, not the sources alone.
# shellcheck source=tests/lib.sh
. "$(dirname "$0")/lib.sh"
[ $# -eq 0 ] || echo "   $*"
go test -count=1 "$@" ./... || fail "go test $*"
