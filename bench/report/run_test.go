package main

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// A fakeGo "builds" a program that prints half a result and fails.
const fakeGo = `#!/bin/sh
case $1 in
build) case $4 in */report) exit 0 ;; esac
	printf '#!/bin/sh\necho BenchmarkHalf\nexit 3\n' >"$4"; chmod +x "$4" ;;
*) echo fake ;;
esac
`

// A slowGo never comes to an end by itself.
const slowGo = `#!/bin/sh
echo $$ >"$0.pid"
exec sleep 60
`

// runScript prepares bench/run with a build folder of its own, in which a text
// stands in for the Go tool.
func runScript(t *testing.T, goTool string, env ...string) (script *exec.Cmd, build string) {
	t.Helper()
	build = t.TempDir()
	tool := filepath.Join(build, "go")
	for name, text := range map[string]string{"go": goTool, "libmapview.a": ""} {
		if err := os.WriteFile(filepath.Join(build, name), []byte(text), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	script = exec.Command("../run")
	script.Env = append(os.Environ(), "BUILD="+build, "GO="+tool, "CC=true", "BENCH_SECONDS=5", "BENCH_DIR=")
	script.Env = append(script.Env, env...)
	return script, build
}

func wantNothingLeft(t *testing.T, build string) {
	t.Helper()
	left, _ := filepath.Glob(filepath.Join(build, "bench", "bench-files*"))
	texts, _ := filepath.Glob(filepath.Join(build, "bench", "*.txt"))
	if len(left)+len(texts) != 0 {
		t.Errorf("left behind: %v %v", left, texts)
	}
}

func TestRunRefusesBadSettings(t *testing.T) {
	for _, c := range []struct{ env, sentence string }{
		{"BENCH_SECONDS=soon", "BENCH_SECONDS"},
		{"BENCH_SECONDS=0", "BENCH_SECONDS"},
		{"BENCH_SECONDS=-5", "BENCH_SECONDS"},
		{"BENCH_DIR=/nowhere", "BENCH_DIR"},
		{"BUILD=/nowhere", "libmapview.a is missing"},
		{"GO=false", "the Go part does not build"},
		{"CC=false", "the C part does not build"},
	} {
		script, build := runScript(t, fakeGo, c.env)
		out, err := script.CombinedOutput()
		if err == nil || !strings.Contains(string(out), c.sentence) {
			t.Errorf("%s: %v: %s", c.env, err, out)
		}
		wantNothingLeft(t, build)
	}
}

func TestRunShowsNoTableOfAFailedRun(t *testing.T) {
	script, build := runScript(t, fakeGo)
	var stdout, stderr bytes.Buffer
	script.Stdout, script.Stderr = &stdout, &stderr
	if err := script.Run(); err == nil || stdout.Len() != 0 || !strings.Contains(stderr.String(), "run failed") {
		t.Errorf("%v\n%s%s", err, &stdout, &stderr)
	}
	wantNothingLeft(t, build)
}

func TestRunCleansUpWhenItIsEnded(t *testing.T) {
	script, build := runScript(t, slowGo)
	if err := script.Start(); err != nil {
		t.Fatal(err)
	}
	pid := awaitPid(t, filepath.Join(build, "go.pid"))
	script.Process.Signal(syscall.SIGTERM)
	script.Wait()
	if code := script.ProcessState.ExitCode(); code != 143 {
		t.Errorf("exit status %d", code)
	}
	if err := syscall.Kill(pid, 0); err != syscall.ESRCH {
		t.Errorf("what it had started still runs: %v", err)
		syscall.Kill(pid, syscall.SIGKILL)
	}
	wantNothingLeft(t, build)
}

func awaitPid(t *testing.T, name string) int {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		text, _ := os.ReadFile(name)
		if pid, err := strconv.Atoi(strings.TrimSpace(string(text))); err == nil {
			return pid
		}
	}
	t.Fatal("bench/run did not start the Go tool in ten seconds")
	return 0
}
