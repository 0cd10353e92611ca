package main

import (
	"errors"
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

func TestCWritesTheSameRawText(t *testing.T) {
	program := buildBroken(t)
	for _, direction := range []string{"read", "write"} {
		for _, size := range []int{8, 1024, 65536} {
			out, err := exec.Command(program, direction, "right", "", strconv.Itoa(size)).Output()
			if err != nil {
				t.Fatalf("%s %d: %v", direction, size, err)
			}
			variants := readRaw(t, string(out))
			var s *rawVariant
			for _, v := range variants {
				if v.keys["lang"] != "c" || v.keys["size"] != strconv.Itoa(size) {
					t.Fatalf("%s", out)
				}
				if v.keys["again"] != "" {
					s = v
				}
			}
			if s == nil || len(s.values["ns/op"]) < minRounds || len(s.values["MB/s"]) < minRounds {
				t.Fatalf("%s %d: no second of a pair with %d rounds: %s", direction, size, minRounds, out)
			}
			// The table divides by the accesses, which C counts by itself.
			n := s.values["ns/op"][0] * s.values["MB/s"][0] / 1000 / float64(size)
			if want := float64(accessesOf(size)); math.Abs(n-want) > want/1000 {
				t.Errorf("%s %d: an op has %.2f accesses, not %.0f", direction, size, n, want)
			}
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
