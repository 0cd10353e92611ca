package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// rustProgram builds the Rust runner where there is cargo, and runs its own tests,
// in which variants lie.
func rustProgram(t *testing.T) string {
	t.Helper()
	if _, err := exec.LookPath("cargo"); err != nil {
		t.Skip("SKIPPED: there is no cargo")
	}
	lib := os.Getenv("MAPVIEW_LIB")
	if lib == "" {
		lib = "../build"
	}
	lib, err := filepath.Abs(lib)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(lib, "libmapview.a")); err != nil {
		t.Skipf("SKIPPED: 'make library' was not run: %v", err)
	}
	target := filepath.Join(lib, "bench", "rust")
	cargo := func(args ...string) (string, error) {
		c := exec.Command("cargo", append(args, "--locked", "--manifest-path", "rust/Cargo.toml")...)
		c.Env = append(os.Environ(), "MAPVIEW_LIB="+lib, "CARGO_TARGET_DIR="+target)
		out, err := c.CombinedOutput()
		return strings.TrimSpace(string(out)), err
	}
	if out, err := cargo("fetch"); err != nil {
		t.Skipf("SKIPPED: the crates cannot be had: %v: %s", err, out[strings.LastIndexByte(out, '\n')+1:])
	}
	for _, args := range [][]string{{"test", "--release"}, {"build", "--release"}} {
		if out, err := cargo(args...); err != nil {
			t.Fatalf("cargo %s: %v\n%s", strings.Join(args, " "), err, out)
		}
	}
	return filepath.Join(target, "release", "bench-rust")
}

func TestRustRunner(t *testing.T) {
	program := rustProgram(t)
	out, err := exec.Command(program, "-list").Output()
	if err != nil || !strings.Contains(string(out), "WriteSync\tfull\t") {
		t.Errorf("-list: %v\n%s", err, out)
	}
	dir := t.TempDir()
	raw, err := exec.Command(program, "-dir", dir, "-row", "WriteSync", "-seconds", "0").Output()
	if err != nil {
		t.Fatalf("%v\n%s", err, raw)
	}
	again := 0
	for _, v := range readRaw(t, string(raw)) {
		if v.keys["lang"] != "rust" || v.keys["size"] != "4096" || len(v.values["ns/op"]) < fewRounds || v.values["MB/s"][0] <= 0 {
			t.Errorf("%+v", v)
		}
		if v.keys["again"] == "1" {
			again++
		}
	}
	if again != 1 || !strings.Contains(string(raw), "Row BenchmarkWriteSync/lang=rust/size=4096\t") {
		t.Errorf("%d second ones of a pair\n%s", again, raw)
	}
	if left, _ := os.ReadDir(dir); len(left) != 0 {
		t.Errorf("left behind: %v", left)
	}
	list := filepath.Join(dir, "only")
	os.WriteFile(list, []byte("Nowhere\nHot/lang=rust/size=4096/set=1MiB/pattern=rand/cache=resident\n"), 0o600)
	only := exec.Command(program, "-dir", dir, "-row", "Hot", "-seconds", "0.01")
	only.Env = append(os.Environ(), "BENCH_ONLY="+list)
	if out, err := only.Output(); err != nil || strings.Count(string(out), "Row ") != 1 || !strings.Contains(string(out), "Row BenchmarkHot/lang=rust/size=4096/") {
		t.Errorf("one block alone: %v\n%s", err, out)
	}
	for _, args := range [][]string{{}, {"-dir", dir, "-row", "Nowhere"}, {"-dir", dir, "-row", "Hot", "-seconds", "soon"}} {
		if out, err := exec.Command(program, args...).CombinedOutput(); err == nil || len(out) == 0 {
			t.Errorf("%v: %v, %s", args, err, out)
		}
	}
}
