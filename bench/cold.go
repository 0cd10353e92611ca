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
	"slices"
	"sync"
	"sync/atomic"
	"time"
	"unsafe"

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
	part := make([]byte, 0, piece)
	for n := range f.pages {
		part = binary.LittleEndian.AppendUint64(part, uint64(n))
		part = append(part, f.rest(n)...)
		if len(part) == cap(part) || n == f.pages-1 {
			if _, err := w.Write(part); err != nil {
				return nil, err
			}
			part = part[:0]
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
	n, err := residentPages(r, f.pages*coldPage)
	if err != nil {
		return err
	}
	if n > f.pages/100 {
		return skip(fmt.Sprintf("cold reads: %d of %d pages stay in memory on this file system", n, f.pages))
	}
	return nil
}

// A coldOpener opens the file for one sample.
type coldOpener func(r *resources, path string) (loop, error)

// All are told that the accesses will be random, so that none reads more than
// it is asked for.
func coldVariants() (variants []variant) {
	for i := range ways {
		w := &ways[i]
		if w.read == "Do" || w.read == "Bytes" || w.impl == "mapview-mmap" {
			continue // a copy from any mapping is the same; the drop-in cannot be told
		}
		variants = append(variants, variant{impl: w.impl, op: w.read, cold: func(r *resources, path string) (loop, error) {
			o, err := w.openIt(r, path, how{random: true})
			if err != nil {
				return nil, err
			}
			return o.read, nil
		}})
	}
	again := variants[0]
	again.again = true
	return append(variants, again)
}

// openDirect reads without the page cache: what the disk can do at best.
func openDirect(r *resources, path string) (loop, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_DIRECT, 0)
	if err != nil {
		return nil, err
	}
	r.closeLater(f.Close)
	return func(buf []byte, _ int, w *walk, at uint64) (uint64, error) {
		if n, err := f.ReadAt(buf[:w.size], int64(at)); n != w.size {
			return at, short(0, n, err)
		}
		return at + uint64(w.size), nil
	}, nil
}

// hasDirect tells whether the file system reads without its page cache.
func hasDirect(path string) bool {
	var r resources
	defer r.close()
	read, err := openDirect(&r, path)
	if err != nil {
		return false
	}
	_, err = read(alignedPage(), 0, &walk{size: coldPage}, 0)
	return err == nil
}

// alignedPage is memory that O_DIRECT takes.
func alignedPage() []byte {
	p := make([]byte, 2*coldPage)
	at := -uintptr(unsafe.Pointer(&p[0])) % coldPage
	return p[at : at+coldPage : at+coldPage]
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
	b := &block{name: name, size: coldPage, variants: coldVariants(), cold: f, keys: "/pattern=rand/cache=cold"}
	disk := "this disk"
	if delay != nil {
		disk = "a disk where each takes 1 ms more"
	}
	b.title = fmt.Sprintf("500 reads of 4 KiB at random out of %d MiB by 64 goroutines, not in memory, on %s", size>>20, disk)
	b.state = "before each sample taken out of memory, by posix_fadvise, verified by mincore"
	if hasDirect(f.path) {
		b.variants = append(b.variants, variant{impl: "device", op: "O_DIRECT", cold: openDirect})
	} else {
		b.state += "; no limit: this file system reads only through its page cache"
	}
	b.useProcessors(min(2, processors))
	return b, nil
}

// measureCold takes as many rounds as there is time for, but one at least.
func (b *block) measureCold(budget time.Duration, onRound func(round, of int)) (samples [][]sample, err error) {
	var one time.Duration
	for start := time.Now(); len(samples) == 0 || time.Since(start)+one/2 < budget; {
		begin, r := time.Now(), len(samples)
		onRound(r, max(1, r, int(budget/max(one, coldTime))))
		round, err := b.round(r, func(k int) (sample, error) {
			// Pages of their own: below the disk there may be another cache.
			return b.cold.sample(b.variants[k].cold, uint64(r*len(b.variants)+k))
		})
		if err != nil {
			return nil, err
		}
		samples = append(samples, round)
		one = time.Since(begin)
	}
	return samples, nil
}

// sample reads pages in an order that belongs to seed, each once, for coldTime or
// until there is none left. Its time is that of 500 reads, as in other blocks.
func (f *coldFile) sample(open coldOpener, seed uint64) (s sample, err error) {
	if err := f.forget(); err != nil {
		return sample{}, err
	}
	var r resources
	defer func() {
		if closed := r.close(); err == nil {
			err = closed
		}
	}()
	read, err := open(&r, f.path)
	if err != nil {
		return sample{}, err
	}
	all := coldReads{file: f, read: read, order: rand.New(rand.NewPCG(seed, 1)).Perm(f.pages)}
	readers := make([]coldReader, coldReaders)
	var running sync.WaitGroup
	start := time.Now()
	for i := range readers {
		running.Add(1)
		go func() {
			defer running.Done()
			readers[i].run(&all)
		}()
	}
	gaps := watchClock(start, all.over)
	reads, took := all.done.Load(), time.Since(start)
	all.stop.Store(true)
	running.Wait()
	if err := all.failed.Load(); err != nil {
		return sample{}, *err
	}
	if reads == 0 {
		return sample{}, fmt.Errorf("nothing was read in %v", took)
	}
	slices.Sort(gaps)
	s = sample{ops: 1, gap: gaps[len(gaps)*99/100], latency: latencies(readers)}
	s.time = time.Duration(float64(took) * accesses / float64(reads))
	return s, nil
}

// coldReads is what the readers of a sample share.
type coldReads struct {
	file       *coldFile
	read       loop
	order      []int // of the pages
	next, done atomic.Int64
	stop       atomic.Bool
	failed     atomic.Pointer[error]
}

func (c *coldReads) over() bool {
	return c.done.Load() == int64(len(c.order)) || c.failed.Load() != nil
}

// A coldReader knows how long each of its reads took.
type coldReader struct{ took []time.Duration }

func (r *coldReader) run(all *coldReads) {
	p := alignedPage()
	w := &walk{size: coldPage, times: 1, set: (all.file.pages + 1) * coldPage}
	for !all.stop.Load() {
		i := all.next.Add(1) - 1
		if i >= int64(len(all.order)) {
			return
		}
		page := all.order[i]
		start := time.Now()
		_, err := all.read(p, 0, w, uint64(page)*coldPage)
		r.took = append(r.took, time.Since(start))
		if err == nil {
			err = all.file.check(page, p)
		}
		if err != nil {
			err = fmt.Errorf("page %d: %w", page, err)
			all.failed.Store(&err)
			return
		}
		all.done.Add(1)
	}
}

// The quantiles that the raw text tells, of how long single reads took.
var quantiles = [...]struct {
	unit  string
	share float64
}{{"p50-ns", 0.5}, {"p90-ns", 0.9}, {"p99-ns", 0.99}, {"p99.9-ns", 0.999}, {"max-ns", 1}}

func latencies(readers []coldReader) (at [len(quantiles)]time.Duration) {
	var all []time.Duration
	for i := range readers {
		all = append(all, readers[i].took...)
	}
	slices.Sort(all)
	for i, q := range quantiles {
		at[i] = all[int(q.share*float64(len(all)-1))]
	}
	return at
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
