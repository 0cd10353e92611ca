package main

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func coldTestFile(t *testing.T) *coldFile {
	t.Helper()
	f, err := makeColdFile(filepath.Join(t.TempDir(), "cold"), 3<<20)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func TestColdCheckSeesOtherBytes(t *testing.T) {
	f := coldTestFile(t)
	content, err := os.ReadFile(f.path)
	if err != nil {
		t.Fatal(err)
	}
	if len(content) != f.pages*coldPage {
		t.Fatalf("%d bytes", len(content))
	}
	for n := range f.pages {
		if err := f.check(n, content[n*coldPage:(n+1)*coldPage]); err != nil {
			t.Fatal(err)
		}
	}
	page := content[5*coldPage : 6*coldPage]
	if f.check(6, page) == nil {
		t.Error("another page is not seen")
	}
	page[coldPage-1] ^= 1
	if f.check(5, page) == nil {
		t.Error("another byte is not seen")
	}
}

// Each way reads the right bytes; one that does not ends the run.
func TestColdSamples(t *testing.T) {
	f := coldTestFile(t)
	for _, v := range coldVariants() {
		s, err := f.sample(v.cold, 1)
		var why skip
		if errors.As(err, &why) {
			t.Skip(why)
		}
		if err != nil || s.time <= 0 || s.gap <= 0 {
			t.Errorf("%v: %+v, %v", &v, s, err)
		}
	}
	wrong := func(*resources, string) (loop, error) {
		return func([]byte, int, *walk, uint64) (uint64, error) { return 0, nil }, nil
	}
	if _, err := f.sample(wrong, 1); err == nil || !strings.Contains(err.Error(), "page") {
		t.Errorf("bytes that are not the file's: %v", err)
	}
}

func TestLatenciesAreOfAllReaders(t *testing.T) {
	readers := make([]coldReader, 2)
	for i := range 100 {
		readers[i%2].took = append(readers[i%2].took, time.Duration(100-i))
	}
	if got := latencies(readers); got != [...]time.Duration{50, 90, 99, 99, 100} {
		t.Errorf("%v", got)
	}
}

func TestColdLinesAreWrittenAndRead(t *testing.T) {
	f := coldTestFile(t)
	b := &block{name: "Cold", size: coldPage, variants: coldVariants()[3:4], cold: f}
	samples, err := b.measure(0, func(int, int) {})
	var why skip
	if errors.As(err, &why) {
		t.Skip(why)
	}
	if err != nil {
		t.Fatal(err)
	}
	var raw bytes.Buffer
	if err := writeSamples(&raw, b, samples); err != nil {
		t.Fatal(err)
	}
	if lines := readRaw(t, raw.String()); len(lines) != 1 || len(lines[0].values["p99-gap-us"]) != 1 {
		t.Errorf("%v", lines)
	}
}

func TestOpenClose(t *testing.T) {
	path, content := guardFile(t)
	b, err := openOpenClose(path, content, 64)
	if err != nil {
		t.Fatal(err)
	}
	if err := b.checkAll(); err != nil {
		t.Error(err)
	}
	if err := b.close(); err != nil {
		t.Error(err)
	}
}

// O_DIRECT refuses memory that is not aligned.
func TestDirectReadsNeedAnAlignedPage(t *testing.T) {
	f := coldTestFile(t)
	if !hasDirect(f.path) {
		t.Skip("this file system has no O_DIRECT")
	}
	if hasDirect(filepath.Join(f.path, "none")) {
		t.Error("a file that is not there has O_DIRECT")
	}
	var r resources
	defer r.close()
	read, err := openDirect(&r, f.path)
	if err != nil {
		t.Fatal(err)
	}
	p := alignedPage()
	if _, err := read(p, 0, &walk{size: coldPage}, 3*coldPage); err != nil {
		t.Fatal(err)
	}
	if err := f.check(3, p); err != nil {
		t.Error(err)
	}
	if _, err := read(p, 0, &walk{size: coldPage}, uint64(f.pages)*coldPage); err == nil {
		t.Error("a read behind the end passes")
	}
}
