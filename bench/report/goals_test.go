package main

import (
	"fmt"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// scatterText makes three rounds in which mapview is faster than the mapping by
// those factors, and writes that many bytes.
func scatterText(factors [3]float64, devBytes float64) string {
	var b strings.Builder
	for _, factor := range factors {
		for _, row := range []struct {
			name string
			ns   float64
			more string
		}{
			{"impl=mmap/op=store+msync/size=64", 1e8, ""},
			{"impl=mapview/op=mv_write+mv_sync/size=64", 1e8 / factor, fmt.Sprintf("\t%.0f dev-B/op", devBytes)},
			{"impl=libc/op=pwrite+fdatasync/size=64", 1e7, ""},
			{"impl=mmap/op=store+msync/size=64/again=1", 1e8, ""},
		} {
			fmt.Fprintf(&b, "BenchmarkScatterLarge/lang=c/%s-1\t1\t%.1f ns/op\t1.00 MB/s\t256 faults/op%s\t1024 folio-KiB\n",
				row.name, row.ns, row.more)
		}
	}
	return b.String()
}

func TestGoalsAreJudged(t *testing.T) {
	for _, c := range []struct {
		factors  [3]float64
		devBytes float64
		want     []string
	}{
		{[3]float64{9, 8, 70}, 2 * updated, []string{"goals: 2 of 2 met", "goal met: mapview mv_write+mv_sync: at least 8 times"}},
		{[3]float64{9, 7.9, 7.8}, 100, []string{"1 of 2 met", "goal NOT MET: mapview mv_write+mv_sync: at least 8 times", "\n  NOT MET: ScatterLarge: at least 8"}},
		{[3]float64{9, 9, 9}, 2*updated + 1, []string{"1 of 2 met", "goal NOT MET: mapview mv_write+mv_sync: at most twice the pages"}},
	} {
		out := table(t, scatterText(c.factors, c.devBytes))
		for _, want := range append(c.want, "mapview loses") {
			if !strings.Contains(out, want) {
				t.Errorf("%v: there is no %q in\n%s", c.factors, want, out)
			}
		}
	}
}

// What was not counted is not met.
func TestGoalWithoutACounter(t *testing.T) {
	text := strings.ReplaceAll(scatterText([3]float64{9, 9, 9}, 1), "\t1 dev-B/op", "")
	out := table(t, text)
	if !strings.Contains(out, "NOT MET: ScatterLarge: at most twice the pages touched go to the device (2048 KiB): not counted") {
		t.Error(out)
	}
}

func TestGoalWithoutItsRows(t *testing.T) {
	for _, row := range []string{"mapview/op=mv_write+mv_sync", "mmap/op=store+msync"} {
		r := readRaw(t, strings.ReplaceAll(scatterText([3]float64{9, 9, 9}, 1), row, row+"x"))
		if err := writeTable(new(strings.Builder), r); err == nil {
			t.Errorf("no error without the row %s", row)
		}
	}
}

// Each block of the C program has its goals here, with the rows that it has there.
func TestGoalsOfTheCProgram(t *testing.T) {
	var source string
	for _, name := range []string{"../c/goals_update.c", "../c/goals_stream.c"} {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		source += string(text)
	}
	var rows, blocks []string
	for _, m := range regexp.MustCompile(`\{\s*"(\w+)",\s*"([^"]+)",`).FindAllStringSubmatch(source, -1) {
		rows = append(rows, m[1]+" "+m[2])
	}
	for _, m := range regexp.MustCompile(`\{"(\w+)",\s*(?:FILE_BYTES|\d+ \* MIB)`).FindAllStringSubmatch(source, -1) {
		blocks = append(blocks, m[1])
	}
	if len(blocks) != len(goalBlocks) || len(rows) < 20 {
		t.Fatalf("%d blocks and %d rows in C, %d blocks here: %v", len(blocks), len(rows), len(goalBlocks), blocks)
	}
	blocks = append(blocks, growthPrefix+"ext4")
	for _, name := range blocks {
		goals := (&group{name: name}).goals()
		if len(goals) == 0 {
			t.Errorf("%s has no goal", name)
		}
		for _, want := range goals {
			if !slices.Contains(rows, want.row) || want.other != "" && !slices.Contains(rows, want.other) {
				t.Errorf("%s: %q or %q is no row", name, want.row, want.other)
			}
			if (want.factor > 0) == (want.most > 0) {
				t.Errorf("%s: %q asks for nothing, or for two things", name, want.meaning)
			}
		}
	}
}

// A goal that the medium alone would miss is not met, and the line says why.
func TestGoalBelowTheFloor(t *testing.T) {
	text := func(plain, ours, floor float64) string {
		var b strings.Builder
		for range 3 {
			for _, row := range []struct {
				name string
				ns   float64
			}{
				{"impl=mmap/op=memcpy+msync/size=1048576", plain},
				{"impl=mapview/op=mv_write+mv_sync/size=1048576", ours},
				{"impl=device/op=O_DIRECT+fdatasync/size=1048576", plain},
				{"impl=device/op=fdatasync,alone/size=1048576", floor},
				{"impl=mmap/op=memcpy+msync/size=1048576/again=1", plain},
			} {
				fmt.Fprintf(&b, "BenchmarkBulkNew/lang=c/%s-1\t1\t%.1f ns/op\t1.00 MB/s\n", row.name, row.ns)
			}
		}
		return b.String()
	}
	const reason = "; out of reach here, since device fdatasync alone is 1.25"
	for _, c := range []struct {
		plain, ours, floor float64
		met, excused       bool
	}{
		{100, 90, 80, false, true},
		{100, 90, 50, false, false},
		{100, 70, 65, true, false},
	} {
		out := strings.Join(strings.Fields(table(t, text(c.plain, c.ours, c.floor))), " ")
		if strings.Contains(out, reason) != c.excused || strings.Contains(out, "goal NOT MET: mapview mv_write+mv_sync: at least 1.4") == c.met {
			t.Errorf("%v:\n%s", c, out)
		}
	}
}

// readingText makes three rounds of a block of the Go program, from each variant's
// time, and its p99 between two looks at the clock.
func readingText(block string, rows map[string][2]float64) string {
	var b strings.Builder
	for range 3 {
		for _, row := range slices.Sorted(maps.Keys(rows)) {
			fmt.Fprintf(&b, "Benchmark%s-2\t1\t%.2f ns/op\t%.1f p99-gap-us\n", strings.Replace(block, "ROW", row, 1), rows[row][0], rows[row][1])
		}
		fmt.Fprintf(&b, "Benchmark%s/again=1-2\t1\t%.2f ns/op\t1 p99-gap-us\n", strings.Replace(block, "ROW", "impl=mapview/op=ReadAt", 1), rows["impl=mapview/op=ReadAt"][0])
	}
	return b.String()
}

func TestGoalsOfReading(t *testing.T) {
	const ours, exp, file = "impl=mapview/op=ReadAt", "impl=exp-mmap/op=ReadAt", "impl=os.File/op=ReadAt"
	const resident, memory, direct = "impl=mapview/op=ReadAt,resident", "impl=memory/op=copy", "impl=device/op=O_DIRECT"
	for _, c := range []struct {
		block string
		rows  map[string][2]float64
		want  []string
	}{
		{"Read/lang=go/ROW/size=4096", map[string][2]float64{ours: {100, 1}, file: {590, 1}, memory: {99, 1}},
			[]string{"goals: 0 of 1", "os.File: 5.90 (5.90-5.90); out of reach here, since memory copy is 5.96"}},
		{"Read/lang=go/ROW/size=4096", map[string][2]float64{ours: {100, 1}, file: {590, 1}, memory: {90, 1}},
			[]string{"goals: 0 of 1", "os.File: 5.90 (5.90-5.90)\n"}},
		{"Hot/lang=go/ROW/size=64/set=1MiB", map[string][2]float64{ours: {11.4, 1}, exp: {4.6, 1}, resident: {10, 1}},
			[]string{"goals: 2 of 2", "in memory: 1.40 ns"}},
		{"Hot/lang=go/ROW/size=64/set=1MiB", map[string][2]float64{ours: {11.6, 1}, exp: {4.6, 1}, resident: {10, 1}},
			[]string{"goals: 0 of 2", "in memory: 1.60 ns", "Go Hot, 64 bytes, set 1MiB: at most 2.5"}},
		{"Hot/lang=go/ROW/size=64/set=7MiB", map[string][2]float64{ours: {11.6, 1}, exp: {4.6, 1}}, nil},
		{"Cold/lang=go/ROW/size=4096", map[string][2]float64{ours: {100, 10}, exp: {150, 30}, direct: {90, 10}, file: {100, 10}},
			[]string{"goals: 1 of 2", "x/exp/mmap: 1.50 (1.50-1.50); out of reach here, since device O_DIRECT is 1.67", "the clock: 3.00"}},
	} {
		out := table(t, readingText(c.block, c.rows))
		for _, want := range c.want {
			if !strings.Contains(strings.ReplaceAll(out, "\n  ", " "), want) {
				t.Errorf("%s: there is no %q in\n%s", c.block, want, out)
			}
		}
		if c.want == nil && strings.Contains(out, "goal") {
			t.Errorf("%s has goals:\n%s", c.block, out)
		}
	}
}
