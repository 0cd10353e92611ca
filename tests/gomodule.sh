#!/bin/sh
# A Go program of a user's, in a module of its own: it builds and runs with
# mapview from a module zip, and again after go mod vendor. And whoever edits
# the C sources is never given the objects of the old ones.
# shellcheck source=tests/lib.sh
. "$(dirname "$0")/lib.sh"

version=v0.0.0
tree=$scratch/tree
copy_tree "$tree"

# The one thing that comes from outside.
(cd tests/gomodule && go mod download golang.org/x/mod) >"$scratch/log" 2>&1 ||
    skip "golang.org/x/mod cannot be downloaded: $(tail -n 1 "$scratch/log")"
(cd tests/gomodule && go build -buildvcs=false -o "$scratch/publish" .)
"$scratch/publish" "$tree" example.com/mapview "$version" "$scratch/proxy"

# From here on nothing but that folder is asked, and this machine's own module
# cache never gets to hold such a mapview.
cp -r tests/consumer "$scratch/consumer"
cd "$scratch/consumer"
export GOPROXY="file://$scratch/proxy" GOSUMDB=off GOMODCACHE="$scratch/cache"

# build_and_run FLAG HOW
build_and_run() {
    go build -buildvcs=false "$1" -o program . || fail "a consumer does not build $2"
    [ "$(./program)" = 'hello from 5 bytes' ] || fail "a consumer $2 printed $(./program)"
    passed "$2: $(./program)"
}

go mod tidy >"$scratch/log" 2>&1 || { cat "$scratch/log"; fail "go mod tidy"; }
[ "$(go list -m all)" = "example.org/consumer
example.com/mapview $version" ] || fail "a consumer needs more than mapview: $(go list -m all)"
build_and_run -mod=readonly "from a module zip"

go mod vendor
[ -f vendor/example.com/mapview/LICENSE ] || fail "the licence is not vendored"
chmod -R u+w "$scratch/cache"
rm -rf "$scratch/cache" "$scratch/proxy"
build_and_run -mod=vendor "vendored"

# An edit that cannot be compiled tells at once which sources were used.
cd "$tree"
go build ./... || fail "the tree does not build"
for file in c/error.c c/internal.h include/mapview.h; do
    cp "$file" "$scratch/saved"
    echo '#error this line was just added' >>"$file"
    if go build ./... >"$scratch/log" 2>&1; then fail "go build did not see an edit of $file"; fi
    grep -q 'this line was just added' "$scratch/log" || { cat "$scratch/log"; fail "$file"; }
    cp "$scratch/saved" "$file"
done
go build ./... || fail "the tree does not build any more"
passed "an edit of a C source or a header is seen by the next go build"
