#!/bin/sh
# cpu.sh: the guarded accesses of the processors that this machine is not:
# those of 64-bit ARM under an emulator, and those of every other one, which
# are written in C, here. It builds copies of the tree with other settings.
# shellcheck source=tests/lib.sh
. "$(dirname "$0")/lib.sh"

# built NAME PROGRAM... -- SETTING...: builds these tests in a copy of the tree
# under that name, and names the programs in $programs.
built() {
    tree=$scratch/$1 targets='' programs=''
    shift
    while [ "$1" != -- ]; do
        targets="$targets build/testing/$1"
        programs="$programs $tree/build/testing/$1"
        shift
    done
    shift
    copy_tree "$tree"
    # shellcheck disable=SC2086 # a list
    make -C "$tree" -j "$(nproc)" WERROR=1 "$@" $targets >"$scratch/log" 2>&1 ||
        { cat "$scratch/log"; fail "the tests do not build with $*"; }
}

# ---- any processor ----

any() {
    # The tests skip by themselves what cannot hold there.
    built any test_cpu test_cpu_call test_copy test_copy_faults test_number test_number_threads test_try \
        test_try_threads test_guard test_guard_call test_guard_chain test_guard_death test_guard_threads -- \
        CPPFLAGS=-DMV__CPU_ANY
    # shellcheck disable=SC2086
    tests/run.sh 'C tests, any processor' $programs
}

# ---- 64-bit ARM ----

arm=aarch64-linux-gnu
emulator="qemu-aarch64 -L /usr/$arm"

# get_cmocka: unpacks cmocka for that processor into $cmocka, by an apt that has
# an idea of its own of what this machine is.
cmocka=$top/build/$arm/cmocka
get_cmocka() {
    [ ! -e "$cmocka/done" ] || return 0
    mkdir -p "$scratch/apt/state/lists/partial" "$scratch/apt/cache/archives/partial" "$scratch/packages"
    cat >"$scratch/apt/conf" <<END
APT::Architecture "arm64";
APT::Architectures { "arm64"; };
APT::Sandbox::User "root";
Dir::State "$scratch/apt/state";
Dir::State::status "/dev/null";
Dir::Cache "$scratch/apt/cache";
Acquire::Languages "none";
Acquire::IndexTargets::deb::DEP-11::DefaultEnabled "false";
Acquire::IndexTargets::deb::Contents-deb::DefaultEnabled "false";
END
    (
        export APT_CONFIG="$scratch/apt/conf"
        cd "$scratch/packages"
        { apt-get -q update && apt-get -q download libcmocka-dev libcmocka0; } >"$scratch/log" 2>&1
    ) || return 1
    rm -rf "$cmocka"
    mkdir -p "$cmocka"
    for package in "$scratch"/packages/*.deb; do dpkg-deb -x "$package" "$cmocka"; done
    touch "$cmocka/done"
}

# disassembly FUNCTION: its instructions, one a line.
disassembly() {
    $arm-objdump -d --no-show-raw-insn --disassemble="$1" "$tree/build/release/c/cpu_aarch64.o" |
        sed -n 's/^ *[0-9a-f]*:[[:space:]]*//p'
}

# What no run can tell: a strong memory or an emulator hides the wrong order.
check_instructions() {
    for function in mv__cpu_load:ldar mv__cpu_store:stlr; do
        access=${function#*:}
        function=${function%:*}
        for width in "${access}b w" "${access}h w" "$access w" "$access x"; do
            disassembly "$function" | tr '\t' ' ' | grep -q "^${width}[0-9]*, \[x0\]" ||
                fail "$function has no $width"
        done
    done
    for function in mv__cpu_copy mv__cpu_load mv__cpu_store mv__cpu_call; do
        [ "$(disassembly "$function" | head -n 1 | tr '\t' ' ')" = 'bti c' ] ||
            fail "$function is not marked as a branch target"
    done
    $arm-readelf -n "$tree/build/release/c/guard.o" | grep -q 'AArch64 feature: BTI, PAC' ||
        fail "the release is not built with branch protection"
    passed "numbers are accessed with ldar and stlr; BTI and PAC"
}

arm() {
    for tool in $arm-gcc $arm-objdump qemu-aarch64; do
        command -v "$tool" >/dev/null || skip "there is no $tool"
    done
    command -v dpkg-deb >/dev/null || skip "cmocka for ARM is taken from Debian's archive, and this is no Debian"
    get_cmocka || skip "cmocka for ARM cannot be downloaded: $(tail -n 1 "$scratch/log")"
    # qemu-user cannot copy by the kernel, nor bring pages in, of which the cause
    # of a fault is found out: tests of causes cannot hold there.
    built arm test_cpu test_cpu_call test_guard_call -- CC="$arm-gcc" \
        CPPFLAGS="-I$cmocka/usr/include -mbranch-protection=standard" \
        LDFLAGS="-L$cmocka/usr/lib/$arm -Wl,-rpath,$cmocka/usr/lib/$arm"
    # shellcheck disable=SC2086
    RUNNER=$emulator tests/run.sh 'C tests, 64-bit ARM' $programs
    make -C "$tree" CC="$arm-gcc" WERROR=1 -j "$(nproc)" library >"$scratch/log" 2>&1 ||
        { cat "$scratch/log"; fail "the library does not build for ARM"; }
    check_instructions
}

any
arm
