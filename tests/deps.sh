#!/bin/sh
# .ci/deps, with an apt-get that only writes down what it is asked: it names
# what is missing, asks for that and no more, and is silent otherwise.
# shellcheck source=tests/lib.sh
. "$(dirname "$0")/lib.sh"
unset DEPS

real=$(command -v "${CC%% *}")
bin=$scratch/bin
mkdir "$bin"

# stub NAME: a command of that name, with the script from standard input.
stub() {
    { echo '#!/bin/sh'; cat; } >"$bin/$1"
    chmod +x "$bin/$1"
}

# deps WORD...: .ci/deps with the stubs first. Its words are in $scratch/said,
# those to apt-get in $scratch/asked.
deps() {
    rm -f "$scratch/asked"
    PATH="$bin:$PATH" .ci/deps "$@" >"$scratch/said" 2>&1
}

said() { grep -q -e "$1" "$scratch/said" || { cat "$scratch/said"; fail "did not say: $1"; }; }
silent() { [ ! -s "$scratch/said" ] || { cat "$scratch/said"; fail "$1 is not silent"; }; }

# apt-get puts the missing compiler where it is looked for.
stub apt-get <<END
echo "\$@" >>"$scratch/asked"
case " \$* " in *' install '*) ln -sf "$real" "$bin/new-compiler" ;; esac
END
stub apt-cache <<'END'
echo '  Candidate: 1.0'
END
stub sudo <<'END'
exec "$@"
END

deps build test go || { cat "$scratch/said"; fail "with nothing missing"; }
silent "nothing missing"
[ ! -e "$scratch/asked" ] || fail "apt-get was called with nothing missing"
passed "nothing missing: silent"

export CC=new-compiler
if DEPS=check deps build; then fail "DEPS=check succeeds although the compiler is missing"; fi
said 'gcc .*the C compiler'
[ ! -e "$scratch/asked" ] || fail "apt-get was called under DEPS=check"
passed "DEPS=check: tells, and installs nothing"

DEPS=skip deps build || fail "DEPS=skip"
silent DEPS=skip
passed "DEPS=skip: trusts"

deps build || { cat "$scratch/said"; fail "the installation"; }
said 'the C compiler'
grep -q '^install .* gcc ' "$scratch/asked" || { cat "$scratch/asked"; fail "apt-get was not asked for gcc"; }
grep -q cmocka "$scratch/asked" && fail "apt-get was asked for what the group does not need"
grep -q '^update' "$scratch/asked" && fail "apt-get update, although the package is known"
passed "a compiler that is missing is asked for, alone"

CC=compiler-that-never-comes
if deps build; then fail "succeeds although nothing came of the installation"; fi
said 'still missing'
passed "an installation without effect is a failure"

# What can be done without is asked for, but its lack is no failure.
stub picky-compiler <<END
if grep -q liburing; then exit 1; fi
END
stub apt-get <<END
echo "\$@" >>"$scratch/asked"
exit 1
END
CC=picky-compiler
deps bench || { cat "$scratch/said"; fail "the lack of what can be done without is a failure"; }
said 'going on without'
grep -q '^install .*liburing-dev' "$scratch/asked" || { cat "$scratch/asked"; fail "apt-get was not asked for liburing-dev"; }
if DEPS=check deps bench; then fail "DEPS=check does not tell of what can be done without"; fi
passed "what can be done without: asked for, and no failure"

# An old go comes first on PATH. A good one that lies where Go is usually put
# is preferred; where there is none, it is said that the old one will not do.
unset CC
stub go <<'END'
echo 'go version go1.19.8 linux/amd64'
END
stub apt-cache <<'END'
echo '  Candidate: 2:1.19~1'
END
first=$(PATH="$bin:/usr/bin:/bin" .ci/deps path | cut -d: -f1)
if [ "$first" != "$bin" ]; then
    "$first/go" version | grep -q 'go1\.19' && fail "an old go is preferred to $first/go"
    passed "an old go on PATH: $first/go is taken"
else
    if PATH="$bin:/usr/bin:/bin" .ci/deps go >"$scratch/said" 2>&1; then fail "an old go is good enough"; fi
    said 'needs Go 1.24 or newer: the go on PATH is too old (go version go1.19.8'
    passed "an old go on PATH: says so"
fi
