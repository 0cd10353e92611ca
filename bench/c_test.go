package main

import (
	"errors"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
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
	for _, text := range strings.Split(strings.TrimSuffix(text, "\n"), "\n") {
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

func wantFailure(t *testing.T, program string, args ...string) {
	t.Helper()
	var failed *exec.ExitError
	out, err := exec.Command(program, args...).Output()
	if !errors.As(err, &failed) || failed.ExitCode() != 1 || len(failed.Stderr) == 0 || len(out) != 0 {
		t.Errorf("%v: %v, and %d bytes of results", args, err, len(out))
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
