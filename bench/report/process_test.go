package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// The compiler's stand-in makes a program that adds up as it should, but for one way.
const summingCC = `#!/bin/sh
while [ "$1" != -o ]; do shift; done
cat >"$2" <<'END'
#!/bin/sh
[ "$1" != "$WRONG" ] || { echo 12; exit; }
od -An -v -tu1 "$2" | awk '{ for (i = 1; i <= NF; i++) sum += $i } END { printf "%.0f\n", sum }'
END
chmod +x "$2"
`

// A stand-in for hyperfine writes what it would have measured.
const fakeHyperfine = `#!/bin/sh
while [ "$1" != --export-csv ]; do shift; done
printf 'command,mean,stddev,median,user,system,min,max\nread,0.002,0,0.002,0,0,0.001,0.003\nmmap,0.001,0,0.001,0,0,0.001,0.001\n' >"$2"
`

func TestWholePrograms(t *testing.T) {
	build := t.TempDir()
	os.Mkdir(filepath.Join(build, "bench"), 0o700)
	for name, text := range map[string]string{"cc": summingCC, "bin/hyperfine": fakeHyperfine} {
		os.Mkdir(filepath.Join(build, "bin"), 0o700)
		if err := os.WriteFile(filepath.Join(build, name), []byte(text), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	run := func(env ...string) (string, error) {
		cmd := exec.Command("../process", build, build)
		cmd.Env = append(os.Environ(), "CC="+filepath.Join(build, "cc"), "SIZES=4K 8K", "BENCH_SECONDS=5", "WRONG=",
			"PATH="+filepath.Join(build, "bin")+":"+os.Getenv("PATH"))
		cmd.Env = append(cmd.Env, env...)
		out, err := cmd.CombinedOutput()
		if left, _ := filepath.Glob(filepath.Join(build, "bench-files*")); len(left) > 0 {
			t.Errorf("left behind: %v", left)
		}
		return string(out), err
	}
	out, err := run()
	if err != nil || strings.Count(out, "all print the right sum") != 2 || !strings.Contains(strings.Join(strings.Fields(out), " "), "mmap 1.000 0.000 1.000 1.000 1.000 0.500") {
		t.Errorf("%v\n%s", err, out)
	}
	if out, err := run("WRONG=mapview"); err == nil || !strings.Contains(out, "mapview of ") || !strings.Contains(out, "printed 12, not ") {
		t.Errorf("a wrong sum: %v\n%s", err, out)
	}
	// Without hyperfine the sums are verified all the same.
	tools := filepath.Join(build, "tools")
	os.Mkdir(tools, 0o700)
	for _, name := range []string{"sh", "od", "awk", "head", "sync", "mktemp", "rm", "cat", "chmod", "dirname", "printf"} {
		if path, err := exec.LookPath(name); err == nil {
			os.Symlink(path, filepath.Join(tools, name))
		}
	}
	if out, err := run("PATH=" + tools); err != nil || strings.Count(out, "SKIPPED whole programs") != 2 {
		t.Errorf("without hyperfine: %v\n%s", err, out)
	}
}
