package main

import (
	"errors"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// The C program has a check of its own. It is compiled here, with variants that
// are wrong.
func TestCCheckSeesWrongVariants(t *testing.T) {
	program := buildBroken(t)
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, make([]byte, fileSize), 0o600); err != nil {
		t.Fatal(err)
	}
	ways := []string{"nothing", "first", "closed", "timed", "whole", "last", "one-page", "backwards", "half",
		"last-byte", "short-timed", "short-whole"}
	for _, direction := range []string{"read", "write"} {
		for _, way := range ways {
			wantFailure(t, program, direction, way, file, "1024")
		}
		// As small and as large as accesses are; of the large ones an op has fewer.
		for _, way := range []string{"nothing", "timed", "whole", "one-page", "backwards", "half", "last-byte"} {
			wantFailure(t, program, direction, way, file, "8")
			wantFailure(t, program, direction, way, file, "65536")
		}
	}
	wantFailure(t, program, "write", "lost", file, "1024")
}

// A rawLine is a line of one variant in one round.
type rawLine struct {
	block, impl, op string
	again           bool
	ops             float64
	values          map[string]float64
}

// rawLines reads what a C program has printed: the lines, and those of states
// that cannot be had. Every block must have begun with a Row and a State line.
func rawLines(t *testing.T, text string) (lines []rawLine, skips []string) {
	t.Helper()
	heads := map[string]bool{}
	for _, text := range strings.FieldsFunc(text, func(r rune) bool { return r == '\n' }) {
		if strings.HasPrefix(text, "SKIPPED ") {
			skips = append(skips, text)
			continue
		}
		if kind, rest, ok := strings.Cut(text, " "); ok && (kind == "Row" || kind == "State") {
			name, _, _ := strings.Cut(rest, "\t")
			heads[kind+name] = true
			continue
		}
		line := rawLine{values: map[string]float64{}}
		fields := strings.Split(text, "\t")
		for _, key := range strings.Split(strings.TrimSuffix(fields[0], "-1"), "/") {
			name, value, _ := strings.Cut(key, "=")
			switch name {
			case "impl":
				line.impl = value
			case "op":
				line.op = value
			case "again":
				line.again = value == "1"
			default:
				line.block += "/" + key
			}
		}
		line.block = line.block[1:]
		if !heads["Row"+line.block] || !heads["State"+line.block] {
			t.Fatalf("%s: no Row or no State line before %q", line.block, text)
		}
		line.ops, _ = strconv.ParseFloat(fields[1], 64)
		for _, field := range fields[2:] {
			value, unit, _ := strings.Cut(field, " ")
			v, err := strconv.ParseFloat(value, 64)
			if err != nil {
				t.Fatalf("%q: %v", text, err)
			}
			line.values[unit] = v
		}
		if line.impl == "" || line.op == "" || line.ops < 1 || line.values["ns/op"] <= 0 {
			t.Fatalf("%q is not complete", text)
		}
		lines = append(lines, line)
	}
	return lines, skips
}

// accessesOf returns how many accesses of that size are one op of the C program: as
// many as the notes have, or what the file holds of so large ones.
func accessesOf(size int) int { return min(accesses, fileSize/size) }

func TestCWritesTheSameRawText(t *testing.T) {
	program := buildBroken(t)
	for _, direction := range []string{"read", "write"} {
		for _, size := range []int{8, 1024, 65536} {
			out, err := exec.Command(program, direction, "right", "", strconv.Itoa(size)).Output()
			if err != nil {
				t.Fatalf("%s %d: %v", direction, size, err)
			}
			lines, _ := rawLines(t, string(out))
			block := fmt.Sprintf("Benchmark%s/lang=c/size=%d", strings.ToUpper(direction[:1])+direction[1:], size)
			if len(lines) < 3*minRounds || len(lines)%3 != 0 {
				t.Fatalf("%d lines", len(lines))
			}
			for i, line := range lines {
				if line.block != block || line.again != (i%3 == 2) {
					t.Fatalf("%+v", line)
				}
				// The table divides by the accesses, which C counts by itself.
				n := line.values["ns/op"] * line.values["MB/s"] / 1000 / float64(size)
				if want := float64(accessesOf(size)); math.Abs(n-want) > want/1000 {
					t.Errorf("%s %d: an op has %.2f accesses, not %.0f", direction, size, n, want)
				}
			}
		}
	}
}

func TestGoalChecksSeeWrongWays(t *testing.T) {
	program := filepath.Join(t.TempDir(), "broken")
	buildC(t, program, "-I../include", "c/testdata/broken_goals.c", "c/goals.c", "c/counters.c", "c/rounds.c")
	run := func(how string) (string, error) {
		cmd := exec.Command(program, t.TempDir())
		cmd.Env = append(os.Environ(), "BROKEN="+how)
		out, err := cmd.Output()
		return string(out), err
	}
	out, err := run("")
	if err != nil {
		t.Fatalf("the right ways: %v", err)
	}
	lines, skips := rawLines(t, out)
	if len(skips) == 0 || !strings.Contains(skips[len(skips)-1], "Nowhere") {
		t.Errorf("a state that cannot be had is not said: %v", skips)
	}
	if len(skips) == 2 { // on a file system of other folios
		t.Skipf("nothing to be checked here: %v", skips)
	}
	if len(lines) != 3 || lines[0].values["folio-KiB"] == 0 {
		t.Fatalf("%s", out)
	}
	for _, how := range []string{"nothing", "failing", "first", "last-byte", "short"} {
		var failed *exec.ExitError
		out, err := run(how)
		if !errors.As(err, &failed) || failed.ExitCode() != 1 || len(failed.Stderr) == 0 ||
			strings.Contains(out, "ns/op") {
			t.Errorf("%s: %v, and %q", how, err, out)
		}
	}
}

// What an engine of its own checks in the newer rows.
func TestWorkChecksSeeWrongWays(t *testing.T) {
	program := filepath.Join(t.TempDir(), "broken")
	buildC(t, program, "-I../include", "c/testdata/broken_work.c", "c/work.c", "c/stage.c", "c/memory.c", "c/counters.c",
		"c/calls.c",
		"c/rounds.c", "-pthread")
	run := func(kind, how string) ([]rawLine, []string, error) {
		dir := t.TempDir()
		out, err := exec.Command(program, kind, how, dir).Output()
		if left, _ := os.ReadDir(dir); len(left) != 0 {
			t.Errorf("%s %s has left %v", kind, how, left)
		}
		lines, skips := rawLines(t, string(out))
		return lines, skips, err
	}
	for _, kind := range []string{"read", "write", "cold", "latencies"} {
		lines, skips, err := run(kind, "right")
		if err != nil || len(skips) != 0 || len(lines) < 8 || len(lines)%4 != 0 {
			t.Fatalf("%s: %v, %v, %d lines", kind, err, skips, len(lines))
		}
		for i, line := range lines {
			if line.block != "BenchmarkBroken/lang=c/size=512/cache=resident" || line.again != (i%4 == 3) {
				t.Fatalf("%s: %+v", kind, line)
			}
			if size := line.values["ns/op"] * line.values["MB/s"] / 1000; line.values["ns/op"] > 10 && math.Abs(size-512) > 10 {
				t.Errorf("%s: an access has %.0f bytes: %+v", kind, size, line)
			}
			if v := line.values; kind == "latencies" &&
				!(v["p50-ns"] > 0 && v["p50-ns"] <= v["p90-ns"] && v["p90-ns"] <= v["p99-ns"] && v["p99.9-ns"] <= v["max-ns"]) {
				t.Errorf("latencies: %+v", v)
			}
		}
	}
	for _, kind := range []string{"read", "write"} {
		for _, how := range []string{"nothing", "first", "later", "failing", "few", "last-only", "half", "last-byte", "one-place",
			"middle", "unprepared", "closed"} {
			var failed *exec.ExitError
			if lines, _, err := run(kind, how); !errors.As(err, &failed) || failed.ExitCode() != 1 ||
				len(failed.Stderr) == 0 || (how != "later" && len(lines) != 0) {
				t.Errorf("%s %s: %v, %d lines", kind, how, err, len(lines))
			}
		}
	}
	if _, _, err := run("read", "one-slot"); err == nil {
		t.Error("a batch that is read into one place is not seen")
	}
	lines, skips, err := run("calls", "right")
	if len(skips) == 1 && strings.Contains(skips[0], "tracing is not allowed") {
		t.Log(skips[0])
	} else if err != nil || len(skips) != 0 || len(lines) == 0 {
		t.Errorf("calls: %v, %v, %d lines", err, skips, len(lines))
	}
	for _, line := range lines {
		want := 0.0
		if line.impl == "memory" {
			want = 1
		}
		if calls, counted := line.values["syscalls/op"]; counted != (len(skips) == 0) || calls != want && counted {
			t.Errorf("calls: %+v", line)
		}
	}
	if _, _, err := run("latencies", "failing"); err == nil {
		t.Error("an access that fails is not seen where their number is fixed")
	}
	if _, _, err := run("cold", "kept"); err == nil {
		t.Error("a file that stays in memory is not seen")
	}
	lines, skips, err = run("read", "absent")
	if err != nil || len(skips) != 1 || !strings.Contains(skips[0], "that is how it is named") || len(lines)%3 != 0 {
		t.Errorf("a way that is absent: %v, %v, %d lines", err, skips, len(lines))
	}
}

// The program as it is: every row that it lists can be measured by its name,
// and each block has what a report needs. The longer rows are left to full runs.
func TestCRows(t *testing.T) {
	program := filepath.Join(t.TempDir(), "bench-c")
	sources, err := filepath.Glob("../c/*.c")
	if err != nil {
		t.Fatal(err)
	}
	own, _ := filepath.Glob("c/*.c")
	own = slices.DeleteFunc(own, func(name string) bool { return name == "c/process.c" }) // a program by itself
	libs, _ := exec.Command("pkg-config", "--libs", "liburing").Output()
	args := append([]string{"-D_FILE_OFFSET_BITS=64", "-I../include", "-I../c", "-pthread"}, own...)
	buildC(t, program, append(append(args, sources...), strings.Fields(string(libs))...)...)
	list, err := exec.Command(program, "-list").Output()
	if err != nil {
		t.Fatal(err)
	}
	names := map[string]bool{}
	short := 0.0
	for _, line := range strings.Split(strings.TrimSuffix(string(list), "\n"), "\n") {
		f := strings.Split(line, "\t")
		seconds, err := strconv.ParseFloat(f[2], 64)
		if len(f) != 4 || names[f[0]] || (f[1] != "short" && f[1] != "full") || err != nil || seconds <= 0 || f[3] == "" {
			t.Errorf("%q", line)
		}
		names[f[0]] = true
		if f[1] == "short" {
			short += seconds
		}
	}
	if short > 100 {
		t.Errorf("the short rows take %.0f seconds", short)
	}
	for _, name := range []string{"Read", "RangeSync", "Append", "Growth", "Once", "Socket", "Message", "Allocate"} {
		if !names[name] {
			t.Errorf("there is no row %s", name)
			continue
		}
		dir := t.TempDir()
		cmd := exec.Command(program, "-dir", dir, "-row", name, "-seconds", "0.01")
		cmd.Stderr = os.Stderr
		out, err := cmd.Output()
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if left, _ := os.ReadDir(dir); len(left) != 0 {
			t.Errorf("%s has left %v", name, left)
		}
		lines, skips := rawLines(t, string(out))
		for _, skip := range skips {
			t.Log(skip)
		}
		checkBlocks(t, name, lines)
	}
	none := exec.Command(program, "-dir", t.TempDir(), "-row", "Once", "-seconds", "0.01")
	none.Env = append(os.Environ(), "BENCH_ONLY=/nowhere")
	if out, err := none.Output(); err == nil || len(out) != 0 {
		t.Errorf("a list that cannot be read wants nothing: %s", out)
	}
	for name, only := range map[string]string{"Read": "Read/lang=c/size=1024", "Scatter": "ScatterSmall/lang=c/size=64",
		"Once": "Once/lang=c/size=1024/cache=resident"} {
		list := filepath.Join(t.TempDir(), "only")
		os.WriteFile(list, []byte("Nowhere\n"+only+"\n"), 0o600)
		cmd := exec.Command(program, "-dir", t.TempDir(), "-row", name, "-seconds", "0.01")
		cmd.Env = append(os.Environ(), "BENCH_ONLY="+list)
		out, err := cmd.Output()
		if err != nil || strings.Count(string(out), "Row ") != 1 || !strings.Contains(string(out), "Row Benchmark"+only+"\t") {
			t.Errorf("%s alone: %v\n%s", only, err, out)
		}
	}
	for _, args := range [][]string{{}, {"-row", "Read"}, {"-dir", "."}, {"-dir", ".", "-row"}, {"-dir", ".", "-row", "Read", "-seconds", "0"},
		{"-dir", ".", "-row", "Reads"}, {"-dir", "/nowhere", "-row", "Read"}, {"-what"}} {
		out, err := exec.Command(program, args...).Output()
		var failed *exec.ExitError
		if !errors.As(err, &failed) || len(failed.Stderr) == 0 || len(out) != 0 {
			t.Errorf("%v: %v, %q", args, err, out)
		}
	}
}

// checkBlocks: a pair, mapview, somebody else and a limit in each block, which all its
// variants have the same number of lines in.
func checkBlocks(t *testing.T, row string, lines []rawLine) {
	t.Helper()
	type block struct {
		ours, limit, peer, pair bool
		count                   map[string]int
	}
	blocks := map[string]*block{}
	for _, line := range lines {
		if !strings.HasPrefix(line.block, "Benchmark"+row) {
			t.Errorf("%s: a line of %s", row, line.block)
		}
		b := blocks[line.block]
		if b == nil {
			b = &block{count: map[string]int{}}
			blocks[line.block] = b
		}
		switch line.impl {
		case "memory", "device", "kernel", "fault":
			b.limit = true
		case "mapview":
			b.ours = true
		default:
			b.peer = true
		}
		b.pair = b.pair || line.again
		b.count[fmt.Sprint(line.impl, " ", line.op, " ", line.again)]++
	}
	if len(blocks) == 0 {
		t.Errorf("%s: nothing was measured", row)
	}
	for name, b := range blocks {
		if !b.ours || !b.peer || !b.pair || !b.limit {
			t.Errorf("%s: ours %v, a peer %v, a pair %v, a limit %v", name, b.ours, b.peer, b.pair, b.limit)
		}
		rounds := map[int]bool{}
		for _, n := range b.count {
			rounds[n] = true
		}
		if len(rounds) != 1 {
			t.Errorf("%s: the variants have different numbers of rounds: %v", name, b.count)
		}
	}
}

func wantFailure(t *testing.T, program string, args ...string) {
	t.Helper()
	var failed *exec.ExitError
	out, err := exec.Command(program, args...).Output()
	if !errors.As(err, &failed) || failed.ExitCode() != 1 || len(failed.Stderr) == 0 || len(out) != 0 {
		t.Errorf("%v: %v, and %d bytes of results", args, err, len(out))
	}
}

// The order is another one in each round and in each process, and the same in each run;
// and so is where in the file a variant begins.
func TestOrdersOfTheCRunner(t *testing.T) {
	program := filepath.Join(t.TempDir(), "orders")
	buildC(t, program, "c/testdata/orders.c", "c/rounds.c")
	orders := func(lot string) string {
		cmd := exec.Command(program)
		cmd.Env = append(os.Environ(), "BENCH_LOT="+lot)
		out, err := cmd.Output()
		if err != nil {
			t.Fatal(err)
		}
		return string(out)
	}
	first, second := orders(""), orders("1")
	if first == second || first != orders("0") || second != orders("1") {
		t.Error("the orders of two processes are not two, or not those of each run")
	}
	places, begins := map[string]bool{}, map[string]bool{}
	for _, line := range strings.Split(strings.TrimSpace(first+second), "\n") {
		fields := strings.Fields(line)
		seen := map[string]bool{}
		for place, k := range fields[:5] {
			places[fmt.Sprint(place, k)], seen[k] = true, true
		}
		if len(seen) != 5 {
			t.Errorf("not an order: %s", line)
		}
		for _, begin := range fields[5:] {
			begins[begin] = true
		}
	}
	if len(places) != 25 || len(begins) != 2*40*5 {
		t.Errorf("%d places of 5 variants, %d beginnings", len(places), len(begins))
	}
}

func buildBroken(t *testing.T) string {
	t.Helper()
	program := filepath.Join(t.TempDir(), "broken")
	buildC(t, program, "c/testdata/broken.c", "c/rounds.c")
	return program
}

func buildC(t *testing.T, program string, sources ...string) {
	t.Helper()
	cc := strings.Fields(os.Getenv("CC"))
	if len(cc) == 0 {
		cc = []string{"cc"}
	}
	if _, err := exec.LookPath(cc[0]); err != nil {
		t.Skipf("no C compiler: %v", err)
	}
	args := append(cc[1:], "-std=c11", "-D_GNU_SOURCE", "-O1", "-o", program)
	if out, err := exec.Command(cc[0], append(args, sources...)...).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
}
