// cold.go reads what is not in memory: 64 goroutines, each a page at a time, at
// random. How many reads are done a second, and how long does a goroutine wait
// that only wants to look at the clock? A wait for the disk at a load keeps the
// processor of the goroutine, one in the kernel does not.

package main

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"
	"unsafe"

	mapview "example.com/mapview/go"
	expmmap "golang.org/x/exp/mmap"
	"golang.org/x/sys/unix"
)

const (
	coldReaders = 64
	coldPage    = 4096
	coldTime    = 250 * time.Millisecond
)

// A coldFile can be taken out of memory. Each page begins with its number, and
// goes on with a part of the same random bytes.
type coldFile struct {
	path   string
	pages  int
	random []byte // 2 pages
}

// makeColdFile leaves a file that is there, of an earlier run, as it is: every
// byte that is read of it is looked at.
func makeColdFile(path string, size int) (*coldFile, error) {
	f := &coldFile{path, size / coldPage, make([]byte, 2*coldPage)}
	rand.NewChaCha8([32]byte{3}).Read(f.random)
	if info, err := os.Stat(path); err == nil && info.Size() == int64(size) {
		return f, nil
	}
	w, err := os.Create(path)
	if err != nil {
		return nil, err
	}
	defer w.Close()
	piece := make([]byte, 0, 1<<20)
	for n := range f.pages {
		piece = binary.LittleEndian.AppendUint64(piece, uint64(n))
		piece = append(piece, f.rest(n)...)
		if len(piece) == cap(piece) || n == f.pages-1 {
			if _, err := w.Write(piece); err != nil {
				return nil, err
			}
			piece = piece[:0]
		}
	}
	return f, w.Sync()
}

// rest is what page n holds after its number.
func (f *coldFile) rest(n int) []byte { return f.random[n%coldPage:][:coldPage-8] }

func (f *coldFile) check(n int, p []byte) error {
	if got := binary.LittleEndian.Uint64(p); got != uint64(n) {
		return fmt.Errorf("page %d says that it is page %d", n, got)
	}
	if !bytes.Equal(p[8:], f.rest(n)) {
		return fmt.Errorf("page %d has other bytes", n)
	}
	return nil
}

// forget takes the file out of memory; nobody may have it mapped.
func (f *coldFile) forget() error {
	r, err := os.Open(f.path)
	if err != nil {
		return err
	}
	defer r.Close()
	if err := unix.Fadvise(int(r.Fd()), 0, 0, unix.FADV_DONTNEED); err != nil {
		return os.NewSyscallError("fadvise", err)
	}
	m, err := unix.Mmap(int(r.Fd()), 0, f.pages*coldPage, unix.PROT_READ, unix.MAP_SHARED)
	if err != nil {
		return os.NewSyscallError("mmap", err)
	}
	defer unix.Munmap(m)
	resident := make([]byte, f.pages)
	_, _, errno := unix.Syscall(unix.SYS_MINCORE, uintptr(unsafe.Pointer(&m[0])), uintptr(len(m)),
		uintptr(unsafe.Pointer(&resident[0])))
	if errno != 0 {
		return os.NewSyscallError("mincore", errno)
	}
	if n := f.pages - bytes.Count(resident, []byte{0}); n > f.pages/100 {
		return skip(fmt.Sprintf("cold reads: %d of %d pages stay in memory on this file system", n, f.pages))
	}
	return nil
}

// A coldOpener opens the file for one sample.
type coldOpener func(path string) (readAt func(p []byte, off int64) (int, error), close func() error, err error)

// All are told that the accesses will be random, so that none reads more than
// it is asked for.
func coldVariants() []variant {
	view := func(opt mapview.Options) coldOpener {
		opt.Advice = mapview.AdviceRandom
		return func(path string) (func([]byte, int64) (int, error), func() error, error) {
			v, err := mapview.OpenFile(path, os.O_RDONLY, 0, &opt)
			if err != nil {
				return nil, nil, err
			}
			return v.ReadAt, v.Close, nil
		}
	}
	return []variant{
		{impl: "mapview", op: "ReadAt", cold: view(mapview.Options{})},
		{impl: "mapview", op: "ReadAt,resident", cold: view(mapview.Options{Resident: true})},
		{impl: "exp-mmap", op: "ReadAt", cold: coldExp},
		{impl: "os.File", op: "ReadAt", cold: coldOSFile},
		{impl: "mapview", op: "ReadAt", cold: view(mapview.Options{}), again: true},
	}
}

// coldExp reaches into the ReaderAt, which has no call for the advice.
func coldExp(path string) (func([]byte, int64) (int, error), func() error, error) {
	m, err := expmmap.Open(path)
	if err != nil {
		return nil, nil, err
	}
	data := reflect.ValueOf(m).Elem().FieldByName("data").Bytes()
	if err := unix.Madvise(data, unix.MADV_RANDOM); err != nil {
		return nil, nil, os.NewSyscallError("madvise", err)
	}
	return m.ReadAt, m.Close, nil
}

func coldOSFile(path string) (func([]byte, int64) (int, error), func() error, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, nil, err
	}
	if err := unix.Fadvise(int(f.Fd()), 0, 0, unix.FADV_RANDOM); err != nil {
		return nil, nil, os.NewSyscallError("fadvise", err)
	}
	return f.ReadAt, f.Close, nil
}

// openCold has delay, if not nil, called when the file is written: from then on
// every read of the disk takes that long.
func openCold(name, dir string, size, processors int, delay func() error) (*block, error) {
	f, err := makeColdFile(filepath.Join(dir, "go-cold"), size)
	if err != nil {
		return nil, err
	}
	if delay != nil {
		if err := delay(); err != nil {
			return nil, err
		}
	}
	if err := f.forget(); err != nil {
		return nil, err
	}
	b := &block{name: name, size: coldPage, variants: coldVariants(), cold: f}
	was := runtime.GOMAXPROCS(min(2, processors))
	b.closeLater(func() error { runtime.GOMAXPROCS(was); return nil })
	return b, nil
}

// measureCold takes as many rounds as there is time for, but one at least.
func (b *block) measureCold(budget time.Duration, onRound func(round, of int)) ([][]sample, error) {
	rounds := max(1, int(budget/(coldTime*time.Duration(len(b.variants)))))
	samples := make([][]sample, rounds)
	for r := range samples {
		onRound(r, rounds)
		samples[r] = make([]sample, len(b.variants))
		for _, k := range order(r, len(b.variants)) {
			v := &b.variants[k]
			// Pages of their own: below the disk there may be another cache.
			s, err := b.cold.sample(v.cold, uint64(r*len(b.variants)+k))
			if err != nil {
				return nil, fmt.Errorf("round %d: %v: %w", r, v, err)
			}
			samples[r][k] = s
		}
	}
	return samples, nil
}

// sample reads pages in an order that belongs to seed, each once, for coldTime or
// until there is none left. Its time is that of 500 reads, as in other blocks.
func (f *coldFile) sample(open coldOpener, seed uint64) (sample, error) {
	if err := f.forget(); err != nil {
		return sample{}, err
	}
	readAt, closeIt, err := open(f.path)
	if err != nil {
		return sample{}, err
	}
	order := rand.New(rand.NewPCG(seed, 1)).Perm(f.pages)
	var next, done atomic.Int64
	var stop atomic.Bool
	var failed atomic.Pointer[error]
	var readers sync.WaitGroup
	start := time.Now()
	for range coldReaders {
		readers.Add(1)
		go func() {
			defer readers.Done()
			p := make([]byte, coldPage)
			for !stop.Load() {
				i := next.Add(1) - 1
				if i >= int64(len(order)) {
					return
				}
				n, err := readAt(p, int64(order[i])*coldPage)
				if n == coldPage && err == nil {
					err = f.check(order[i], p)
				}
				if n != coldPage || err != nil {
					err = short(order[i], n, err)
					failed.Store(&err)
					return
				}
				done.Add(1)
			}
		}()
	}
	gaps := watchClock(start, func() bool { return done.Load() == int64(len(order)) || failed.Load() != nil })
	reads, took := done.Load(), time.Since(start)
	stop.Store(true)
	readers.Wait()
	if err := failed.Load(); err != nil {
		return sample{}, *err
	}
	if reads == 0 {
		return sample{}, fmt.Errorf("nothing was read in %v", took)
	}
	slices.Sort(gaps)
	s := sample{ops: 1, gap: gaps[len(gaps)*99/100]}
	s.time = time.Duration(float64(took) * accesses / float64(reads))
	return s, closeIt()
}

// watchClock looks at the clock every millisecond, if it can, and returns the
// times between.
func watchClock(start time.Time, isOver func() bool) (gaps []time.Duration) {
	for last := start; last.Sub(start) < coldTime && !isOver(); {
		time.Sleep(time.Millisecond)
		now := time.Now()
		gaps = append(gaps, now.Sub(last))
		last = now
	}
	return gaps
}
