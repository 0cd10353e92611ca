//go:build cgo

package mapview_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	mapview "example.com/mapview/go"
)

// What the tests share: a second process, files, and looks into /proc.

// children are what the test binary does instead of testing when it is started
// as a second process.
var children = map[string]func(args []string) error{
	"increment": childIncrement,
	"print":     childPrint,
	"count":     childCount,
	"search":    childSearch,
	"reserve":   childReserve,
	"lend":      childLend,
	"crash":     childCrash,
	"cut":       childCut,
}

const childVariable = "MAPVIEW_TEST_CHILD"

func TestMain(m *testing.M) {
	name := os.Getenv(childVariable)
	if name == "" {
		os.Exit(m.Run())
	}
	if err := children[name](os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// secondProcess prepares the test binary to run as one of the children.
func secondProcess(name string, args ...string) *exec.Cmd {
	cmd := exec.Command(os.Args[0], args...)
	cmd.Env = append(os.Environ(), childVariable+"="+name)
	cmd.Stderr = os.Stderr
	return cmd
}

// underASan tells whether AddressSanitizer is in this program: it moves buffers
// from the stack to the heap, and takes memory locks for itself.
var underASan = isBuiltWith("-asan")

// underRace tells whether the race detector is in this program.
var underRace = isBuiltWith("-race")

func isBuiltWith(flag string) bool {
	info, ok := debug.ReadBuildInfo()
	return ok && slices.Contains(info.Settings, debug.BuildSetting{Key: flag, Value: "true"})
}

// addressesAtStart is how much address space the program has taken before any
// test: a sanitizer takes much.
var addressesAtStart, _ = status("VmSize")

var page = os.Getpagesize()

// pattern is n bytes of which no two neighbouring pages are alike.
func pattern(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i % 251)
	}
	return b
}

// newFile makes a file that holds content and returns its name.
func newFile(t testing.TB, content []byte) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(name, content, 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

// open opens a view that is closed when the test ends.
func open(t testing.TB, name string, flag int, opt *mapview.Options) *mapview.View {
	t.Helper()
	v, err := mapview.OpenFile(name, flag, 0o600, opt)
	return opened(t, v, err)
}

func opened(t testing.TB, v *mapview.View, err error) *mapview.View {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := v.Close(); err != nil {
			t.Error(err)
		}
	})
	return v
}

// wantContent compares a file with content.
func wantContent(t *testing.T, name string, content []byte) {
	t.Helper()
	got, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, content) {
		t.Errorf("%s holds %d bytes that are not the %d expected", name, len(got), len(content))
	}
}

// wantError checks that err is each of the targets.
func wantError(t *testing.T, err error, targets ...error) {
	t.Helper()
	for _, target := range targets {
		if !errors.Is(err, target) {
			t.Errorf("error is %v (%T), not %v", err, err, target)
		}
	}
}

// wantFault checks that err is a FaultError at off because of cause.
func wantFault(t *testing.T, err error, off int, cause error) {
	t.Helper()
	var fault *mapview.FaultError
	if !errors.As(err, &fault) {
		t.Fatalf("error is %v (%T), not a FaultError", err, err)
	}
	if fault.Offset != int64(off) {
		t.Errorf("%v: offset is not %d", fault, off)
	}
	wantError(t, err, cause)
}

// load loads a byte, which an assignment to _ need not do.
//
//go:noinline
func load(b []byte, i int) byte { return b[i] }

// panicOf returns what f panics with, nil if it does not.
func panicOf(f func()) (value any) {
	defer func() { value = recover() }()
	f()
	return nil
}

// isFault tells whether a panic value is what debug.SetPanicOnFault makes of a
// fault.
func isFault(value any) bool {
	_, ok := value.(interface {
		runtime.Error
		Addr() uintptr
	})
	return ok
}

// mappings returns how many mappings this process has.
func mappings(t testing.TB) int {
	t.Helper()
	b, err := os.ReadFile("/proc/self/maps")
	if err != nil {
		t.Fatal(err)
	}
	return bytes.Count(b, []byte("\n"))
}

// smapsOf returns what /proc/self/smaps says of the mapping of a view.
func smapsOf(t testing.TB, v *mapview.View) map[string][]string {
	t.Helper()
	b, err := os.ReadFile("/proc/self/smaps")
	if err != nil {
		t.Skip(err)
	}
	fields := map[string][]string{}
	inside := false
	start := fmt.Sprintf("%x-", addressOf(v.Bytes()))
	for line := range strings.Lines(string(b)) {
		if name, values, _ := strings.Cut(line, ":"); strings.Contains(name, "-") {
			inside = strings.HasPrefix(line, start)
		} else if inside {
			fields[name] = strings.Fields(values)
		}
	}
	return fields
}

// descriptors returns how many descriptors this process has open.
func descriptors(t testing.TB) int {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(entries)
}

// blocksOf returns how many bytes of a file have storage.
func blocksOf(t testing.TB, name string) int64 {
	t.Helper()
	info, err := os.Stat(name)
	if err != nil {
		t.Fatal(err)
	}
	return info.Sys().(*syscall.Stat_t).Blocks * 512
}

// status returns a field of /proc/self/status that is in KiB, in bytes.
func status(field string) (int64, error) {
	b, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(b)) {
		if name, value, _ := strings.Cut(line, ":"); name == field {
			n, err := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(value), " kB"), 10, 64)
			return n << 10, err
		}
	}
	return 0, fmt.Errorf("no %s in /proc/self/status", field)
}
