#!/bin/sh
# faults.sh [PROGRAMS]: every fault on real file systems, in C and in Go, every
# failure to reach the medium, and cuts of the power; and before that what
# these are made of. PROGRAMS is the folder of the programs that are built from
# tests/faults/*.c; those of tests/crash/*.c are in crash/ beside it.
# shellcheck source=tests/lib.sh
. "$(dirname "$0")/lib.sh"
programs=$(cd "${1:-build/testing/faults}" && pwd)
mounts=$top/tests/faults/mounts.sh
export FAULT_DISK="$programs/disk"

# eventually CONDITION...: holds within ten seconds.
eventually() {
    for _ in $(seq 200); do
        "$@" && return
        sleep 0.05
    done
    return 1
}

# ---- that mounts.sh is alone, and leaves nothing ----

# begin RUN BEFORE AFTER: mounts.sh in the background, as $pid. It does BEFORE,
# notes what it consists of, waits for go_on and does AFTER.
begin() {
    run=$scratch/$1
    mkdir "$run"
    # shellcheck disable=SC2016 # it is the shell in there that expands it
    "$mounts" sh -euc '
        cd "$MAPVIEW_FAULTS"
        eval "$2"
        readlink /proc/self/ns/mnt >"$1/namespace"
        findmnt -n -o SOURCE ext4.whole >"$1/loop"
        losetup -n -O BACK-MAJ:MIN,BACK-INO "$(cat "$1/loop")" >"$1/backing"
        touch "$1/ready"
        until [ -e "$1/go" ]; do sleep 0.05; done
        eval "$3"' sh "$run" "$2" "$3" >"$run/log" 2>&1 &
    pid=$!
    eventually test -e "$run/ready" || { cat "$run/log"; fail "mounts.sh: nothing after ten seconds"; }
}

go_on() {
    touch "$scratch/$1/go"
    wait "$2" || { cat "$scratch/$1/log"; fail "the $1 run: $3"; }
}

# is_gone RUN: no process and so no mount of it is left, nor its loop device.
is_gone() {
    ! find /proc/[0-9]*/ns/mnt -printf '%l\n' 2>/dev/null | grep -qxF "$(cat "$scratch/$1/namespace")" &&
        [ "$(losetup -n -O BACK-MAJ:MIN,BACK-INO "$(cat "$scratch/$1/loop")" 2>/dev/null)" != \
            "$(cat "$scratch/$1/backing")" ]
}

# shellcheck disable=SC2016 # as above
check_alone() {
    begin first 'echo 1 >ext4/one' '[ "$(ls ext4)" = one ] && echo 2 >>ext4/one && sync ext4/one'
    first=$pid
    begin second 'echo write-error >ext4.ctl; echo 1 >ext4/two' '[ "$(ls ext4)" = two ] && ! sync ext4/two'
    second=$pid
    ! is_gone first || fail "is_gone sees nothing"
    [ ! -e build/faults/ext4 ] || fail "the file systems are seen outside"
    go_on first "$first" "the other one disturbed it"
    go_on second "$second" "its disk did not fail"
    eventually is_gone first || fail "a run left something"
    eventually is_gone second || fail "a run whose disk has failed left something"
    passed "two runs at once do not disturb each other"
}

# With bytes that are still to be written: who unmounts the last one must not
# wait for a disk that is gone.
check_ended() {
    # shellcheck disable=SC2016
    dirty='for fs in ext4 xfs btrfs; do [ ! -d "$fs" ] || echo 1 >"$fs/file"; done'
    for signal in KILL TERM HUP; do
        begin "$signal" "$dirty" ''
        kill -s "$signal" "$pid"
        wait "$pid" 2>/dev/null && fail "ended by SIG$signal, yet with success"
        eventually is_gone "$signal" || fail "ended by SIG$signal it left something"
    done
    status=0
    "$mounts" sh -c 'exit 7' >/dev/null || status=$?
    [ "$status" -eq 7 ] || fail "the command's exit status 7 became $status"
    passed "nothing is left after an end by a signal; the exit status is the command's"
}

# In a tree of its own, whose notes are nobody's.
check_skips() {
    tree=$scratch/tree
    mkdir -p "$tree/tests/faults" "$tree/build" "$scratch/bin"
    cp "$mounts" "$tree/tests/faults"
    chmod 755 "$scratch" "$programs" && chmod 777 "$tree/build"
    touch "$tree/build/skipped" && chmod 666 "$tree/build/skipped"
    printf '#!/bin/sh\necho out of order >&2\nexit 1\n' >"$scratch/bin/mkfs.xfs"
    chmod +x "$scratch/bin/mkfs.xfs"
    # shellcheck disable=SC2016
    one() { env CI="$1" PATH="$scratch/bin:$PATH" "$tree/tests/faults/mounts.sh" sh -c 'ls "$MAPVIEW_FAULTS"' >"$scratch/log"; }
    none() { setpriv --reuid 65534 --clear-groups env CI="$1" "$tree/tests/faults/mounts.sh" touch "$scratch/no" >"$scratch/log"; }
    one '' || fail "a file system that cannot be made is a failure"
    { grep -qx 'SKIPPED: faults xfs: mkfs.xfs: out of order' "$scratch/log" && grep -qx ext4 "$scratch/log" &&
        ! grep -qx xfs "$scratch/log"; } || fail "a file system that cannot be made: $(cat "$scratch/log")"
    ! one true || fail "a file system that cannot be made is no failure in CI"
    none '' || fail "not to be root is a failure"
    [ "$(grep -c 'SKIPPED: faults [a-z0-9]*: only root can mount' "$scratch/log")" -eq 5 ] ||
        fail "not to be root: $(cat "$scratch/log")"
    ! none true || fail "not to be root is no failure in CI"
    [ "$(grep -c 'faults xfs: ' "$tree/build/skipped")" -eq 2 ] || fail "$(cat "$tree/build/skipped")"
    passed "what cannot be made is told, and in CI a failure"
}

# ---- the faults ----

# The table of the Go tests is among what -v says.
go_matrix() {
    "$mounts" go test -count=1 -v ./tests/faults/... >"$scratch/log" 2>&1 || {
        cat "$scratch/log"
        fail "the matrix of Go"
    }
    grep -v -e '^ *=== ' -e '^ *--- ' -e '^PASS$' -e '^SKIPPED: ' "$scratch/log"
}

"$mounts" touch "$scratch/made"
[ -e "$scratch/made" ] || exit 0
check_alone
check_ended
check_skips
# Fresh file systems for each: a disk that has failed may leave one that can
# only be read.
"$mounts" tests/run.sh 'the fault disk' "$programs/test_disk" || fail "the fault disk"
"$mounts" tests/run.sh 'the matrix of C' "$programs/test_matrix" || fail "the matrix of C"
FAULT_ROOM=all "$mounts" tests/run.sh 'the table of durability' "$programs/test_durable" ||
    fail "the table of durability"
FAULT_ROOM=all "$mounts" tests/run.sh 'cuts of the power' "$programs/../crash/test_crash" ||
    fail "cuts of the power"
echo '== the matrix of Go'
go_matrix
