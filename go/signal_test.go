//go:build cgo

package mapview_test

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
	"unsafe"

	mapview "example.com/mapview/go"
)

// An action is what the kernel knows of a signal's handler: its address, the
// flags and the mask. No system has a longer one.
type action [64]byte

func actionOf(sig syscall.Signal) (a action) {
	const bytesOfMask = 8
	_, _, errno := syscall.RawSyscall6(syscall.SYS_RT_SIGACTION, uintptr(sig), 0,
		uintptr(unsafe.Pointer(&a)), bytesOfMask, 0, 0)
	if errno != 0 {
		panic(errno)
	}
	return a
}

func actions() [2]action { return [2]action{actionOf(syscall.SIGBUS), actionOf(syscall.SIGSEGV)} }

// actionsAtStart are those of the Go runtime, before any test.
var actionsAtStart = actions()

// Whatever is done to Views, the handlers are Go's and no others.
func TestNoHandlerIsInstalled(t *testing.T) {
	lifeOfFaults(t)
	if now := actions(); now != actionsAtStart {
		t.Errorf("SIGBUS and SIGSEGV have had the actions\n%x\nand now have\n%x", actionsAtStart, now)
	}
}

// lifeOfFaults opens a view in every way, has faults in every method that can
// have one, and closes it.
func lifeOfFaults(t *testing.T) {
	t.Helper()
	f := openedFile(t, newFile(t, pattern(3*page)))
	for what, open := range map[string]func() (*mapview.View, error){
		"Open":     func() (*mapview.View, error) { return mapview.Open(f.Name()) },
		"OpenFile": func() (*mapview.View, error) { return mapview.OpenFile(f.Name(), os.O_RDWR, 0, nil) },
		"private": func() (*mapview.View, error) {
			return mapview.OpenFile(f.Name(), os.O_RDWR, 0, &mapview.Options{Private: true})
		},
		"Map":       func() (*mapview.View, error) { return mapview.Map(f, os.O_RDWR, nil) },
		"Anonymous": func() (*mapview.View, error) { return mapview.Anonymous(int64(3*page), nil) },
		"NewMemory": func() (*mapview.View, error) { return mapview.NewMemory(int64(3*page), nil) },
	} {
		if err := f.Truncate(int64(3 * page)); err != nil {
			t.Fatal(err)
		}
		v, err := open()
		if err != nil {
			t.Fatal(err)
		}
		faults := faultEverywhere(t, v, f)
		if err := v.Close(); err != nil {
			t.Error(err)
		}
		if faults < 5 {
			t.Errorf("%s: %d faults: too little was tried", what, faults)
		}
	}
}

func openedFile(t *testing.T, name string) *os.File {
	t.Helper()
	f, err := os.OpenFile(name, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

// faultEverywhere returns how many accesses to pages that cannot be accessed
// were errors.
func faultEverywhere(t *testing.T, v *mapview.View, f *os.File) (faults int) {
	t.Helper()
	if err := v.Protect(int64(page), int64(page), 0); err != nil {
		t.Error(err)
	}
	if err := f.Truncate(int64(2 * page)); err != nil {
		t.Fatal(err)
	}
	p := make([]byte, page)
	for _, off := range []int64{int64(page), int64(2 * page)} {
		for _, access := range []func() error{
			func() error { _, err := v.ReadAt(p, off); return err },
			func() error { _, err := v.WriteAt(p, off); return err },
			func() error { err, _ := panicOf(func() { v.At(int(off)) }).(error); return err },
			func() error { return v.Do(func(b []byte) error { load(b, int(off)); return nil }) },
			func() error { return v.Do(func(b []byte) error { b[off] = 1; return nil }) },
			func() error { return v.Prefault(off, 1, mapview.AccessRead) },
			func() error { return v.Probe(off, 1, mapview.AccessRead) },
		} {
			var fault *mapview.FaultError
			if err := access(); errors.As(err, &fault) {
				faults++
			} else if err != nil && !errors.Is(err, fs.ErrPermission) {
				t.Errorf("%v (%T)", err, err)
			}
		}
	}
	return faults
}

// SIGBUS and SIGSEGV that another process sends reach who asked for them;
// those of faults do not.
func TestNotify(t *testing.T) {
	v := newCut(t)
	for _, sig := range []syscall.Signal{syscall.SIGBUS, syscall.SIGSEGV} {
		arrived := make(chan os.Signal, 10)
		signal.Notify(arrived, sig)
		for range 3 {
			_, err := v.ReadAt(make([]byte, 1), int64(page))
			wantFault(t, err, page, ErrTruncated)
			wantFault(t, v.Do(func(b []byte) error { load(b, page+1); return nil }), page+1, ErrTruncated)
			if err := syscall.Kill(os.Getpid(), sig); err != nil {
				t.Fatal(err)
			}
			select {
			case got := <-arrived:
				if got != sig {
					t.Errorf("%v arrived", got)
				}
			case <-time.After(time.Minute):
				t.Fatalf("%v has not arrived", sig)
			}
		}
		signal.Stop(arrived)
		if n := len(arrived); n != 0 {
			t.Errorf("%d more have arrived", n)
		}
	}
}

// A nil dereference is the panic that it always was: inside of Do, after
// faults, and in what a Cursor calls.
func TestNilDereference(t *testing.T) {
	v := newCut(t)
	dereference := func() { var p *int; *p = 1 }
	for what, f := range map[string]func(){
		"outside": dereference,
		"inside":  func() { v.Do(func([]byte) error { dereference(); return nil }) },
		"nested":  func() { v.Do(func([]byte) error { return v.Do(func([]byte) error { dereference(); return nil }) }) },
		"after a fault": func() {
			v.Do(func(b []byte) error { load(b, page); return nil })
			dereference()
		},
		"after a fault inside": func() {
			v.Do(func([]byte) error {
				v.Do(func(b []byte) error { load(b, page); return nil })
				dereference()
				return nil
			})
		},
		"of a View": func() { var none *mapview.View; none.ReadAt(make([]byte, 1), 0) },
	} {
		value := panicOf(f)
		if err, ok := value.(runtime.Error); !ok || !strings.Contains(err.Error(), "nil pointer") {
			t.Errorf("%s: the panic is %v (%T)", what, value, value)
		}
	}
}

// What Do says of a byte that nothing stops any more.
func TestDoAgain(t *testing.T) {
	for _, c := range []struct {
		flag int
		opt  *mapview.Options
		want error
	}{
		{os.O_RDWR, nil, syscall.EAGAIN},
		{os.O_RDWR, &mapview.Options{Private: true}, syscall.EAGAIN},
		{os.O_RDONLY, nil, syscall.EACCES},
	} {
		name := newFile(t, pattern(2*page))
		v := open(t, name, c.flag, c.opt)
		if err := os.Truncate(name, 0); err != nil {
			t.Fatal(err)
		}
		regrow := true
		f := func(b []byte) error {
			if regrow {
				defer os.Truncate(name, int64(2*page)) // before the cause is looked for
			}
			regrow = false
			load(b, page+5)
			return nil
		}
		wantFault(t, v.Do(f), page+5, c.want)
		if err := v.Do(f); err != nil {
			t.Errorf("called again: %v", err)
		}
	}
}

// How a process ends that does what mapview does not guard. ways are children:
// each prints the address that the report must name, if there is one.
func TestCrashReports(t *testing.T) {
	fault := []string{"unexpected fault address ", "fatal error: fault", "[signal SIGBUS: bus error", "goroutine "}
	for way, want := range map[string][]string{
		"slice":     append(fault, "crashSlice"),
		"after":     append(fault, "crashAfter"),
		"goroutine": append(fault, "crashGoroutine"),
		"nil":       {"panic: runtime error: invalid memory address or nil pointer dereference", "[signal SIGSEGV", "crashNil"},
		"nil in Do": {"panic: runtime error: invalid memory address or nil pointer dereference", "[signal SIGSEGV", "crashNil"},
		"kill":      {"SIGBUS: bus error"},
	} {
		child := secondProcess("crash", newFile(t, pattern(2*page)), way)
		var report bytes.Buffer
		child.Stderr = &report
		address, err := child.Output()
		exit, ok := err.(*exec.ExitError)
		if !ok || exit.ExitCode() != 2 {
			t.Errorf("%s: the process ended with %v", way, err)
		}
		for _, part := range append(want, string(address)) {
			if !strings.Contains(report.String(), part) {
				t.Errorf("%s: the report does not hold %q:\n%s", way, part, &report)
			}
		}
	}
}

var crashes = map[string]func(v *mapview.View){
	"slice":     func(v *mapview.View) { crashSlice(v.Bytes()) },
	"after":     crashAfter,
	"goroutine": crashGoroutine,
	"nil":       func(*mapview.View) { crashNil() },
	"nil in Do": func(v *mapview.View) { v.Do(func([]byte) error { crashNil(); return nil }) },
	"kill": func(*mapview.View) {
		syscall.Kill(os.Getpid(), syscall.SIGBUS)
		time.Sleep(time.Minute)
	},
}

// childCrash opens the file args[0], cuts it, and ends in the way of args[1].
func childCrash(args []string) error {
	v, err := mapview.OpenFile(args[0], os.O_RDWR, 0, nil)
	if err != nil {
		return err
	}
	if err := os.Truncate(args[0], 0); err != nil {
		return err
	}
	if _, err := v.ReadAt(make([]byte, 1), 0); !errors.Is(err, ErrTruncated) {
		return fmt.Errorf("before the crash: %w", err)
	}
	if !strings.HasPrefix(args[1], "nil") && args[1] != "kill" {
		fmt.Print("0x" + strconv.FormatUint(uint64(addressOf(v.Bytes())), 16))
	}
	crashes[args[1]](v)
	return errors.New("it goes on")
}

//go:noinline
func crashSlice(b []byte) { b[0]++ }

//go:noinline
func crashNil() { var p *int; *p = 1 }

// crashAfter: what Do has guarded is over with it.
//
//go:noinline
func crashAfter(v *mapview.View) {
	var kept []byte
	v.Do(func(b []byte) error { kept = b; return nil })
	v.Do(func(b []byte) error { load(b, page); return nil })
	kept[0] = 1
}

// crashGoroutine: Do does not cover another goroutine.
func crashGoroutine(v *mapview.View) {
	v.Do(func(b []byte) error {
		over := make(chan bool)
		go func() { crashSlice(b); close(over) }()
		<-over
		return nil
	})
}
