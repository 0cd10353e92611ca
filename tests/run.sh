#!/bin/sh
# run.sh TITLE PROGRAM...: runs every cmocka program, also after one has
# failed, and then fails if any has. RUNNER is what they are started through
# (valgrind, say).
#
# Of a program that passes it shows the totals, and every line that is not
# cmocka's own: that is where a test says why it was skipped.
set -u
title=$1
shift
echo "== $title"
[ $# -gt 0 ] || { echo "FAILED: there are no C tests" >&2; exit 1; }

logs=$(mktemp -d "${TMPDIR:-/tmp}/mapview-run.XXXXXX")
trap 'rm -rf "$logs"' EXIT
passed=0 skipped=0 failed=''

# valgrind_found LOG: what valgrind says of the program, less the descriptors
# that it got from whoever started it. Its status does not tell: a test's own
# children would end with that status, too.
valgrind_found() {
    sed -n 's/^==[0-9]*== //p' "$1" | awk '
        /^FILE DESCRIPTORS:/ || /^ *$/ { next }
        /^Open file descriptor/ { opened = $0; next }
        opened != "" && /<inherited from parent>/ { opened = ""; next }
        opened != "" { print opened; opened = "" }
        { print }'
}

# remarks LOG: the lines that are neither cmocka's own nor valgrind's. cmocka
# names a skipped test twice.
remarks() {
    grep -v -e '^\[ RUN  ' -e '^\[       OK \]' -e '^\[==========\]' -e '^\[  PASSED  \]' -e '^$' \
        -e 'listed below' -e 'SKIPPED TEST(S)' -e '^==[0-9]*== ' "$1" |
        awk '!/^\[  SKIPPED \]/ || !seen[$0]++'
}

for program in "$@"; do
    name=$(basename "$program")
    log=$logs/$name
    # A test that hangs is a failure, too. RUNNER is words, not one.
    # shellcheck disable=SC2086
    CMOCKA_MESSAGE_OUTPUT=STDOUT timeout -k 5 600 ${RUNNER-} "$program" >"$log" 2>&1 </dev/null
    status=$?
    # One program may hold more than one group.
    n=$(sed -n 's/^\[  PASSED  \] \([0-9]*\) test.*/\1/p' "$log" | awk '{ n += $1 } END { print n + 0 }')
    s=$(grep '^\[  SKIPPED \]' "$log" | grep -v 'listed below' | sort -u | wc -l)
    found=$(valgrind_found "$log")
    if [ "$status" -ne 0 ] || [ "$n" -eq 0 ] || [ -n "$found" ]; then
        failed="$failed $name"
        grep -v '^==[0-9]*== ' "$log"
        [ "$status" -ne 124 ] || echo "$name did not end within ten minutes"
        [ -z "$found" ] || printf 'valgrind found:\n%s\n' "$found"
        echo "FAILED: $name (exit status $status, $n tests passed)"
    else
        echo "[  PASSED  ] $n test(s): $name"
        remarks "$log"
    fi
    passed=$((passed + n)) skipped=$((skipped + s))
done

echo "   $passed passed, $skipped skipped in $# programs"
if [ "$skipped" -gt 0 ] && [ -d build ]; then echo "   $title: $skipped tests, named there" >>build/skipped; fi
[ -z "$failed" ] || { echo "FAILED:$failed" >&2; exit 1; }
