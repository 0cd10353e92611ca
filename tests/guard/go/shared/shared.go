// Shared is a Go library for a C program, with the Go package mapview in it.
package main

import "C"

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"sync"

	mapview "example.com/mapview/go"
)

var view = sync.OnceValues(func() (*mapview.View, error) {
	folder, err := os.MkdirTemp("", "shared")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(folder)
	name := filepath.Join(folder, "cut")
	if err := os.WriteFile(name, make([]byte, 65536), 0o600); err != nil {
		return nil, err
	}
	v, err := mapview.OpenFile(name, os.O_RDWR, 0, nil)
	if err != nil {
		return nil, err
	}
	return v, os.Truncate(name, 0)
})

func told(err error) C.int {
	if err == nil {
		return 0
	}
	fmt.Fprintln(os.Stderr, err)
	return 1
}

// GoFault has a fault that the Go package guards.
//
//export GoFault
func GoFault() C.int {
	v, err := view()
	if err != nil {
		return told(err)
	}
	if _, err := v.ReadAt(make([]byte, 100), 7); !errors.Is(err, mapview.ErrTruncated) {
		return told(fmt.Errorf("View.ReadAt: %v", err))
	}
	if err := v.Do(func(b []byte) error { return fmt.Errorf("byte 9 is %d", b[9]) }); !errors.Is(err, mapview.ErrTruncated) {
		return told(fmt.Errorf("View.Do: %v", err))
	}
	return 0
}

//go:noinline
func dereference(p *int) int { return *p }

// GoNil dereferences nil and recovers.
//
//export GoNil
func GoNil() (result C.int) {
	defer func() {
		var nilError runtime.Error
		if r, _ := recover().(error); !errors.As(r, &nilError) {
			result = told(fmt.Errorf("nil: %v", r))
		}
	}()
	dereference(nil)
	return 0
}

func main() {}
