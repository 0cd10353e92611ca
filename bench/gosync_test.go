package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// counterAt makes a counter of a device that wrote so many sectors.
func counterAt(t *testing.T, name string, sectors int) deviceCounter {
	t.Helper()
	text := fmt.Sprintf("  1 2 3 4 5 6 %d 8 9\n", sectors)
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return deviceCounter(name)
}

func TestDeviceCounterCountsBytesWritten(t *testing.T) {
	if got := counterAt(t, filepath.Join(t.TempDir(), "stat"), 10).bytes(); got != 5120 {
		t.Errorf("%v bytes in 10 sectors", got)
	}
}

// A sync that writes nothing is no sync, though every byte is in the file.
func TestSyncCheckSeesThatNothingIsWritten(t *testing.T) {
	name := filepath.Join(t.TempDir(), "stat")
	for _, written := range []int{0, 8} {
		file := filledMemory()
		sectors := 0
		counter := counterAt(t, name, sectors)
		syncs := func(buf []byte, stride int, w *walk, at uint64) (uint64, error) {
			sectors += written
			counterAt(t, name, sectors)
			return copyIn(file)(buf, stride, w, at)
		}
		b := tracedBlock(syncs, file, func(w *walk) check {
			return &syncCheck{newTraceWriteCheck(w, func(*variant) []byte { return file }), counter, 0}
		})
		_, err := b.measure(0, func(int, int) {})
		if (err == nil) != (written > 0) {
			t.Errorf("%d sectors a sync: %v", written, err)
		}
		if err != nil && !strings.Contains(err.Error(), "nothing was written") {
			t.Error(err)
		}
	}
}

func TestSyncingSyncsAfterTheWrite(t *testing.T) {
	for _, page := range []bool{false, true} {
		done := ""
		broken := errors.New("broken")
		o := &opened{
			write: func(_ []byte, _ int, w *walk, at uint64) (uint64, error) {
				done += "write "
				return skipAccesses(w, at), nil
			},
			sync:      func() error { done += "sync"; return broken },
			syncRange: func(off, n int64) error { done += fmt.Sprintf("sync %d at %d", n, off); return broken },
		}
		_, err := syncing(o, page)(make([]byte, 64), 0, &walk{size: 64, times: 1, set: 1024}, 128)
		want := map[bool]string{false: "write sync", true: "write sync 64 at 128"}[page]
		if done != want || err != broken {
			t.Errorf("%q, %v", done, err)
		}
	}
}
