// rows.go lists the rows: which there are, what each needs, and of which blocks
// it is made.

package main

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"time"
)

// A row is a named piece of work, measured in one block or more.
type row struct {
	name    string
	short   bool    // one of those that most people want
	seconds float64 // that sound figures take, what prepares them included
	title   string
	peers   bool // all ways to a file are in it
	plan    func(s *scene) ([]func() (*block, error), error)
}

// A skip is the reason why a block cannot be measured here.
type skip string

func (s skip) Error() string { return string(s) }

// A scene is what the rows of one run have in common.
type scene struct {
	dir        string // for the files
	processors int
	delayed    string // where the fault disk under dir takes commands; "": dir is on no such disk
	largest    int    // bytes of a file, at most
	state      string // of the file of the notes' rows
	progress   *progress
	resources  // of the row
}

var rows = []row{
	{"Published", true, 2, "the notes' benchmark as it was published: nothing is read after the first read", false, planPublished},
	{"Read", true, 6, "the notes' benchmark, repaired: 500 reads in a row", true, planRead},
	{"Write", true, 6, "the notes' benchmark, with writing: 500 writes in a row", true, planWrite},
	{"WriteSync", true, 6, "the notes' benchmark, with writing: 500 writes and a sync", true, planWriteSync},
	{"Guard", false, 8, "what the guard costs: mapview's calls and the plain copy, from the same pages", false, planGuard},
	{"Hot", true, 8, "one read of what is in memory, in a row and at random, out of 1 MiB", true, planHot},
	{"HotWrite", true, 6, "one write to what is in memory, in a row and at random, within 1 MiB, no sync", true, planHotWrite},
	{"HotLarge", false, 40, "one read of what is in memory, in a row and at random, out of 256 MiB", true, planHotLarge},
	{"HotWriteLarge", false, 25, "one write to what is in memory, in a row and at random, within 256 MiB, no sync", true, planHotWriteLarge},
	{"OpenClose", false, 8, "500 files opened and closed, the collector's work counted", true, planOpenClose},
	{"Slice", true, 4, "sums over bytes in place: under Do, Slice and Bytes, against a plain slice", true, planSlice},
	{"GoSync", false, 15, "updates of 64 bytes at random, and the sync that follows", true, planGoSync},
	{"Parallel", false, 8, "reads by two goroutines at once, on two processors, against one alone: all ways", true, planParallel},
	{"Cold", true, 12, "64 goroutines read what is not in memory, on this disk", true, planCold},
	{"Delayed", false, 20, "64 goroutines read what is not in memory, on a disk whose reads take 1 ms more", true, planDelayed},
	{"Together", false, 4, "one view read by two goroutines at once, on two processors", false, planTogether},
}

func rowNamed(name string) (*row, error) {
	for i := range rows {
		if rows[i].name == name {
			return &rows[i], nil
		}
	}
	return nil, fmt.Errorf("there is no row %q: -list names them", name)
}

func list(w io.Writer) error {
	for _, r := range rows {
		when := "full"
		if r.short {
			when = "short"
		}
		if _, err := fmt.Fprintf(w, "%s\t%s\t%g\t%s\n", r.name, when, r.seconds, r.title); err != nil {
			return err
		}
	}
	return nil
}

// measure takes about budget, and prints the raw text of the row.
func (r *row) measure(w io.Writer, s *scene, budget time.Duration) (err error) {
	defer func() {
		if closed := s.close(); err == nil {
			err = closed
		}
	}()
	deadline := time.Now().Add(budget)
	runtime.GOMAXPROCS(1) // what the collector does is the variant's own time
	defer s.progress.clear()
	s.progress.title = "Go, " + r.name
	for _, peer := range missing {
		if r.peers {
			fmt.Fprintf(w, "%s%s\n", skipLine, peer)
		}
	}
	blocks, err := r.plan(s)
	if err != nil {
		return fmt.Errorf("%s: %w", r.name, err)
	}
	for i, open := range blocks {
		// No more than its part, where others are not wanted.
		share := min(time.Until(deadline)/time.Duration(len(blocks)-i), budget/time.Duration(len(blocks)))
		if err := measureOne(w, s.stated(open), share, s.progress); err != nil {
			return err
		}
	}
	return nil
}

// stated opens a block and states what the file is like that it is about, where it
// has none of its own.
func (s *scene) stated(open func() (*block, error)) func() (*block, error) {
	return func() (*block, error) {
		b, err := open()
		if err == nil && b.state == "" {
			b.state = s.state
		}
		return b, err
	}
}

// readFile makes the file that is read in the notes' rows. Reading and writing
// have a file each, so that what is read stays what makeFile returned.
func (s *scene) readFile() (path string, content []byte, err error) {
	path = filepath.Join(s.dir, "go-read")
	if content, err = makeFile(path, 1); err != nil {
		return path, nil, err
	}
	s.state, err = fileState(path)
	return path, content, err
}

func (s *scene) writeFile() (path string, err error) {
	path = filepath.Join(s.dir, "go-write")
	if _, err = makeFile(path, 2); err != nil {
		return path, err
	}
	s.state, err = fileState(path)
	return path, err
}

// forSizes plans a block for each size.
func forSizes(open func(size int) (*block, error), sizes ...int) (blocks []func() (*block, error)) {
	for _, size := range sizes {
		blocks = append(blocks, func() (*block, error) { return open(size) })
	}
	return blocks
}

func planPublished(s *scene) ([]func() (*block, error), error) {
	path, _, err := s.readFile()
	return []func() (*block, error){func() (*block, error) { return openPublished(path) }}, err
}

func planRead(s *scene) ([]func() (*block, error), error) {
	path, content, err := s.readFile()
	return forSizes(func(size int) (*block, error) { return openRead(path, content, size) }, 4096, 1024, 64), err
}

func planWrite(s *scene) ([]func() (*block, error), error) {
	path, err := s.writeFile()
	return forSizes(func(size int) (*block, error) { return openWrite(path, size) }, 4096, 1024), err
}

func planWriteSync(s *scene) ([]func() (*block, error), error) {
	path, err := s.writeFile()
	return forSizes(func(size int) (*block, error) { return openWriteSync(path, size) }, 4096), err
}

func planGuard(s *scene) ([]func() (*block, error), error) {
	path, content, err := s.readFile()
	return forSizes(func(size int) (*block, error) { return openGuard(path, content, size) }, 1, 64, 1024, 4096), err
}

func planOpenClose(s *scene) ([]func() (*block, error), error) {
	path, content, err := s.readFile()
	return forSizes(func(size int) (*block, error) { return openOpenClose(path, content, size) }, 64), err
}

func planTogether(s *scene) ([]func() (*block, error), error) {
	path, content, err := s.readFile()
	return forSizes(func(size int) (*block, error) { return openTogether(path, content, size, s.processors) }, 64, 4096), err
}

func planParallel(s *scene) ([]func() (*block, error), error) {
	path, content, err := s.readFile()
	return forSizes(func(size int) (*block, error) { return openParallel(path, content, size, s.processors) }, 64, 4096), err
}

func planCold(s *scene) ([]func() (*block, error), error) {
	return []func() (*block, error){func() (*block, error) {
		return openCold("Cold", s.dir, min(256<<20, s.largest), s.processors, nil)
	}}, nil
}

// planDelayed has a disk of which every read takes a millisecond more.
func planDelayed(s *scene) ([]func() (*block, error), error) {
	return []func() (*block, error){func() (*block, error) {
		if s.delayed == "" {
			return nil, skip("cold reads on a delayed disk: -delayed has to name one")
		}
		return openCold("Delayed", s.dir, 24<<20, s.processors, func() error {
			return os.WriteFile(s.delayed, []byte("delay 1000\n"), 0)
		})
	}}, nil
}
