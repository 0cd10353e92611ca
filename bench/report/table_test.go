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
	r := &report{config: map[string]string{}}
	if err := r.read(strings.NewReader(text)); err != nil {
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
	if again := r.groups[0].series[5]; !again.again || again.String() != memoryRow {
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
	} {
		r := &report{config: map[string]string{}}
		if r.read(strings.NewReader(line)) == nil {
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
	text := strings.Join(strings.Fields(table(t, rawText("go"))), " ")
	for _, want := range []string{
		"mapview ReadAt 100.0 200.0 0 3 0.250 (0.250-0.250) 1.25 (1.25-1.25)",
		"os.File ReadAt 400.0 800.0 0 3 1 5.00 (5.00-5.00)",
		"mapview go/mmap ReadAt",
		"noise: memory copy, opened twice (A/A) 0.900 (0.900-0.900), 3 rounds",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("not in the table: %s\n%s", want, text)
		}
	}
	if strings.Count(text, "memory copy") != 2 { // its row and the noise
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

func TestTableNeedsTheSameRoundsAndAnAAPair(t *testing.T) {
	lines := strings.SplitAfter(rawText("go"), "\n")
	for name, text := range map[string]string{
		"a line is missing": strings.Join(append(lines[:4:4], lines[5:]...), ""),
		"no A/A pair":       strings.Join(slices.DeleteFunc(lines, func(l string) bool { return strings.Contains(l, "again") }), ""),
	} {
		r := readRaw(t, text)
		if err := writeTable(&bytes.Buffer{}, r); err == nil {
			t.Errorf("%s: no error", name)
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

func TestTableShowsWhatTheGuardCosts(t *testing.T) {
	text := table(t, guardText("Guard", 65536, "lang=c/impl=unguarded/op=memcpy 31000", "lang=c/impl=mapview/op=mv_read 46500",
		"lang=c/impl=mapview/op=mv_read,no-handler 310000", "lang=c/impl=libc/op=pread 62000", "lang=c/impl=unguarded/op=memcpy 31000"),
		guardText("GuardWrite", 64, "lang=c/impl=unguarded/op=memcpy 500", "lang=c/impl=mapview/op=mv_write 1000",
			"lang=c/impl=unguarded/op=memcpy 500"),
		guardText("Guard", 1, "lang=go/impl=unguarded/op=copy 500", "lang=go/impl=mapview/op=At 2000",
			"lang=go/impl=unguarded/op=copy 500"))
	wantRows(t, text, "C, what the guard costs: 31 reads of 64 KiB us/op ns each x pread x unguarded",
		"unguarded memcpy 31.0 1000.0 0.500 (0.500-0.500) 1",
		"mapview mv_read 46.5 1500.0 0.750 (0.750-0.750) 1.50 (1.50-1.50)",
		"mapview mv_read NO_HANDLER 310.0 10000.0 5.00 (5.00-5.00) 10.0 (10.0-10.0)",
		"noise: unguarded memcpy, measured twice (A/A) 1.00 (1.00-1.00), 3 rounds",
		"C, what the guard costs: 500 writes of 64 bytes us/op ns each x pwrite x unguarded",
		"mapview mv_write 1.0 2.0 2.00 (2.00-2.00)",
		"Go, what the guard costs: 500 reads of 1 byte us/op ns each B/op allocs x unguarded",
		"mapview At 2.0 4.0 4.00 (4.00-4.00)",
		"mapview mv_read: 1.50x unguarded memcpy", "mapview At: 4.00x unguarded copy",
		"mapview mv_read NO_HANDLER: 10.0x unguarded memcpy, 5.00x libc pread")
}

// Two are compared with one of their kind alone, and with peers of their number.
func TestTableShowsTwoGoroutinesOverOne(t *testing.T) {
	text := table(t, guardText("Together", 64, "lang=go/impl=mapview/op=ReadAt,one 2000", "lang=go/impl=mapview/op=ReadAt,two 2200",
		"lang=go/impl=unguarded/op=copy,one 1000", "lang=go/impl=unguarded/op=copy,two 2000", "lang=go/impl=mapview/op=ReadAt,one 2000"))
	wantRows(t, text, "Go, what the guard costs: 500 reads of 64 bytes by each of two goroutines at once",
		"x unguarded x one alone mapview ReadAt, one 2.0 4.0 2.00 (2.00-2.00) 1 ",
		"mapview ReadAt, two 2.2 4.4 1.10 (1.10-1.10) 1.10 (1.10-1.10)",
		"unguarded copy, one 1.0 2.0 1 1 ", "unguarded copy, two 2.0 4.0 1 2.00 (2.00-2.00)",
		"mapview ReadAt, one: 2.00x unguarded copy, one mapview ReadAt, two: 1.10x unguarded copy, two")
}

func TestColdRowsInTheTable(t *testing.T) {
	raw := strings.Join([]string{
		"BenchmarkCold/lang=go/impl=mapview/op=ReadAt/size=4096-2\t1\t5000000.0 ns/op\t1500 p99-gap-us",
		"BenchmarkCold/lang=go/impl=exp-mmap/op=ReadAt/size=4096-2\t1\t10000000.0 ns/op\t30000 p99-gap-us",
		"BenchmarkCold/lang=go/impl=mapview/op=ReadAt/size=4096/again=1-2\t1\t5000000.0 ns/op\t1500 p99-gap-us",
	}, "\n") + "\n"
	text := table(t, raw)
	for _, want := range []string{"0.500 (0.500-0.500)", "1.5 ms", "30.0 ms", "64 goroutines, at random, on this disk"} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in\n%s", want, text)
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
