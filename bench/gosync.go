// gosync.go updates 64 bytes at random places and syncs: each update by itself, or
// 256 of them at once. Each variant has a file of its own, whose pages are all in
// memory, written and synced: a sync of one must not find what another wrote.

package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

const (
	syncSet  = 16 << 20
	syncSize = 64
)

// A syncCheck also wants the device's counter to have moved: a sync that writes
// nothing is none.
type syncCheck struct {
	*traceWriteCheck
	device deviceCounter
	was    float64
}

func (c *syncCheck) before(v *variant) {
	c.traceWriteCheck.before(v)
	c.was = c.device.bytes()
}

func (c *syncCheck) after(v *variant, passes int) error {
	if c.device != "" && c.device.bytes() == c.was {
		return fmt.Errorf("%d syncs, and nothing was written to the device", passes)
	}
	return c.traceWriteCheck.after(v, passes)
}

// A deviceCounter is the file with the counters of a block device; "" where the
// file system has none: memory, btrfs.
type deviceCounter string

func deviceOf(path string) deviceCounter {
	var st unix.Stat_t
	if unix.Stat(path, &st) != nil {
		return ""
	}
	name := fmt.Sprintf("/sys/dev/block/%d:%d/stat", unix.Major(st.Dev), unix.Minor(st.Dev))
	if _, err := os.Stat(name); err != nil {
		return ""
	}
	return deviceCounter(name)
}

// bytes returns how many were written so far, by whomever.
func (d deviceCounter) bytes() float64 {
	text, _ := os.ReadFile(string(d))
	fields := strings.Fields(string(text))
	if len(fields) < 7 {
		return 0
	}
	sectors, _ := strconv.ParseFloat(fields[6], 64)
	return sectors * 512
}

func planGoSync(s *scene) ([]func() (*block, error), error) {
	return forSizes(func(records int) (*block, error) { return openGoSync(s.dir, min(syncSet, s.largest), records) }, 1, 256), nil
}

// openGoSync has records updates before each sync.
func openGoSync(dir string, size, records int) (b *block, err error) {
	w := &walk{size: syncSize, times: records, set: size, random: true}
	b = &block{name: "GoSync", size: syncSize, each: records}
	b.keys = fmt.Sprintf("/records=%d/pattern=rand/sync=full", records)
	b.title = fmt.Sprintf("%s at random in a file of %d MiB, a sync after every %d", sizeText(syncSize), size>>20, records)
	if records == 1 {
		b.title = fmt.Sprintf("one update of %s at random in a file of %d MiB, and a sync", sizeText(syncSize), size>>20)
	}
	defer func() {
		if err != nil {
			b.close()
		}
	}()
	stage := &syncStage{b: b, dir: dir, size: size, w: w, readers: map[*trace][]byte{}}
	if err := stage.addAll(records == 1); err != nil {
		return nil, err
	}
	device := deviceOf(dir)
	if device == "" {
		b.state += "; no counter of the device: that a sync writes anything is not verified"
	}
	b.check = &syncCheck{newTraceWriteCheck(w, func(v *variant) []byte { return stage.readers[v.trace] }), device, 0}
	return b, nil
}

// A syncStage makes the variants and their files.
type syncStage struct {
	b       *block
	dir     string
	size    int
	w       *walk
	readers map[*trace][]byte
}

// addAll has those that sync the updated page alone, where it is one that is
// updated, and the device by itself.
func (s *syncStage) addAll(page bool) error {
	for i := range ways {
		w := &ways[i]
		if w.sync == "" || w.write == "Do" {
			continue
		}
		if err := s.addWay(w, how{write: true}, w.sync, false, w.impl == "os.File"); err != nil {
			return err
		}
		if page && (w.impl == "mapview" && w.write == "WriteAt" || w.write == "copy") {
			if err := s.addWay(w, how{write: true}, w.sync+",page", true, false); err != nil {
				return err
			}
		}
		if w.impl == "mapview" && w.write == "WriteAt" {
			if err := s.addWay(w, how{write: true, random: true}, w.sync+",random", false, false); err != nil {
				return err
			}
		}
	}
	if !page {
		s.b.state += "; no limit: direct writes one after the other are slower than the kernel's all at once"
		return nil
	}
	return s.addDevice()
}

// addWay adds a variant, and where twice the other one of the A/A pair.
func (s *syncStage) addWay(w *way, how how, sync string, page, twice bool) error {
	path, err := s.file()
	if err != nil {
		return err
	}
	o, err := w.openIt(&s.b.resources, path, how)
	if err != nil {
		return err
	}
	l := syncing(o, page)
	if err := s.add(w.impl, w.write+"+"+sync, path, l, false); err != nil || !twice {
		return err
	}
	return s.add(w.impl, w.write+"+"+sync, path, l, true)
}

// syncing ends the pass with a sync.
func syncing(o *opened, page bool) loop {
	return func(buf []byte, stride int, w *walk, at uint64) (uint64, error) {
		next, err := o.write(buf, stride, w, at)
		if err != nil {
			return next, err
		}
		if page {
			off, _ := w.place(at)
			return next, o.syncRange(int64(off), int64(w.size))
		}
		return next, o.sync()
	}
}

func (s *syncStage) add(impl, op, path string, l loop, again bool) error {
	reader, err := mapFile(&s.b.resources, path, s.size)
	if err != nil {
		return err
	}
	t := &trace{loop: l, w: s.w, at: uint64(len(s.b.variants)+1) << 40}
	s.readers[t] = reader
	s.b.variants = append(s.b.variants, t.variant(impl, op, again))
	return nil
}

// file makes a file for one variant.
func (s *syncStage) file() (path string, err error) {
	path = filepath.Join(s.dir, fmt.Sprintf("go-sync-%d", len(s.b.variants)))
	s.b.closeLater(func() error { return os.Remove(path) })
	content := make([]byte, s.size)
	fill(content, 0)
	if err := writeFile(path, content); err != nil {
		return "", err
	}
	if s.b.state == "" {
		s.b.state, err = fileState(path)
		s.b.state = "a file for each variant: " + s.b.state
	}
	return path, err
}

// addDevice writes the updated page past the page cache.
func (s *syncStage) addDevice() error {
	path, err := s.file()
	if err != nil {
		return err
	}
	fd, err := unix.Open(path, unix.O_RDWR|unix.O_DIRECT|unix.O_CLOEXEC, 0)
	if err != nil {
		s.b.state += "; no limit: O_DIRECT is refused here"
		return nil
	}
	s.b.closeLater(func() error { return unix.Close(fd) })
	image, err := hugeMemory(&s.b.resources, s.size)
	if err != nil {
		return err
	}
	fill(image, 0)
	return s.add("device", "O_DIRECT+fdatasync", path, direct(fd, image), false)
}

func direct(fd int, image []byte) loop {
	return func(buf []byte, stride int, w *walk, at uint64) (uint64, error) {
		off := 0
		for i := range w.times {
			off, at = w.place(at)
			copy(image[off:off+w.size], buf[i*stride:])
			page := off &^ (pageSize - 1)
			if n, err := unix.Pwrite(fd, image[page:page+pageSize], int64(page)); n != pageSize {
				return at, short(i, n, err)
			}
		}
		return at, unix.Fdatasync(fd)
	}
}
