package main

import (
	"fmt"
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
		{[3]float64{9, 8, 70}, 2 * updated, []string{"goals of writing: 2 of 2 met", "goal met: mapview mv_write+mv_sync: at least 8 times"}},
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
	const reason = "; out of reach here, since device fdatasync,alone is 1.25"
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
