#!/bin/sh
# mounts.sh COMMAND...: runs COMMAND beside real file systems that can be made
# to fail. MAPVIEW_FAULTS is a folder, and in it, for each NAME of ext4, xfs,
# btrfs, tmpfs and overlay that can be made here:
#
#   NAME/      the file system: empty, with about 32 MiB of room; with
#              FAULT_ROOM=all with all that its disk has
#   NAME.ctl   the fault disk under it takes commands here, see disk.c (not
#              for tmpfs); reading it tells what the disk has seen
#
# overlay lies on an ext4 of its own; overlay.lower/ is its lower layer, a
# folder of that same ext4. What has a dot in its name and is not named here
# is how the others are made.
#
# All of it is in a mount and a process namespace of its own and ends with
# this program, however that ends. Where a file system cannot be made, a line
# tells why; in CI that is a failure. FAULT_DISK is the built disk.c.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
top=$(cd "$here/../.." && pwd)
: "${FAULT_DISK:=$top/build/testing/faults/disk}"
export FAULT_DISK MAPVIEW_FAULTS="$top/build/faults"
names='ext4 xfs btrfs tmpfs overlay'

# skip NAME REASON: says why a file system is missing, here and, once, at the
# end of make test.
skip() {
    echo "SKIPPED: faults $1: $2"
    [ "${CI:-}" = true ] || grep -qsxF "   faults $1: $2" "$top/build/skipped" ||
        echo "   faults $1: $2" >>"$top/build/skipped"
}

# end_without REASON: there will be no file system at all.
end_without() {
    for name in $names; do skip "$name" "$1"; done
    [ "${CI:-}" != true ] || exit 1
    exit 0
}

# ---- outside: into the namespaces, and out of them ----

# The first process in there is killed when unshare is, unshare when this
# shell is, and with the first process everything goes: the other processes,
# and then the mounts, and with the mounts the loop devices. unshare itself
# blocks SIGTERM, hence the trap.
enter() {
    mkdir -p "$MAPVIEW_FAULTS"
    [ "$(id -u)" -eq 0 ] || end_without "only root can mount"
    [ -x "$FAULT_DISK" ] || end_without "$FAULT_DISK is not built (make programs-faults)"
    command -v setpriv >/dev/null || end_without "there is no setpriv"
    reason=$(unshare --mount --propagation private --pid --fork --mount-proc \
        mount -t tmpfs none "$MAPVIEW_FAULTS" 2>&1) || end_without "$(echo "$reason" | tail -n 1)"
    exec 3<&0
    setpriv --pdeathsig KILL \
        unshare --mount --propagation private --pid --fork --kill-child --mount-proc \
        "$0" --inside "$@" <&3 3<&- &
    child=$!
    trap 'kill -9 $child; wait $child || :; exit 143' TERM INT HUP
    wait $child
}

# ---- inside ----

# attempt NAME COMMAND...: a step of making NAME. Its last words are the reason
# when it fails.
attempt() {
    name=$1
    shift
    "$@" >"$MAPVIEW_FAULTS/log" 2>&1 && return
    skip "$name" "$(basename "$1"): $(grep . "$MAPVIEW_FAULTS/log" | tail -n 1)"
    return 1
}

# start_disk NAME MEBIBYTES: a fault disk at NAME.disk. All are started before
# anything is mounted on one: each keeps what it finds mounted.
start_disk() {
    mkdir "$1.disk" "$1.whole"
    attempt "$1" "$FAULT_DISK" "$2" "$PWD/$1.disk" && ln -s "$1.disk/ctl" "$1.ctl"
}

# mount_disk NAME OPTIONS: by a loop device, which goes with the mount. Whoever
# else looks for a free one may be quicker.
mount_disk() {
    for _ in 1 2 3 4 5 6 7 8 9; do
        mount -o "loop,$2" "$1.disk/disk" "$1.whole" 2>/dev/null && return
        sleep 0.1
    done
    mount -o "loop,$2" "$1.disk/disk" "$1.whole"
}

# fill_disk NAME OPTIONS MKFS...: a file system on it, at NAME.whole, all but
# 32 MiB of it taken: a test may fill it, and soon has. (btrfs then has little
# room for its own, and not always enough for hundreds of remounts.)
fill_disk() {
    name=$1 options=$2
    shift 2
    [ -e "$name.ctl" ] && attempt "$name" "$@" "$name.disk/disk" &&
        attempt "$name" mount_disk "$name" "$options" || return 1
    free=$(($(stat -f -c '%a * %S' "$name.whole") - 32 * 1024 * 1024))
    [ "${FAULT_ROOM:-}" = all ] || [ "$free" -le 0 ] ||
        attempt "$name" fallocate -l "$free" "$name.whole/taken"
}

# show NAME: an empty folder of NAME.whole, as NAME.
show() {
    mkdir "$1" "$1.whole/shown"
    attempt "$1" mount --bind "$1.whole/shown" "$1"
}

make_ext4() {
    fill_disk ext4 rw mkfs.ext4 -q -F -m 0 -b 4096 && show ext4
}

make_xfs() {
    fill_disk xfs rw mkfs.xfs -q -f && show xfs
}

make_btrfs() {
    fill_disk btrfs nodiscard mkfs.btrfs -q -f -m single -d single && show btrfs
}

make_tmpfs() {
    mkdir tmpfs
    attempt tmpfs mount -t tmpfs -o size=32m none tmpfs
}

make_overlay() {
    fill_disk overlay rw mkfs.ext4 -q -F -m 0 -b 4096 || return 1
    mkdir overlay.whole/lower overlay.whole/upper overlay.whole/work overlay
    ln -s overlay.whole/lower overlay.lower
    attempt overlay mount -t overlay none overlay \
        -o lowerdir=overlay.whole/lower,upperdir=overlay.whole/upper,workdir=overlay.whole/work
}

# A healthy disk, so that nothing waits for it.
unmake() {
    cd "$MAPVIEW_FAULTS"
    for name in $names; do
        [ ! -e "$name.ctl" ] || echo heal >"$name.ctl" || :
        for part in "$name" "$name.whole" "$name.disk"; do
            if mountpoint -q "$part"; then umount "$part" || :; fi
        done
    done
}

inside() {
    mount -t tmpfs none "$MAPVIEW_FAULTS"
    start=$PWD made=''
    cd "$MAPVIEW_FAULTS"
    # 300 MiB is the least that mkfs.xfs takes.
    start_disk ext4 64 || :
    start_disk xfs 300 || :
    start_disk btrfs 128 || :
    start_disk overlay 64 || :
    for name in $names; do
        if "make_$name"; then
            made="$made $name"
        else
            [ "${CI:-}" != true ] || exit 1
            rm -f "$name.ctl"
            umount "$name" 2>/dev/null || :
            rmdir "$name" 2>/dev/null || :
        fi
    done
    [ -n "$made" ] || exit 0
    cd "$start"
    status=0
    "$@" || status=$?
    unmake
    exit "$status"
}

case ${1:-} in
'') echo "usage: $0 COMMAND..." >&2 && exit 2 ;;
--inside) shift && inside "$@" ;;
*) enter "$@" ;;
esac
