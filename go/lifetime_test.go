//go:build cgo

package mapview_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
	"unsafe"

	mapview "example.com/mapview/go"
)

func TestLive(t *testing.T) {
	before := mapview.Live()
	a := open(t, newFile(t, pattern(page)), os.O_RDWR, nil)
	b := open(t, a.Name(), os.O_RDONLY, nil)
	if got := mapview.Live() - before; got != 2 {
		t.Errorf("%d more are live, not 2", got)
	}
	a.Close()
	a.Close()
	b.Close()
	if got := mapview.Live() - before; got != 0 {
		t.Errorf("%d more are live, not 0", got)
	}
	if _, err := mapview.Open("/nothing"); err == nil || mapview.Live() != before {
		t.Error("a failed Open is live")
	}
}

// The descriptor of a view goes at Close, before the view is garbage.
func TestCloseReleasesDescriptor(t *testing.T) {
	name := newFile(t, pattern(page))
	before := descriptors(t)
	kept := make([]*mapview.View, 20)
	for i := range kept {
		kept[i] = open(t, name, os.O_RDWR, nil)
	}
	if descriptors(t) <= before {
		t.Skip("a view that can be written keeps no descriptor here: nothing to see")
	}
	for _, v := range kept {
		v.Close()
	}
	if got := descriptors(t); got != before {
		t.Errorf("%d descriptors, %d before", got, before)
	}
	runtime.KeepAlive(kept)
}

// A file that was created keeps its directory open until it is synced, but not
// when it is closed.
func TestCloseReleasesDirectory(t *testing.T) {
	dir := t.TempDir()
	before := descriptors(t)
	for i := range 20 {
		v := open(t, filepath.Join(dir, strconv.Itoa(i)), os.O_RDWR|os.O_CREATE, &mapview.Options{FileSize: 10})
		v.Bytes() // lent, so that it is not freed soon
		v.Close()
	}
	if got := descriptors(t); got != before {
		t.Errorf("%d descriptors, %d before", got, before)
	}
}

// Accesses beside Close return data, the end, or os.ErrClosed, and nothing
// else; each view is closed while it is used.
func TestCloseStorm(t *testing.T) {
	const rounds, size = 300, 16 << 10
	name := newFile(t, pattern(size))
	var stopped atomic.Int64 // accesses that Close has ended
	for range rounds {
		v := open(t, name, os.O_RDWR, nil)
		words, err := mapview.Slice[uint64](v, 0, 8)
		if err != nil {
			t.Fatal(err)
		}
		var group sync.WaitGroup
		var running atomic.Int64
		use := func(access func(p []byte) error) {
			group.Add(1)
			go func() {
				defer group.Done()
				p := make([]byte, size)
				for first := true; ; first = false {
					err := access(p)
					runtime.Gosched() // or each would keep its processor for 10 ms
					if first {
						running.Add(1)
					}
					if errors.Is(err, os.ErrClosed) {
						stopped.Add(1)
						return
					}
					if err != nil && err != io.EOF {
						t.Errorf("%v (%T)", err, err)
						return
					}
				}
			}()
		}
		for range 2 {
			use(func(p []byte) error { _, err := v.ReadAt(p, 0); return err })
			use(func(p []byte) error { _, err := v.ReadAt(p[:100], size-50); return err })
			use(func(p []byte) error { _, err := v.WriteAt(p, 0); return err })
			use(func(p []byte) error {
				return v.Do(func(b []byte) error {
					for i := range b {
						b[i]++
					}
					words[7]++
					return nil
				})
			})
			use(func(p []byte) error {
				value := panicOf(func() { v.At(size - 1) })
				if err, ok := value.(runtime.Error); ok && strings.Contains(err.Error(), "index out of range") {
					return os.ErrClosed
				}
				if value != nil {
					return fmt.Errorf("At panics with %v", value)
				}
				return nil
			})
			use(func(p []byte) error { return v.Prefault(0, mapview.ToEnd, mapview.AccessWrite) })
			use(func(p []byte) error { return v.SyncRange(0, mapview.ToEnd, mapview.SyncStart) })
		}
		for running.Load() < 14 && !t.Failed() {
			runtime.Gosched()
		}
		if err := v.Close(); err != nil {
			t.Error(err)
		}
		group.Wait()
		if t.Failed() {
			return
		}
	}
	if got := stopped.Load(); got != 14*rounds {
		t.Errorf("%d of %d accesses ended as closed", got, 14*rounds)
	}
}

// A slice that outlives its view faults: the addresses do not become those of
// another file, however much is opened afterwards.
func TestStaleSliceFaults(t *testing.T) {
	mine := newFile(t, pattern(page))
	other := newFile(t, make([]byte, page))
	stale := make([][]byte, 200)
	for i := range stale {
		v, err := mapview.OpenFile(mine, os.O_RDWR, 0, nil)
		if err != nil {
			t.Fatal(err)
		}
		stale[i] = v.Bytes()
		v.Close()
	}
	freeGarbage()
	for range 3 * len(stale) {
		open(t, other, os.O_RDWR, nil)
	}
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	for i, b := range stale {
		if value := panicOf(func() { load(b, 0) }); !isFault(value) {
			t.Fatalf("slice %d: a load panics with %v", i, value)
		}
		if value := panicOf(func() { b[0] = 99 }); !isFault(value) {
			t.Fatalf("slice %d: a store panics with %v", i, value)
		}
	}
	wantContent(t, other, make([]byte, page))
	wantContent(t, mine, pattern(page))
}

// freeGarbage frees all Views that are garbage.
func freeGarbage() {
	for range 3 {
		runtime.GC()
		time.Sleep(10 * time.Millisecond)
	}
}

// A slice keeps its view's memory, even if the View is garbage and was never
// closed.
func TestSliceOutlivesView(t *testing.T) {
	if underASan {
		t.Skip("what it leaves open is a leak, as LeakSanitizer says at the end")
	}
	content := pattern(page)
	name := newFile(t, content)
	live := mapview.Live()
	for what, lend := range map[string]func(v *mapview.View) ([]byte, error){
		"Bytes": func(v *mapview.View) ([]byte, error) { return v.Bytes(), nil },
		"Slice": func(v *mapview.View) ([]byte, error) { return mapview.Slice[byte](v, 0, page) },
		"Ptr": func(v *mapview.View) ([]byte, error) {
			p, err := mapview.Ptr[byte](v, 0)
			return unsafe.Slice(p, page), err
		},
	} {
		v, err := mapview.Open(name)
		if err != nil {
			t.Fatal(err)
		}
		b, err := lend(v)
		if err != nil {
			t.Fatal(err)
		}
		v = nil
		freeGarbage()
		value := panicOf(func() {
			defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
			if !bytes.Equal(b, content) {
				t.Errorf("%s: other bytes", what)
			}
		})
		if value != nil {
			t.Errorf("%s: %v", what, value)
		}
	}
	if got := mapview.Live() - live; got != 3 {
		t.Errorf("%d more are live, not 3", got)
	}
}

// openAndLend is where what TestLeaks leaks is opened.
func openAndLend(t *testing.T, name string) []byte {
	v, err := mapview.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	return v.Bytes()
}

// A leak is reported with the name of the file and the function that opened it;
// what was closed, and what was never lent, is none.
func TestLeaks(t *testing.T) {
	if underASan {
		t.Skip("what it leaves open is a leak, as LeakSanitizer says at the end")
	}
	name := newFile(t, pattern(3*page))
	before := len(mapview.Leaks())
	b := openAndLend(t, name)
	if _, err := mapview.Open(name); err != nil {
		t.Fatal(err)
	}
	v := open(t, name, os.O_RDONLY, nil)
	v.Bytes()
	v.Close()
	v = nil
	for range 100 {
		if freeGarbage(); len(mapview.Leaks()) > before {
			break
		}
	}
	leaks := mapview.Leaks()[before:]
	if len(leaks) != 1 {
		t.Fatalf("%d leaks: %v", len(leaks), leaks)
	}
	l := leaks[0]
	if l.Name != name || l.Bytes != int64(3*page) || len(l.Opened) < 2 ||
		!strings.HasSuffix(l.Opened[0].Function, ".openAndLend") || !strings.HasSuffix(l.Opened[1].Function, ".TestLeaks") {
		t.Errorf("%+v", l)
	}
	if s := l.String(); !strings.Contains(s, name+", opened by ") || !strings.Contains(s, "openAndLend at ") ||
		!strings.Contains(s, "lifetime_test.go:") {
		t.Error(s)
	}
	if (mapview.Leak{Name: "x"}).String() != "x" {
		t.Error("a leak of which nothing is known")
	}
	if b[page] != pattern(page + 1)[page] { // it is still there
		t.Error("other bytes")
	}
}

// A View that was forgotten, and of which no slice was taken, is closed.
func TestForgottenViewIsClosed(t *testing.T) {
	name := newFile(t, pattern(page))
	live, fds := mapview.Live(), descriptors(t)
	for range 10 {
		if _, err := mapview.OpenFile(name, os.O_RDWR, 0, nil); err != nil {
			t.Fatal(err)
		}
	}
	// The cleanups run when the runtime likes: ask until they have.
	for range 100 {
		if freeGarbage(); mapview.Live() == live {
			break
		}
	}
	if mapview.Live() != live || descriptors(t) != fds {
		t.Errorf("%d are live, %d were; %d descriptors, %d were", mapview.Live(), live, descriptors(t), fds)
	}
}

// Opening and closing goes on for ever: neither mappings nor addresses nor
// descriptors run out. The kernel has 65530 mappings, and 128 TiB of addresses
// without five-level page tables.
func TestCycles(t *testing.T) {
	name := newFile(t, pattern(page))
	defer debug.SetGCPercent(debug.SetGCPercent(-1)) // or it might run by chance
	for _, c := range []struct {
		what      string
		cycles    int
		flag      int
		reserve   int64
		lend      bool
		forget    bool
		mostBytes int64
	}{
		{"closed", 70_000, os.O_RDONLY, 1 << 30, false, false, 40 << 40},
		{"lent and closed", 70_000, os.O_RDONLY, 1 << 30, true, false, 40 << 40},
		{"forgotten", 70_000, os.O_RDONLY, 1 << 30, false, true, 40 << 40},
		{"small, forgotten", 70_000, os.O_RDONLY, 0, false, true, 40 << 40},
		{"1 TiB each", 300, os.O_RDWR, 1 << 40, false, false, 60 << 40},
		{"1 TiB each, lent", 300, os.O_RDWR, 1 << 40, true, false, 60 << 40},
		{"1 TiB each, forgotten", 300, os.O_RDWR, 1 << 40, false, true, 60 << 40},
	} {
		t.Run(c.what, func(t *testing.T) {
			fds := descriptors(t)
			var open [8]*mapview.View // some are open beside those that are closed
			for i := range c.cycles {
				v, err := mapview.OpenFile(name, c.flag, 0, &mapview.Options{Reserve: c.reserve})
				if err != nil {
					t.Fatalf("cycle %d: %v", i, err)
				}
				if c.lend {
					v.Bytes()
				}
				if at := &open[i*i%len(open)]; !c.forget {
					v, *at = *at, v
					if v != nil {
						v.Close()
					}
				}
				if i%(c.cycles/20) == 0 {
					checkAddresses(t, c.mostBytes, fds+100)
				}
			}
			for _, v := range open {
				if v != nil {
					v.Close()
				}
			}
		})
	}
}

// A million times, so that what leaks once in a thousand times is seen, and so is
// what the collector is called for too late; but that takes a minute, which only
// MAPVIEW_MINUTE=1 asks for.
func TestMillionCycles(t *testing.T) {
	cycles := 1_000_000
	switch {
	case underASan || underRace:
		cycles = 30_000
		t.Logf("only %d cycles: a sanitizer makes each ten times longer", cycles)
	case os.Getenv("MAPVIEW_MINUTE") == "":
		cycles = 100_000
		t.Logf("only %d cycles without MAPVIEW_MINUTE=1", cycles)
	}
	name := newFile(t, pattern(page))
	for _, lend := range []bool{false, true} {
		freeGarbage()
		mostMappings, mostDescriptors := mappings(t)+20_000, descriptors(t)+10
		addresses, err := status("VmSize")
		if err != nil {
			t.Fatal(err)
		}
		start := time.Now()
		for i := range cycles {
			v, err := mapview.Open(name)
			if err != nil {
				t.Fatalf("cycle %d: %v", i, err)
			}
			if lend && v.Bytes()[page-1] != byte((page-1)%251) {
				t.Fatalf("cycle %d: other bytes", i)
			}
			if err := v.Close(); err != nil {
				t.Fatalf("cycle %d: %v", i, err)
			}
			if i%(cycles/50) == 0 {
				if n := mappings(t); n > mostMappings {
					t.Fatalf("cycle %d: %d mappings", i, n)
				}
				if n := descriptors(t); n > mostDescriptors {
					t.Fatalf("cycle %d: %d descriptors", i, n)
				}
				if n, err := status("VmSize"); err != nil || n > addresses+1<<30 {
					t.Fatalf("cycle %d: %d bytes of addresses more, %v", i, n-addresses, err)
				}
			}
		}
		t.Logf("lent %v: %d cycles in %v", lend, cycles, time.Since(start).Round(time.Second))
	}
}

// Who keeps many Views open does not pay for a collection at each further one.
func TestManyLive(t *testing.T) {
	defer debug.SetGCPercent(debug.SetGCPercent(-1))
	name := newFile(t, pattern(page))
	var before, after debug.GCStats
	debug.ReadGCStats(&before)
	for range 9000 {
		open(t, name, os.O_RDONLY, nil)
	}
	debug.ReadGCStats(&after)
	if n := after.NumGC - before.NumGC; n > 3 {
		t.Errorf("%d collections", n)
	}
}

// Close by itself gives back addresses, when those who wait are many.
func TestCloseCollects(t *testing.T) {
	defer debug.SetGCPercent(debug.SetGCPercent(-1))
	name := newFile(t, pattern(page))
	var views [40]*mapview.View
	for i := range views {
		v, err := mapview.OpenFile(name, os.O_RDONLY, 0, &mapview.Options{Reserve: 1 << 40})
		if err != nil {
			t.Fatal(err)
		}
		views[i] = v
	}
	before, err := status("VmSize")
	if err != nil {
		t.Fatal(err)
	}
	for i := range views {
		if err := views[i].Close(); err != nil {
			t.Error(err)
		}
		views[i] = nil
	}
	if after, err := status("VmSize"); err != nil || before-after < 15<<40 {
		t.Errorf("%d TiB came back of 40, %v", (before-after)>>40, err)
	}
}

// When addresses run out, those of garbage are looked for before an open fails.
func TestOpenCollectsGarbage(t *testing.T) {
	if err := secondProcess("reserve", newFile(t, pattern(page))).Run(); err != nil {
		t.Error(err)
	}
}

// childReserve does this with 21 TiB of addresses and a collector that does not
// run by itself.
func childReserve(args []string) error {
	debug.SetGCPercent(-1)
	used, err := status("VmSize")
	if err != nil {
		return err
	}
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_AS, &limit); err != nil {
		return err
	}
	limit.Cur = uint64(used) + 21<<40
	if err := syscall.Setrlimit(syscall.RLIMIT_AS, &limit); err != nil {
		return err
	}
	reserve := func(tebibytes int64) (*mapview.View, error) {
		return mapview.OpenFile(args[0], os.O_RDONLY, 0, &mapview.Options{Reserve: tebibytes << 40})
	}
	kept, err := reserve(5)
	if err != nil {
		return err
	}
	defer kept.Close()
	garbage, err := reserve(10)
	if err != nil {
		return err
	}
	garbage.Close()
	v, err := reserve(10) // does not fit beside the others
	if err != nil {
		return err
	}
	defer v.Close()
	if _, err = reserve(10); !errors.Is(err, syscall.ENOMEM) { // does not fit at all
		return fmt.Errorf("10 TiB more: %v", err)
	}
	return nil
}

// The quarantine is given up before an open fails.
func TestOpenEmptiesQuarantine(t *testing.T) {
	if err := secondProcess("lend", newFile(t, pattern(page))).Run(); err != nil {
		t.Error(err)
	}
}

// childLend lends and closes 20 views of 1 TiB within 8 TiB of addresses.
func childLend(args []string) error {
	used, err := status("VmSize")
	if err != nil {
		return err
	}
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_AS, &limit); err != nil {
		return err
	}
	limit.Cur = uint64(used) + 8<<40
	if err := syscall.Setrlimit(syscall.RLIMIT_AS, &limit); err != nil {
		return err
	}
	for i := range 20 {
		v, err := mapview.OpenFile(args[0], os.O_RDONLY, 0, &mapview.Options{Reserve: 1 << 40})
		if err != nil {
			return fmt.Errorf("view %d: %w", i, err)
		}
		v.Bytes()
		v.Close()
	}
	return nil
}

func checkAddresses(t *testing.T, mostBytes int64, mostDescriptors int) {
	t.Helper()
	if n := mappings(t); n > 40_000 {
		t.Fatalf("%d mappings", n)
	}
	if n, err := status("VmSize"); err != nil || n-addressesAtStart > mostBytes {
		t.Fatalf("%d bytes of addresses, %v", n-addressesAtStart, err)
	}
	// A forgotten View has its descriptor until the garbage collector finds it.
	if n := descriptors(t); n > mostDescriptors {
		t.Fatalf("%d descriptors", n)
	}
}
