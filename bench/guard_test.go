package main

import (
	"bytes"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

func guardFile(t *testing.T) (path string, content []byte) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "guard-file")
	content, err := makeFile(path, 1)
	if err != nil {
		t.Fatal(err)
	}
	return path, content
}

// The place of a mapping makes a difference, which is not the guard's.
func TestGuardHasOneMapping(t *testing.T) {
	path, content := guardFile(t)
	for name, open := range map[string]func() (*block, error){
		"Guard":    func() (*block, error) { return openGuard(path, content, 1) },
		"Together": func() (*block, error) { return openTogether(path, content, 64, 2) },
	} {
		b, err := open()
		if err != nil {
			t.Fatal(err)
		}
		maps, err := os.ReadFile("/proc/self/maps")
		if n := strings.Count(string(maps), path); err != nil || n != 1 {
			t.Errorf("%s: %d mappings of the file, %v", name, n, err)
		}
		if err := b.close(); err != nil {
			t.Error(err)
		}
	}
}

func TestGuardAndTogetherHaveEveryMethod(t *testing.T) {
	path, content := guardFile(t)
	names := func(b *block, err error) string {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		defer b.close()
		var s []string
		for k := range b.variants {
			s = append(s, b.variants[k].String())
		}
		return strings.Join(s, "; ")
	}
	if got := names(openGuard(path, content, 1)); got != "unguarded copy; mapview ReadAt; mapview Do; mapview At; unguarded copy" {
		t.Error(got)
	}
	if got := names(openGuard(path, content, 64)); got != "unguarded copy; mapview ReadAt; mapview Do; unguarded copy" {
		t.Error(got)
	}
	if got := names(openTogether(path, content, 64, 2)); got !=
		"mapview ReadAt,one; mapview ReadAt,two; unguarded copy,one; unguarded copy,two; mapview ReadAt,one" {
		t.Error(got)
	}
}

func TestTogetherHasTwoProcessorsAndGivesThemBack(t *testing.T) {
	path, content := guardFile(t)
	was := runtime.GOMAXPROCS(1)
	defer runtime.GOMAXPROCS(was)
	b, err := openTogether(path, content, 64, 2)
	if err != nil {
		t.Fatal(err)
	}
	if n := runtime.GOMAXPROCS(0); n != 2 {
		t.Errorf("%d processors", n)
	}
	if name := lineName(b, &b.variants[1]); name != "BenchmarkTogether/lang=go/impl=mapview/op=ReadAt,two/size=64-2" {
		t.Error(name)
	}
	if err := b.close(); err != nil || runtime.GOMAXPROCS(0) != 1 {
		t.Errorf("%d processors afterwards, %v", runtime.GOMAXPROCS(0), err)
	}
}

func TestTogetherIsSkippedVisiblyOnOneProcessor(t *testing.T) {
	var raw bytes.Buffer
	for range 2 {
		err := measureOne(&raw, func() (*block, error) { return openTogether("", nil, 64, 1) }, 0, &progress{})
		if err != nil {
			t.Fatal(err)
		}
	}
	if raw.String() != strings.Repeat("SKIPPED two goroutines on two processors: there is only one\n", 2) {
		t.Errorf("%s", &raw)
	}
}
