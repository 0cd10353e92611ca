#!/bin/sh
# The programs of c/examples, run as a user would and checked by what they
# print. Each checks itself, too, and says so by its exit status.
# shellcheck source=tests/lib.sh
. "$(dirname "$0")/lib.sh"

# expect NAME TEXT: that is all it prints.
expect() {
    name=$1
    shift
    "build/examples/$name" >"$scratch/$name" || fail "$name: exit status $?"
    printf '%s\n' "$@" | diff "$scratch/$name" - || fail "$name printed something else (<)"
    passed "$name"
}

expect share_fork \
    'child:  shared int 2, plain int 2' \
    'parent: shared int 2, plain int 1'

expect typed_int \
    'first process:  stored 42, synced, closed' \
    'second process: read 42'

expect print_bytes \
    '00000000  41 20 76 69 65 77 20 69 73 20 70 6c 61 69 6e 20  |A view is plain |' \
    '00000010  6d 65 6d 6f 72 79 2e 0a                          |memory..|'

expect survive \
    'mv_read: byte 300000 is a' \
    'mv_try:  all bytes add up to 38800000' \
    'mv_read: the file ends at byte 5, before byte 300000: somebody has cut it' \
    'mv_try:  over: the file ends before this byte: somebody has cut it' \
    'mv_read: byte 300000 is a' \
    'mv_try:  all bytes add up to 38800000'

# A file of some pages that ends inside one, against od.
head -c 10001 build/libmapview.a >"$scratch/file"
build/examples/print_bytes "$scratch/file" | cut -c 11-58 | tr -d ' \n' >"$scratch/bytes"
od -A n -t x1 -v "$scratch/file" | tr -d ' \n' | cmp - "$scratch/bytes" || fail "print_bytes FILE"
build/examples/print_bytes /nowhere 2>"$scratch/error" && fail "print_bytes succeeded without a file"
grep -q /nowhere "$scratch/error" || fail "print_bytes does not name the file that is not there"
passed "print_bytes FILE"

status=0
build/examples/sparse_tib "$scratch" >"$scratch/sparse" || status=$?
sed 's/^/   /' "$scratch/sparse"
[ -z "$(find "$scratch" -name 'sparse_tib*')" ] || fail "sparse_tib left its file"
case $status in
0) grep -q '^first byte 1, last byte 2 of 1099511627776$' "$scratch/sparse" || fail "sparse_tib" ;;
77) skip "sparse_tib: $(tail -n 1 "$scratch/sparse")" ;;
*) fail "sparse_tib: exit status $status" ;;
esac
passed "sparse_tib"
