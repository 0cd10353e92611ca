// This program has faults in C, which libmapview guards, and in Go. With the
// tag "early" libmapview's handler is there before Go's runtime begins, and
// else it comes at the first guarded access, on top of Go's.
//
//	guard FOLDER live          every fault becomes an error or a panic
//	guard FOLDER crash-c       ends in a fault in C that nobody guards
//	guard FOLDER crash-go      ends in a nil dereference that nobody recovers
package main

import (
	"errors"
	"fmt"
	"log"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"sync"
	"syscall"
	"time"
	"unsafe"

	mapview "example.com/mapview/go"
	"example.org/guard/guarded"
)

const (
	goroutines = 64
	rounds     = 200
)

func main() {
	folder, what := os.Args[1], os.Args[2]
	cut, err := guarded.Open(filepath.Join(folder, "cut"))
	check(err)
	if !early && !guarded.IsNot() {
		log.Fatal("mv_open has installed the handler")
	}
	check(cut.Fault())
	if !early && !guarded.Is() {
		log.Fatal("the handler is not in front of Go's")
	}
	switch what {
	case "crash-c":
		cut.FaultUnguarded()
	case "crash-go":
		dereference(nil)
	case "live":
		live(folder, cut)
	}
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}

func live(folder string, cut *guarded.Cut) {
	view, err := goView(filepath.Join(folder, "view"))
	check(err)
	notified := make(chan os.Signal, 1)
	signal.Notify(notified, syscall.SIGBUS)
	var group sync.WaitGroup
	for i := range goroutines {
		group.Add(1)
		go func() {
			defer group.Done()
			for j := range rounds {
				check(cut.Fault())
				check(panicNil())
				check(panicOnFault(cut.Bytes()[i*j:]))
				check(faultInGo(view))
				runtime.Gosched()
			}
		}()
	}
	for range 20 {
		check(syscall.Kill(os.Getpid(), syscall.SIGBUS))
		select {
		case <-notified:
		case <-time.After(time.Minute):
			log.Fatal("signal.Notify did not see a SIGBUS of kill")
		}
	}
	group.Wait()
	check(view.Close())
	fmt.Printf("%d rounds in each of %d goroutines\n", rounds, goroutines)
}

func goView(name string) (*mapview.View, error) {
	if err := os.WriteFile(name, make([]byte, 65536), 0o600); err != nil {
		return nil, err
	}
	view, err := mapview.OpenFile(name, os.O_RDWR, 0, nil)
	if err != nil {
		return nil, err
	}
	return view, os.Truncate(name, 0)
}

// faultInGo has a fault that the Go package guards by itself.
func faultInGo(view *mapview.View) error {
	n, err := view.ReadAt(make([]byte, 100), 7)
	var fault *mapview.FaultError
	if n != 0 || !errors.As(err, &fault) || !errors.Is(err, mapview.ErrTruncated) {
		return fmt.Errorf("View.ReadAt: %d, %v", n, err)
	}
	return nil
}

//go:noinline
func dereference(p *int) int { return *p }

// panicNil panics as Go does at nil.
func panicNil() (err error) {
	defer func() {
		var nilError runtime.Error
		if r, _ := recover().(error); !errors.As(r, &nilError) {
			err = fmt.Errorf("nil: %v", r)
		}
	}()
	dereference(nil)
	return nil
}

// panicOnFault panics with the address of a bad byte.
func panicOnFault(bytes []byte) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		fault, ok := recover().(interface {
			error
			Addr() uintptr
		})
		if !ok || fault.Addr() != address(bytes) {
			err = fmt.Errorf("SetPanicOnFault: %v", fault)
		}
	}()
	first(bytes)
	return errors.New("there was no fault")
}

//go:noinline
func first(bytes []byte) byte { return bytes[0] }

func address(bytes []byte) uintptr { return uintptr(unsafe.Pointer(&bytes[0])) }
