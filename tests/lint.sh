#!/bin/sh
# lint.sh C-FILES GO-MODULES SCRIPTS: every linter, also after one has found
# something, and then a failure if any has. Each argument is a list of words.
# shellcheck source=tests/lib.sh
. "$(dirname "$0")/lib.sh"
c_files=$1 go_modules=$2 scripts=$3
found=''

# lint NAME COMMAND...: what the command prints and how it ends is its verdict.
lint() {
    name=$1
    shift
    if "$@" >"$scratch/log" 2>&1; then
        passed "$name"
    else
        cat "$scratch/log"
        echo "FAILED: $name" >&2
        found="$found $name"
    fi
}

# The C core and its examples. Tests and benchmarks do on purpose what the
# deeper checks warn of.
core() { for file in $c_files; do case $file in c/*) echo "$file" ;; esac; done; }
core_sources() { core | grep '\.c$'; }

form() {
    status=0
    for file in $c_files; do
        clang-format "$file" | diff -u "$file" - || status=1
    done
    return "$status"
}

# One file a run: with more, version 14 takes a va_list for uninitialised that
# it has passed in an earlier one.
tidy() {
    core_sources | xargs -P "$(nproc)" -I FILE clang-tidy --quiet --warnings-as-errors='*' FILE -- \
        -std=c11 -D_GNU_SOURCE -D_FILE_OFFSET_BITS=64 -Iinclude -Ic
}

check_with_cppcheck() {
    # shellcheck disable=SC2046
    cppcheck --quiet --std=c11 --enable=warning,performance,portability --error-exitcode=1 \
        --inline-suppr --suppress=missingIncludeSystem -Iinclude -Ic $(core_sources)
}

# No C file over 600 lines, but for the header, which is the manual. (clang-tidy
# looks at the length of functions.)
length() {
    # shellcheck disable=SC2086
    ! wc -l $c_files | awk '$2 != "total" && $1 > 600' | grep .
}

go_form() {
    ! gofmt -l csource.go go bench tests | grep .
}

vet() (
    cd "$1"
    go vet ./...
)

check_scripts() {
    # shellcheck disable=SC2086
    shellcheck -x $scripts
}

lint clang-format form
lint clang-tidy tidy
lint cppcheck check_with_cppcheck
lint "at most 600 lines a file" length
lint gofmt go_form
for module in $go_modules; do lint "go vet in $module" vet "$module"; done
lint shellcheck check_scripts

[ -z "$found" ] || fail "$found"
