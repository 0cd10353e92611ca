# mapview: build, test, measure, install. `make help` lists the targets.
#
# Respected from outside: CC, CPPFLAGS, CFLAGS, LDFLAGS, prefix, exec_prefix,
# libdir, includedir, DESTDIR, and
#   DEPS=check|skip  what .ci/deps may do about a missing tool (see there)
#   WERROR=1         warnings are errors, as in .ci/run; never for a user's build
#   V=1              show the commands

.DEFAULT_GOAL := all
.DELETE_ON_ERROR:
.SUFFIXES:
MAKEFLAGS += --no-builtin-rules

CFLAGS ?= -O2 -g
prefix ?= /usr/local
exec_prefix ?= $(prefix)
libdir ?= $(exec_prefix)/lib
includedir ?= $(prefix)/include

# A path that is relative would be written into the pkg-config file.
ifneq ($(filter-out /%,$(prefix) $(libdir) $(includedir)),)
$(error prefix, libdir and includedir must be absolute)
endif

# What go and the scripts under tests/ see. The toolchain is the one that is
# here; a tree without git, or one of another owner, builds too.
export GOTOOLCHAIN := local
export GOWORK := off
export GOFLAGS := $(strip $(filter-out -buildvcs=%,$(GOFLAGS)) -buildvcs=false)

# ---- what is built ----

VERSION := $(shell awk '/^.define MV_VERSION_(MAJOR|MINOR|PATCH) / { v = v dot $$3; dot = "." } END { print v }' include/mapview.h)
SONAME := libmapview.so.$(firstword $(subst ., ,$(VERSION)))
SHARED := build/libmapview.so.$(VERSION)

SOURCES := $(wildcard c/*.c)
EXAMPLES := $(patsubst c/examples/%.c,build/examples/%,$(wildcard c/examples/*.c))
TESTS := $(patsubst tests/%.c,%,$(wildcard tests/test_*.c))
TEST_SUPPORT := $(filter-out tests/test_%,$(wildcard tests/*.c))
FAULT_TESTS := $(patsubst tests/faults/%.c,%,$(wildcard tests/faults/test_*.c))
FAULT_SUPPORT := $(filter-out tests/faults/test_% tests/faults/disk.c,$(wildcard tests/faults/*.c))
CRASH_TESTS := $(patsubst tests/crash/%.c,%,$(wildcard tests/crash/test_*.c))
CRASH_SUPPORT := $(filter-out tests/crash/test_%,$(wildcard tests/crash/*.c)) \
	tests/faults/fixture.c tests/faults/loop.c
SCRIPTS := $(wildcard tests/*.sh tests/faults/*.sh) $(addprefix bench/,run disks compare process) .ci/deps .ci/run

WARNINGS := -Wall -Wextra -Wshadow -Wconversion -Wstrict-prototypes -Wmissing-prototypes \
	-Wold-style-definition -Wpointer-arith -Wwrite-strings -Wundef -Wvla
LANGUAGE := -std=c11 -D_GNU_SOURCE -D_FILE_OFFSET_BITS=64 -fvisibility=hidden -pthread -Iinclude -Ic

# accepts: those of the flags $(1) that this compiler takes.
accepts = $(shell for f in $(1); do $(CC) -Werror $$f -S -o /dev/null -x c /dev/null 2>/dev/null && echo "$$f"; done)

# Found out once, when it is first needed.
HARDENING = $(eval HARDENING := $(call accepts,-fstack-protector-strong -fstack-clash-protection \
	-fcf-protection -mbranch-protection=pac-ret+bti))$(HARDENING)
# gcc says that ThreadSanitizer does not understand fences. It need not.
NO_FENCE_WARNING = $(eval NO_FENCE_WARNING := $(call accepts,-Wno-tsan))$(NO_FENCE_WARNING)
# glibc warns about this one in a build without optimisation.
FORTIFY = $(if $(filter -O1 -O2 -O3 -Os -Og -O,$(CFLAGS)),-U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=2)

# The ways to build, each in a folder of its own. Only release is installed.
# The others have MV__TESTING and the asserts, and are linked with the tests.
FLAVOURS := release testing asan tsan
FLAGS_release = -fPIC -DNDEBUG $(HARDENING) $(FORTIFY) $(CFLAGS)
FLAGS_testing = -DMV__TESTING -O1 -g
FLAGS_asan = -DMV__TESTING -O1 -g -fno-omit-frame-pointer -fsanitize=address,undefined -fno-sanitize-recover=all
FLAGS_tsan = -DMV__TESTING -O1 -g -fno-omit-frame-pointer -fsanitize=thread $(NO_FENCE_WARNING)
LINK_asan = -fsanitize=address,undefined
LINK_tsan = -fsanitize=thread

# say: one short line for a step, or with V=1 the command itself.
say = $(if $(V),,@printf '  %-4s %s\n' $(1) $@ &&)

## all: the library, shared and static, and the examples (the default)
.PHONY: all library
all: library $(EXAMPLES)
library: $(SHARED) build/$(SONAME) build/libmapview.so build/libmapview.a

# flavour: the rules of one way to build.
define flavour
COMPILE_$(1) = $$(CC) $$(LANGUAGE) $$(WARNINGS) $$(if $$(filter 1,$$(WERROR)),-Werror) $$(CPPFLAGS) $$(FLAGS_$(1))
OBJECTS_$(1) := $$(SOURCES:%.c=build/$(1)/%.o)

build/$(1)/%.o: %.c build/$(1)/command
	@mkdir -p $$(@D)
	$$(call say,CC) $$(COMPILE_$(1)) -MMD -MP -c -o $$@ $$<

# The command, so that other flags mean other objects.
build/$(1)/command: always
	@mkdir -p $$(@D)
	@echo '$$(COMPILE_$(1))' | cmp -s - $$@ || echo '$$(COMPILE_$(1))' >$$@

build/$(1)/test_%: build/$(1)/tests/test_%.o $$(TEST_SUPPORT:%.c=build/$(1)/%.o) $$(OBJECTS_$(1))
	$$(call say,LD) $$(CC) -pthread $$(LINK_$(1)) $$(LDFLAGS) -o $$@ $$^ -lcmocka

build/$(1)/faults/%: build/$(1)/tests/faults/%.o $$(FAULT_SUPPORT:%.c=build/$(1)/%.o) \
		$$(TEST_SUPPORT:%.c=build/$(1)/%.o) $$(OBJECTS_$(1))
	@mkdir -p $$(@D)
	$$(call say,LD) $$(CC) -pthread $$(LINK_$(1)) $$(LDFLAGS) -o $$@ $$^ -lcmocka

build/$(1)/crash/%: build/$(1)/tests/crash/%.o $$(CRASH_SUPPORT:%.c=build/$(1)/%.o) \
		$$(TEST_SUPPORT:%.c=build/$(1)/%.o) $$(OBJECTS_$(1))
	@mkdir -p $$(@D)
	$$(call say,LD) $$(CC) -pthread $$(LINK_$(1)) $$(LDFLAGS) -o $$@ $$^ -lcmocka

programs-$(1): $$(TESTS:%=build/$(1)/%)
.PHONY: programs-$(1)
.SECONDARY: $$(OBJECTS_$(1)) $$(TESTS:%=build/$(1)/tests/%.o) $$(TEST_SUPPORT:%.c=build/$(1)/%.o)
-include $$(wildcard build/$(1)/c/*.d build/$(1)/tests/*.d build/$(1)/tests/faults/*.d \
	build/$(1)/tests/crash/*.d)
endef
$(foreach name,$(FLAVOURS),$(eval $(call flavour,$(name))))
.PHONY: always

$(SHARED): $(OBJECTS_release) c/libmapview.map
	$(call say,LD) $(CC) -shared -pthread $(HARDENING) $(CFLAGS) $(LDFLAGS) -Wl,-soname,$(SONAME) \
		-Wl,--version-script,c/libmapview.map -Wl,-z,defs -Wl,-z,nodelete -Wl,-z,relro -Wl,-z,now \
		-o $@ $(OBJECTS_release)

build/$(SONAME): $(SHARED)
	@ln -sf $(<F) $@

build/libmapview.so: build/$(SONAME)
	@ln -sf $(<F) $@

# A member whose source is gone must go too: ar only ever adds.
build/libmapview.a: $(OBJECTS_release)
	$(call say,AR) rm -f $@ && $(AR) rcs $@ $^

# As a user builds: the header alone, and no flag of ours.
build/examples/%: c/examples/%.c build/libmapview.a build/release/command
	@mkdir -p $(@D)
	$(call say,CC) $(CC) -std=c11 $(WARNINGS) $(if $(filter 1,$(WERROR)),-Werror) $(CPPFLAGS) $(CFLAGS) \
		-Iinclude -MMD -MP -o $@ $< build/libmapview.a -pthread $(LDFLAGS)
-include $(wildcard build/examples/*.d)

# ---- tests ----

# Only root can mount, so for others the disk is not even built: faults.sh says so.
programs-faults: $(FAULT_TESTS:%=build/testing/faults/%) $(CRASH_TESTS:%=build/testing/crash/%)
	@[ "$$(id -u)" -ne 0 ] || $(MAKE) --no-print-directory build/testing/faults/disk
.PHONY: programs-faults
.SECONDARY: $(patsubst %.c,build/testing/%.o,$(wildcard tests/faults/*.c tests/crash/*.c))

build/testing/faults/disk: tests/faults/disk.c build/testing/command
	@mkdir -p $(@D)
	$(call say,CC) $(CC) -std=c11 -D_GNU_SOURCE -D_FILE_OFFSET_BITS=64 -O1 -g $(WARNINGS) -o $@ $< \
		$$(pkg-config --cflags --libs fuse3) -pthread

# A target of this list first sees to it that its tools are there, and then
# starts make anew, which finds what was just installed.
PREPARED := test $(addprefix test-,header exports c asan tsan valgrind cpu guard faults minute fuzz mutants examples \
	install deps go race go-asan bench gomodule nocgo dropin users readme) lint fmt \
	bench $(addprefix bench-,full stat results compare process)
.PHONY: $(PREPARED) $(PREPARED:%=do-%)
ifneq ($(filter $(PREPARED),$(MAKECMDGOALS)),)
.NOTPARALLEL:
endif

GROUPS_test := build test faults go
$(foreach name,bench bench-stat bench-compare,$(eval GROUPS_$(name) := build go bench))
GROUPS_bench-full := build go bench
GROUPS_bench-results := build go bench charts
GROUPS_bench-process := build go bench hyperfine
GROUPS_lint := build go lint
GROUPS_fmt := build go lint
GROUPS_test-valgrind := build test valgrind
GROUPS_test-cpu := build test cross
$(foreach name,guard minute mutants,$(eval GROUPS_test-$(name) := build test go))
GROUPS_test-faults := build test faults go
$(foreach name,go fuzz race go-asan bench gomodule nocgo dropin users,$(eval GROUPS_test-$(name) := build go))
GROUPS_test-readme := build test go

$(PREPARED):
	@.ci/deps $(or $(GROUPS_$@),build test)
	@rm -f build/skipped
	@PATH="$$(.ci/deps path)" $(MAKE) --no-print-directory do-$@

## test: everything that proves the project, each of these:
SUITES := header exports c asan tsan guard faults examples install deps go race go-asan bench gomodule nocgo dropin users readme
do-test: $(SUITES:%=do-test-%)
	@if [ -s build/skipped ]; then printf '\nSkipped:\n'; cat build/skipped; fi
	@printf '\nmake test: no suite has failed\n'

##   test-header: the header stands alone, in C and in C++
do-test-header:
	@tests/header.sh
##   test-exports: the library exports the map file, needs libc alone, is hardened
do-test-exports: library
	@tests/exports.sh
##   test-c: the C tests
do-test-c: programs-testing
	@tests/run.sh 'C tests' $(TESTS:%=build/testing/%)
##   test-asan: the C tests under AddressSanitizer and UBSan
do-test-asan: programs-asan
	@UBSAN_OPTIONS=print_stacktrace=1 tests/run.sh 'C tests, ASan and UBSan' $(TESTS:%=build/asan/%)
##   test-tsan: the C tests under ThreadSanitizer
# ThreadSanitizer cannot start where addresses are randomised over many bits.
do-test-tsan: programs-tsan
	@TSAN_OPTIONS=halt_on_error=1 RUNNER="$$(setarch -R true 2>/dev/null && echo setarch -R)" \
		tests/run.sh 'C tests, TSan' $(TESTS:%=build/tsan/%)
##   test-guard: the fault handler among other handlers, in C and in Go programs
do-test-guard: library
	@tests/guard.sh
##   test-faults: faults, durability and cuts of the power on real file systems; needs root
do-test-faults: programs-faults
	@tests/faults.sh build/testing/faults
##   test-examples: the programs of c/examples do what they say
do-test-examples: $(EXAMPLES)
	@tests/examples.sh
##   test-install: install, a program through pkg-config, uninstall
do-test-install: all
	@tests/install.sh
##   test-deps: .ci/deps tells what is missing and installs no more
do-test-deps:
	@tests/deps.sh
##   test-go: the Go tests
do-test-go:
	@tests/go.sh .
##   test-race: the Go tests under the race detector
do-test-race:
	@tests/go.sh . -race
##   test-go-asan: the Go tests under AddressSanitizer
do-test-go-asan:
	@tests/go.sh . -asan
##   test-bench: the tests of the benchmark itself
do-test-bench:
	@tests/go.sh bench
##   test-gomodule: a Go program from a module zip, from vendor/, and after edits
do-test-gomodule:
	@tests/gomodule.sh
##   test-nocgo: without cgo the build says what to do, in one line
do-test-nocgo:
	@tests/nocgo.sh
##   test-dropin: x/exp/mmap's and mmap-go's own tests pass against go/mmap and go/mmapgo
do-test-dropin:
	@tests/dropin.sh
##   test-users: vellum, bbolt and ristretto on mapview pass their own tests
do-test-users:
	@tests/users.sh
##   test-readme: the programs in README.md
do-test-readme: all
	@tests/readme.sh
VALGRIND := valgrind -q --child-silent-after-fork=yes --track-fds=yes --leak-check=full \
	--suppressions=tests/valgrind.supp
# Under valgrind one thread runs at a time, and neither stacks nor registers are
# at a fault what a processor makes of them: the tests of those are for others.
# So are those of tracked pages: it does not know the kernel's call for that.
## test-valgrind: C tests under memcheck: not of threads, registers, tracking; not part of test
do-test-valgrind: programs-testing
	@RUNNER='$(VALGRIND)' tests/run.sh 'C tests, valgrind' \
		$(patsubst %,build/testing/%,$(filter-out test_concurrency test_storm test_append_threads test_dirty% test_cpu% test_guard_%,$(TESTS)))

## test-cpu: the copies of other processors, by an emulator; not part of test
do-test-cpu:
	@tests/cpu.sh
## test-minute: a minute of cutting a file under readers and writers, a million opens; not part of test
do-test-minute: programs-testing
	@tests/minute.sh
## test-fuzz: a minute (FUZZ_SECONDS) of operations at random in Go, against a model; not part of test
do-test-fuzz:
	@tests/fuzz.sh
## test-mutants: each guard taken out, and a test that sees it; not part of test
do-test-mutants:
	@tests/mutants.sh

# ---- benchmarks: bench/run tells what they respect from outside ----

## bench: the rows most people want, in about two minutes; ROW='NAME...' for others
do-bench: library
	@bench/run
## bench-full: all rows; says how long it takes, and is resumed where it was ended (FRESH=1: not)
# Some of its rows need a disk that only root can mount; others do without.
do-bench-full: library
	@[ "$$(id -u)" -ne 0 ] || { .ci/deps faults && $(MAKE) --no-print-directory build/testing/faults/disk; } || \
		echo 'bench: the fault disk cannot be built: its rows will be SKIPPED'
	@bench/run full
## bench-stat: what bench-full or bench has measured, through benchstat
do-bench-stat: library
	@bench/run stat
## bench-results: bench/RESULTS.md, its charts and README's part, of what bench-full has measured
do-bench-results: library
	@bench/run results
## bench-compare: the library beside that of the commit REF=..., in turns; ROW='NAME...'
do-bench-compare: library
	@bench/run compare
## bench-process: whole programs that read a file by mmap, mapview and read, by hyperfine
do-bench-process: library
	@bench/run process

# ---- style ----

# The header is laid out by hand, as the manual that it is.
C_FILES := $(filter-out include/%,$(wildcard c/*.[ch] c/examples/*.c tests/*.[ch] tests/faults/*.[ch] \
	tests/crash/*.[ch] \
	tests/guard/*.[ch] bench/c/*.[ch] bench/c/testdata/*.c))
GO_MODULES := . $(patsubst %/go.mod,%,$(wildcard bench/go.mod tests/dropin/go.mod tests/gomodule/go.mod))

## lint: clang-format, clang-tidy, cppcheck, gofmt, go vet, shellcheck
do-lint:
	@tests/lint.sh '$(C_FILES)' '$(GO_MODULES)' '$(SCRIPTS)'

## fmt: format the C and Go sources
do-fmt:
	clang-format -i $(C_FILES)
	gofmt -w csource.go go bench tests

# ---- install ----

# in_prefix: the path $(1), through pkg-config's variable where it can be.
in_prefix = $(patsubst $(prefix)/%,$${prefix}/%,$(1))

define PKGCONFIG
prefix=$(prefix)
libdir=$(call in_prefix,$(libdir))
includedir=$(call in_prefix,$(includedir))

Name: mapview
Description: Files and memory as plain memory, for reading and writing
Version: $(VERSION)
Libs: -L$${libdir} -lmapview
Libs.private: -pthread
Cflags: -I$${includedir}
endef
export PKGCONFIG

INSTALLED = $(includedir)/mapview.h $(libdir)/libmapview.a $(libdir)/libmapview.so.$(VERSION) \
	$(libdir)/$(SONAME) $(libdir)/libmapview.so $(libdir)/pkgconfig/mapview.pc

# The loader looks in its cache: without this a library in /usr/local/lib is
# not found. A staged install is another machine's business, and a folder that
# the loader does not know is its owner's.
refresh_loader = @case '$(DESTDIR)$(libdir)' in /usr/*lib*) ;; *) exit 0 ;; esac; if [ "$$(id -u)" -eq 0 ] && command -v ldconfig >/dev/null; then ldconfig; fi

## install: header, libraries and pkg-config file (prefix, libdir, includedir, DESTDIR)
.PHONY: install uninstall
install: library
	install -d '$(DESTDIR)$(includedir)' '$(DESTDIR)$(libdir)/pkgconfig'
	install -m 644 include/mapview.h '$(DESTDIR)$(includedir)'
	install -m 644 build/libmapview.a '$(DESTDIR)$(libdir)'
	install -m 755 $(SHARED) '$(DESTDIR)$(libdir)'
	ln -sf libmapview.so.$(VERSION) '$(DESTDIR)$(libdir)/$(SONAME)'
	ln -sf $(SONAME) '$(DESTDIR)$(libdir)/libmapview.so'
	@echo "writing $(DESTDIR)$(libdir)/pkgconfig/mapview.pc"
	@printf '%s\n' "$$PKGCONFIG" >'$(DESTDIR)$(libdir)/pkgconfig/mapview.pc'
	@chmod 644 '$(DESTDIR)$(libdir)/pkgconfig/mapview.pc'
	$(refresh_loader)

## uninstall: remove what install wrote
uninstall:
	rm -f $(INSTALLED:%='$(DESTDIR)%')
	$(refresh_loader)

## clean: remove build/
.PHONY: clean help
clean:
	rm -rf build

## help: this list
help:
	@echo 'mapview $(VERSION)'
	@sed -n 's/^## /  /p' Makefile
