#!/bin/sh
# What README.md shows, done as it says: its two programs, built by the lines
# that it gives, print what it says that they print.
# shellcheck source=tests/lib.sh
. "$(dirname "$0")/lib.sh"

# block LANGUAGE: the one fenced block in that language.
block() {
    [ "$(grep -c "^\`\`\`$1\$" README.md)" -eq 1 ] || fail "README.md has not one block of $1"
    sed -n "/^\`\`\`$1\$/,/^\`\`\`\$/p" README.md | sed '1d;$d'
}

# line PATTERN: the one indented line that begins so.
line() {
    [ "$(grep -c "^    $1" README.md)" -eq 1 ] || fail "README.md has not one line '$1'"
    sed -n "s|^    \($1.*\)|\1|p" README.md
}

mkdir "$scratch/c" "$scratch/go"
block c >"$scratch/c/hello.c"
block go >"$scratch/go/main.go"
compile=$(line 'cc ')
replace=$(line 'go mod edit ' | sed "s|/path/to/mapview|$top|")
# shellcheck disable=SC2016 # the backquotes are README's
output=$(sed -n 's/^Both programs print `\([^`]*\)`.*/\1/p' README.md)
[ -n "$output" ] || fail "README.md does not say what the programs print"

install_library "$scratch/installed"
cd "$scratch/c"
PKG_CONFIG_LIBDIR=$scratch/installed/lib/pkgconfig
LD_LIBRARY_PATH=$scratch/installed/lib
export PKG_CONFIG_LIBDIR LD_LIBRARY_PATH
eval "$compile" || fail "the C program does not compile"
printed=$(./hello) || fail "the C program fails"
[ "$printed" = "$output" ] || fail "the C program prints '$printed', not '$output'"
passed "the C program: $printed"

cd "$scratch/go"
go mod init example.org/hello >"$scratch/log" 2>&1
eval "$replace" || fail "$replace"
# It needs mapview alone, so nothing has to be downloaded.
export GOPROXY=off
[ -z "$(gofmt -l .)" ] || fail "the Go program is not gofmt's"
go vet . || fail "go vet of the Go program"
printed=$(go run -buildvcs=false .) || fail "the Go program fails"
[ "$printed" = "$output" ] || fail "the Go program prints '$printed', not '$output'"
passed "the Go program: $printed"

cd "$top"
lines=$(wc -l <README.md)
[ "$lines" -lt 200 ] || fail "README.md has $lines lines"
# What it points to is there.
for link in $(grep -o '](\([^):]*\))' README.md | tr -d '()]'); do
    [ -e "$link" ] || fail "README.md points to $link"
done
grep -o '\bmake [a-z-]*' README.md | sort -u | while read -r _ target; do
    make -n "$target" >/dev/null 2>&1 || fail "README.md names make $target"
done
passed "$lines lines; links and make targets are there"
