package main

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

func TestGoalChecksSeeWrongWays(t *testing.T) {
	program := filepath.Join(t.TempDir(), "broken")
	buildC(t, program, "-I../include", "c/testdata/broken_goals.c", "c/goals.c", "c/rounds.c")
	run := func(how string) (string, error) {
		cmd := exec.Command(program, t.TempDir(), "0.1")
		cmd.Env = append(os.Environ(), "BROKEN="+how)
		out, err := cmd.Output()
		return string(out), err
	}
	out, err := run("")
	if err != nil {
		t.Fatalf("the right ways: %v", err)
	}
	variants := readRaw(t, out)
	skips := strings.Count(out, skipLine)
	if !strings.Contains(out, skipLine) || !strings.Contains(out[strings.LastIndex(out, skipLine):], "Nowhere") {
		t.Errorf("a state that cannot be had is not said: %s", out)
	}
	if len(variants) > 0 {
		if v := variants[0]; v.keys["name"] != "Broken" || len(variants) != 3 || v.values["folio-KiB"] == nil {
			t.Errorf("%+v", v)
		}
	} else if skips != 2 { // on a file system of other folios
		t.Fatalf("%s", out)
	}
	if skips == 2 {
		t.Skipf("nothing to be checked here: %s", out)
	}
	for _, how := range []string{"nothing", "failing", "first", "last-byte", "short"} {
		var failed *exec.ExitError
		out, err := run(how)
		if !errors.As(err, &failed) || failed.ExitCode() != 1 || len(failed.Stderr) == 0 || out != "" {
			t.Errorf("%s: %v, and %q", how, err, out)
		}
	}
}
