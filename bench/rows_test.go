package main

import (
	"bytes"
	"cmp"
	"errors"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

func TestListNamesTheRows(t *testing.T) {
	var out bytes.Buffer
	if err := list(&out); err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSuffix(out.String(), "\n"), "\n")
	if len(lines) != len(rows) {
		t.Fatalf("%d lines of %d rows", len(lines), len(rows))
	}
	form := regexp.MustCompile(`^[A-Z][A-Za-z]+\t(short|full)\t[0-9.]+\t[^\t]+$`)
	for _, line := range lines {
		if !form.MatchString(line) {
			t.Errorf("%q", line)
		}
	}
}

func TestRowThatIsNotThereIsRefused(t *testing.T) {
	err := measureNamed(&bytes.Buffer{}, "Nowhere", &scene{progress: &progress{}}, 0)
	if err == nil || !strings.Contains(err.Error(), `no row "Nowhere"`) {
		t.Error(err)
	}
}

// A row says what it is about, what state it found and which peers are missing.
func TestRowStatesWhatItFound(t *testing.T) {
	var out bytes.Buffer
	s := &scene{dir: t.TempDir(), processors: 2, largest: 1 << 20, progress: &progress{}}
	if err := measureNamed(&out, "Read", s, 0); err != nil {
		t.Fatal(err)
	}
	for _, form := range []string{
		`(?m)^Row BenchmarkRead/lang=go/size=4096\t500 reads of 4 KiB in a row$`,
		`(?m)^State BenchmarkRead/lang=go/size=4096\t500 of 500 pages in memory, by mincore; folios .*$`,
		`(?m)^BenchmarkRead/lang=go/impl=gommap/op=copy/size=4096-1\t.* ns/op`,
	} {
		if !regexp.MustCompile(form).MatchString(out.String()) {
			t.Errorf("no line %s", form)
		}
	}
	for _, peer := range missing {
		if !strings.Contains(out.String(), "SKIPPED "+peer+"\n") {
			t.Errorf("nothing tells of %s", peer)
		}
	}
}

// Blocks that are not wanted are left out.
func TestRowMeasuresWhatIsWanted(t *testing.T) {
	list := filepath.Join(t.TempDir(), "only")
	os.WriteFile(list, []byte("Nowhere\nRead/lang=go/size=1024\n"), 0o600)
	t.Setenv("BENCH_ONLY", list)
	measure := func() (string, error) {
		var out bytes.Buffer
		s := &scene{dir: t.TempDir(), processors: 2, largest: 1 << 20, progress: &progress{}}
		err := measureNamed(&out, "Read", s, 0)
		return out.String(), err
	}
	if out, err := measure(); err != nil || strings.Count(out, "Row ") != 1 || !strings.Contains(out, "Row BenchmarkRead/lang=go/size=1024\t") {
		t.Errorf("%v\n%s", err, out)
	}
	os.Remove(list)
	if _, err := measure(); err == nil {
		t.Error("a list that cannot be read wants nothing")
	}
}

// What a state says is counted: all of the file is dirty before it is written to.
func TestHotWriteFindsAllOfItDirty(t *testing.T) {
	s := &scene{dir: t.TempDir(), largest: 1 << 20}
	defer s.close()
	blocks, err := planHotWrite(s)
	if err != nil {
		t.Fatal(err)
	}
	b, err := blocks[0]()
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"256 of 256 pages in memory", "1024 of 1024 KiB dirty"} {
		if !strings.Contains(b.state, want) {
			t.Errorf("the state does not tell of %s: %s", want, b.state)
		}
	}
}

func TestWaysThatCannotWriteHaveNoLineForIt(t *testing.T) {
	var cannot []string
	for _, w := range ways {
		if w.write == "" {
			cannot = append(cannot, w.impl)
		}
	}
	if got := strings.Join(cannot, " "); got != "mapview-mmap exp-mmap" {
		t.Errorf("%s cannot write; the titles name x/exp/mmap", got)
	}
}

// What a row has made goes with it, also when it fails.
func TestRowLeavesNothingBehind(t *testing.T) {
	broken := errors.New("broken")
	for _, ends := range []error{nil, broken} {
		closed := 0
		r := row{name: "Test", plan: func(s *scene) ([]func() (*block, error), error) {
			s.closeLater(func() error { closed++; return errors.New("not closed") })
			return []func() (*block, error){func() (*block, error) {
				return nil, cmp.Or(ends, error(skip("for the test")))
			}}, nil
		}}
		err := r.measure(io.Discard, &scene{progress: &progress{}}, 0)
		if closed != 1 || err == nil || errors.Is(err, broken) != (ends != nil) {
			t.Errorf("closed %d times, %v", closed, err)
		}
	}
}
