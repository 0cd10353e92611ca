package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"
)

// rawText makes three rounds: mapview loses to syscall.Mmap by a quarter and
// wins against os.File, and the A/A pair differs by a tenth at most.
func rawText(lang string) string {
	var b strings.Builder
	fmt.Fprintln(&b, "goos: linux\ncpu: A Processor: Fast\nfile: "+strings.Repeat("/long/name", 12)+"\nnot a key: x")
	for _, slow := range []int{1, 7, 2} {
		for _, row := range []struct {
			name string
			ns   int
		}{
			{"mapview/op=ReadAt/size=4096", 50000 * slow},
			{"mapview-mmap/op=ReadAt/size=4096", 41000 * slow},
			{"os.File/op=ReadAt/size=4096", 200000 * slow},
			{"syscall.Mmap/op=copy/size=4096", 40000 * slow},
			{"memory/op=copy/size=4096", 40000 * slow},
			{"memory/op=copy/size=4096/again=1", 36000 * slow},
		} {
			fmt.Fprintf(&b, "BenchmarkRead/lang=%s/impl=%s-1\t30\t%d ns/op\t1.00 MB/s\t0 B/op\t3 allocs/op\n", lang, row.name, row.ns)
		}
	}
	return b.String()
}

func readRaw(t *testing.T, text string) *report {
	t.Helper()
	r := newReport()
	if _, err := r.read(strings.NewReader(text)); err != nil {
		t.Fatal(err)
	}
	if err := r.check(); err != nil {
		t.Fatal(err)
	}
	return r
}

func TestRawTextKeepsRoundsAndKeys(t *testing.T) {
	r := readRaw(t, rawText("go"))
	if r.config["cpu"] != "A Processor: Fast" || len(r.config) != 3 {
		t.Errorf("config %q", r.config)
	}
	if len(r.groups) != 1 || len(r.groups[0].series) != 6 {
		t.Fatalf("%d groups", len(r.groups))
	}
	s := r.groups[0].series[0]
	if s.String() != "mapview ReadAt" || fmt.Sprint(s.values["ns/op"]) != "[50000 350000 100000]" || s.values["allocs/op"][0] != 3 {
		t.Errorf("%v: %v", s, s.values)
	}
	if again := r.groups[0].series[5]; !again.again || again.String() != "memory copy" {
		t.Errorf("%+v", again)
	}
}

func TestRawTextRefusesHalfLines(t *testing.T) {
	for _, line := range []string{
		"BenchmarkRead/size=4096-1",
		"BenchmarkRead/size=4096-1 30 12",
		"BenchmarkRead/size=4096-1 30 12 ns/op 5",
		"BenchmarkRead/size=4096-1 30 x ns/op",
		"BenchmarkRead/size=big-1 30 1 ns/op",
		"BenchmarkRead/size=1-1 30 0 ns/op",
		"BenchmarkRead/size=1-1 30 1 MB/s",
		"BenchmarkRead/size=1 30 1 ns/op",
		"Row BenchmarkRead/size=1 a title without a tab",
		"State Read/size=1\tnot a block",
	} {
		if _, err := newReport().read(strings.NewReader(line)); err == nil {
			t.Errorf("%q is accepted", line)
		}
	}
}

func table(t *testing.T, texts ...string) string {
	t.Helper()
	var names []string
	for i, text := range texts {
		name := filepath.Join(t.TempDir(), fmt.Sprint(i))
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		names = append(names, name)
	}
	var out bytes.Buffer
	if err := printTable(&out, names); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

func TestTableFitsTheTerminal(t *testing.T) {
	for _, line := range strings.Split(table(t, rawText("go"), rawText("c")), "\n") {
		if utf8.RuneCountInString(line) > 100 && !strings.Contains(line, "/long/name") {
			t.Errorf("%d columns: %s", utf8.RuneCountInString(line), line)
		}
	}
}

func TestTableShowsRatiosAndNoise(t *testing.T) {
	text := strings.Join(strings.Fields(table(t, rawText("go")+
		"Row BenchmarkRead/lang=go/size=4096\treads of a file\nState BenchmarkRead/lang=go/size=4096\tall in memory\n")), " ")
	for _, want := range []string{
		"Go Read, 4 KiB: reads of a file ns/op MB/s allocs x memory x best peer",
		"mapview ReadAt 100000 1 3 1.25 (1.25-1.25) 1.25 (1.25-1.25)",
		"os.File ReadAt 400000 1 3 5.00 (5.00-5.00) 5.00 (5.00-5.00)",
		"syscall.Mmap copy 80000 1 3 1.00 (1.00-1.00) 1",
		"memory copy 80000 1 3 1 1.00 (1.00-1.00)",
		"mapview go/mmap ReadAt",
		"noise: memory copy, measured twice (A/A): 0.900 (0.900-0.900), 3 rounds in 1 process state: all in memory",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("not in the table: %s\n%s", want, text)
		}
	}
	if strings.Count(text, "memory copy 80000") != 1 {
		t.Error("the second of the A/A pair has a row of its own")
	}
}

// The drop-in is slower than syscall.Mmap, too, but by less than the noise.
func TestTableNamesLosses(t *testing.T) {
	_, losses, found := strings.Cut(table(t, rawText("go")), "mapview loses")
	if !found || !strings.Contains(losses, "mapview ReadAt: 1.25x syscall.Mmap copy\n") ||
		strings.Contains(losses, "go/mmap") || strings.Contains(losses, "os.File") || strings.Contains(losses, "memory copy") {
		t.Errorf("%s", losses)
	}
	won := strings.ReplaceAll(rawText("go"), "\t40000 ns/op", "\t60000 ns/op")
	won = strings.ReplaceAll(won, "\t280000 ns/op", "\t420000 ns/op")
	if text := table(t, strings.ReplaceAll(won, "\t80000 ns/op", "\t120000 ns/op")); !strings.Contains(text, "nowhere in this run") {
		t.Error(text)
	}
}

// A raw text that was cut or edited is an error, and no table.
func TestTableNeedsTheSameRoundsAndAnAAPair(t *testing.T) {
	lines := strings.SplitAfter(rawText("go"), "\n")
	for name, text := range map[string]string{
		"a line is missing": strings.Join(append(lines[:5:5], lines[6:]...), ""),
		"the end is cut":    rawText("go")[:len(rawText("go"))-60],
		"no A/A pair":       strings.Join(slices.DeleteFunc(lines, func(l string) bool { return strings.Contains(l, "again") }), ""),
	} {
		name2 := filepath.Join(t.TempDir(), "raw")
		if err := os.WriteFile(name2, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		var out bytes.Buffer
		if err := printTable(&out, []string{name2}); err == nil || out.Len() > 0 {
			t.Errorf("%s: %v, and a table of %d bytes", name, err, out.Len())
		}
	}
}

// guardText makes three rounds of a block whose rows are of one view.
func guardText(block string, size int, rows ...string) string {
	var b strings.Builder
	for _, slow := range []int{1, 3, 1} {
		for i, row := range rows {
			again := ""
			if i == len(rows)-1 {
				again = "/again=1"
			}
			name, ns, _ := strings.Cut(row, " ")
			n, _ := strconv.Atoi(ns)
			fmt.Fprintf(&b, "Benchmark%s/%s/size=%d%s-1\t30\t%d ns/op\n", block, name, size, again, n*slow)
		}
	}
	return b.String()
}

func wantRows(t *testing.T, text string, rows ...string) {
	t.Helper()
	words := strings.Join(strings.Fields(text), " ")
	for _, row := range rows {
		if !strings.Contains(words, row) {
			t.Errorf("not in the table: %s", row)
		}
	}
	if t.Failed() {
		t.Log(text)
	}
}

func TestTableNamesWhatTheGuardCosts(t *testing.T) {
	text := table(t, guardText("Guard", 65536, "lang=c/impl=unguarded/op=memcpy 31000", "lang=c/impl=mapview/op=mv_read 46500",
		"lang=c/impl=mapview/op=mv_read,no-handler 310000", "lang=c/impl=libc/op=pread 62000", "lang=c/impl=unguarded/op=memcpy 31000"))
	wantRows(t, text, "C Guard, 64 KiB ns/op x limit x best peer", "unguarded memcpy 31000 1", "mapview mv_read 46500 1.50 (1.50-1.50)",
		"mapview mv_read NO_HANDLER 310000 10.0 (10.0-10.0)",
		"noise: unguarded memcpy, measured twice (A/A): 1.00 (1.00-1.00), 3 rounds in 1 process",
		"Guard, 64 KiB: mapview mv_read: 1.50x unguarded memcpy",
		"mapview mv_read NO_HANDLER: 10.0x unguarded memcpy, 5.00x libc pread")
}

// Peers are those of the same number of goroutines, however that is said.
func TestTwoGoroutinesAreComparedWithTwo(t *testing.T) {
	text := table(t, guardText("Together", 64, "lang=go/impl=mapview/op=ReadAt,one 2000", "lang=go/impl=mapview/op=ReadAt,two 2200",
		"lang=go/impl=unguarded/op=copy,one 1000", "lang=go/impl=unguarded/op=copy,two 2000", "lang=go/impl=mapview/op=ReadAt,one 2000"))
	wantRows(t, text, "mapview ReadAt, one 2000.0 2.00 (2.00-2.00)", "mapview ReadAt, two 2200.0 1.10 (1.10-1.10)",
		"mapview ReadAt, one: 2.00x unguarded copy, one", "mapview ReadAt, two: 1.10x unguarded copy, two")
	text = table(t, guardText("Together", 64, "goroutines=1/impl=mapview/op=ReadAt 2000", "goroutines=8/impl=mapview/op=ReadAt 2200",
		"goroutines=1/impl=x/op=copy 1000", "goroutines=8/impl=x/op=copy 2000", "goroutines=1/impl=mapview/op=ReadAt 2000"))
	wantRows(t, text, "mapview ReadAt,x1 2000.0 2.00", "mapview ReadAt,x8 2200.0 1.10")
}

func TestBlocksAreToldApartByTheirKeys(t *testing.T) {
	text := guardText("Copy", 64, "lang=c/pattern=seq/cache=cold/impl=mapview/op=mv_read 10", "lang=c/pattern=seq/cache=cold/impl=mapview/op=mv_read 10")
	text += strings.ReplaceAll(text, "seq", "rand")
	r := readRaw(t, text)
	if len(r.groups) != 2 || r.groups[0].id != "Copy/lang=c/pattern=seq/cache=cold/size=64" {
		t.Fatalf("%d groups: %+v", len(r.groups), r.groups[0])
	}
	if got := r.groups[1].heading(); got != "C Copy, at random, cold, 64 bytes" {
		t.Error(got)
	}
}

// Counts that have no room beside the times stand under them, and none is lost.
func TestCountsAreShown(t *testing.T) {
	var b strings.Builder
	for _, again := range []string{"", "/again=1"} {
		fmt.Fprintf(&b, "BenchmarkCold/lang=c/impl=mapview/op=mv_read/size=4096%s-1\t1\t1000 ns/op\t1.5 MB/s\t2 faults/op\t3 syscalls/op\t4096 dev-B/op\t"+
			"5000 p50-ns\t6000 p90-ns\t7000 p99-ns\t8000 p99.9-ns\t9000 max-ns\t0 allocs/op\n", again)
	}
	text := table(t, b.String())
	wantRows(t, text, "ns/op MB/s faults x limit x best peer mapview mv_read 1000.0 1.50 2",
		"syscalls dev KiB p50 us p90 us p99 us p99.9 us max us mapview mv_read 3 4 5 6 7 8 9")
	for _, line := range strings.Split(text, "\n") {
		if utf8.RuneCountInString(line) > 100 {
			t.Errorf("%d columns: %s", utf8.RuneCountInString(line), line)
		}
	}
}

func TestTableShowsEachSkipOnce(t *testing.T) {
	const line = "SKIPPED two goroutines: there is only one processor\n"
	text := table(t, rawText("go")+line+line, line)
	if strings.Count(text, "\nSKIPPED: two goroutines: there is only one processor\n") != 1 {
		t.Error(text)
	}
}
