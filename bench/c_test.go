package main

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
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
	ways := []string{"nothing", "first", "closed", "timed", "whole", "last", "one-page", "backwards", "short-timed", "short-whole"}
	for _, direction := range []string{"read", "write"} {
		for _, way := range ways {
			wantFailure(t, program, direction, way, file)
		}
	}
	wantFailure(t, program, "write", "lost", file)
}

func TestCWritesTheSameRawText(t *testing.T) {
	program := buildBroken(t)
	for _, direction := range []string{"read", "write"} {
		out, err := exec.Command(program, direction, "right", "").Output()
		if err != nil {
			t.Fatalf("%s: %v", direction, err)
		}
		r := readRaw(t, string(out))
		if len(r.groups) != 1 || r.groups[0].lang != "c" || r.groups[0].size != 1024 {
			t.Fatalf("%s", out)
		}
		noise, s, err := r.groups[0].noise()
		if err != nil || noise.median <= 0 || len(s.values["ns/op"]) < minRounds || len(s.values["MB/s"]) < minRounds {
			t.Errorf("%s: %v, %d rounds, %v", direction, noise, len(s.values["ns/op"]), err)
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
	cc := strings.Fields(os.Getenv("CC"))
	if len(cc) == 0 {
		cc = []string{"cc"}
	}
	if _, err := exec.LookPath(cc[0]); err != nil {
		t.Skipf("no C compiler: %v", err)
	}
	program := filepath.Join(t.TempDir(), "broken")
	args := append(cc[1:], "-std=c11", "-D_GNU_SOURCE", "-O1", "-o", program, "c/testdata/broken.c", "c/rounds.c")
	if out, err := exec.Command(cc[0], args...).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return program
}
