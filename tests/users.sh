#!/bin/sh
# Programs of others run on mapview: in a temporary copy of each, what maps its
# files is taken out and mapview put in, and its own tests pass. A test is added
# that sees its files in mapview.Live.
#
#   vellum     the dictionaries of the search engine bleve. It uses a fork of
#              mmap-go, in the place of which comes go/mmapgo.
#   bbolt      the database of etcd, by pages of a read-only map that reaches
#              past the end of its file. Without its long tests (-short).
#   ristretto  the mapped files under badger, which are written to and grow: in
#              place, here. Without its long tests.
# shellcheck source=tests/lib.sh
. "$(dirname "$0")/lib.sh"
files=$top/tests/users/testdata
export TMPDIR="$scratch" # where their tests leave their files

# user NAME MODULE VERSION: stands in a copy of it that may be changed.
user() {
    name=$1 version=$2@$3
    go mod download -json "$version" >"$scratch/download" 2>&1 ||
        skip "$version cannot be downloaded: $(sed -n 's/^.*"Error": "\(.*\)".*$/\1/p' "$scratch/download")"
    cp -r "$(sed -n 's/^.*"Dir": "\(.*\)".*$/\1/p' "$scratch/download")" "$scratch/$name"
    chmod -R u+w "$scratch/$name"
    cd "$scratch/$name"
}

# with_mapview FOLDER PACKAGES: puts the files for it into FOLDER, and requires
# mapview. What PACKAGES need beside it is downloaded before.
with_mapview() {
    go list -deps -test "$2" >"$scratch/log" 2>&1 ||
        skip "what $version needs cannot be downloaded: $(tail -n 1 "$scratch/log")"
    cp "$files/$name"/*.go "$1"
    go mod edit -require=example.com/mapview@v0.0.0 -replace=example.com/mapview="$top"
}

# is_gone FILE...: no call of the system's mmap is left in what is built of it.
is_gone() {
    ! grep -n '\(unix\|syscall\)\.\(M\|Mun\)map(\|SYS_M\(UN\|RE\)MAP' "$@" || fail "$version has another form"
}

# passes PACKAGES [FLAG]...: their tests, and the one that was added.
passes() {
    packages=$1
    shift
    go test -mod=mod -count=1 -v "$@" "$packages" >"$scratch/log" 2>&1 ||
        { grep -v '^=== \|^ *--- PASS\|^ *--- SKIP' "$scratch/log" | tail -n 100; fail "the tests of $version"; }
    grep -q '^--- PASS: TestMapviewIsUsed' "$scratch/log" || fail "$version does not use mapview"
    passed "$name: $(($(grep -c '^--- PASS' "$scratch/log") - 1)) tests of $version"
}

# Each alone, so that one that cannot be downloaded takes no other with it.
(
    user vellum github.com/blevesearch/vellum v1.2.1
    with_mapview . ./...
    mkdir mmap-go
    cp "$top"/go/mmapgo/*.go mmap-go
    rm mmap-go/*_test.go
    printf 'module github.com/blevesearch/mmap-go\n\ngo 1.24\n' >mmap-go/go.mod
    go mod edit -replace=github.com/blevesearch/mmap-go=./mmap-go
    passes ./...
)
(
    user bbolt go.etcd.io/bbolt v1.4.3
    with_mapview . .
    sed -i 's/^\tdataref .*/&\n\tview mapping/' db.go
    sed -i '/^\/\/ mmap memory maps/,$d; /"fmt"/d; /"unsafe"/d; /sys\/unix"/d; /internal\/common"/d' bolt_unix.go
    rm mlock_unix.go
    is_gone bolt_unix.go bolt_linux.go db.go
    passes . -short
)
(
    user ristretto github.com/dgraph-io/ristretto/v2 v2.4.2
    with_mapview z ./z
    rm z/mmap_linux.go z/file_linux.go z/mremap_size.go z/mremap_nosize.go
    is_gone z/mmap.go z/file.go z/buffer.go z/btree.go
    passes ./z -short
)
