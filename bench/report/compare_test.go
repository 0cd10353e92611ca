package main

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// A stepping runner takes its turns and prints rounds in which its variants take what
// it is told, but for some noise that differs from process to process: it is that of
// its place in the lot, the name of its folder.
const steppingRunner = `#!/bin/sh
case $1 in
-list) printf 'Read\tshort\t2\treads\nCold\tfull\t3\tcold reads\n'; exit ;;
esac
[ -d "$2" ] || exit 3
for round in 1 2 3 4 5; do
	printf x >&4
	[ "$(dd bs=1 count=1 <&3 2>/dev/null | wc -c)" = 1 ] || exit 4
	echo "$round $$" >>"$LOG"
done
[ -z "$BREAKS" ] || { echo "it broke" >&2; exit 1; }
for round in 1 2 3 4 5; do
	for row in "mapview/op=mv_read MV_READ" 'mmap/op=memcpy 1000' 'mmap/op=memcpy/again=1 1000'; do
		ns=$((${row##* } + 3 * ${2##*/} + round))
		printf 'Benchmark%s/lang=c/size=64/impl=%s-1\t1\t%d ns/op\n' "$4" "${row% *}" "$ns"
	done
done
`

func steppers(t *testing.T, times ...string) (programs string, log string) {
	t.Helper()
	dir := t.TempDir()
	var names []string
	for i, ns := range times {
		name := filepath.Join(dir, "runner"+string(rune('0'+i)))
		if err := os.WriteFile(name, []byte(strings.ReplaceAll(steppingRunner, "MV_READ", ns)), 0o700); err != nil {
			t.Fatal(err)
		}
		names = append(names, name)
	}
	t.Setenv("LOG", filepath.Join(dir, "log"))
	return "c=" + strings.Join(names, ","), filepath.Join(dir, "log")
}

func compared2(t *testing.T, programs string, args ...string) (string, error) {
	t.Helper()
	dir := t.TempDir()
	var out bytes.Buffer
	err := compareCommand(&out, append(append([]string{"-files", dir, "-pairs", "3"}, args...), programs))
	if left, _ := filepath.Glob(filepath.Join(dir, "*")); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
	return out.String(), err
}

func TestCompareTellsWhatChanged(t *testing.T) {
	for ns, want := range map[string]string{
		"1000": "nothing changed beyond the noise",
		"1010": "nothing changed beyond the noise",
		"1500": "slower: 1.50x the time",
		"500":  "faster: 0.50",
	} {
		programs, _ := steppers(t, "1000", ns)
		out, err := compared2(t, programs)
		if err != nil || !strings.Contains(out, want) {
			t.Errorf("%s: no %q: %v\n%s", ns, want, err, out)
		}
		if strings.Contains(out, "memcpy") {
			t.Errorf("a variant whose code is the same is told:\n%s", out)
		}
	}
}

// The three processes of a lot run round by round: no round of one begins before the
// others have had theirs.
func TestCompareTakesTurns(t *testing.T) {
	programs, log := steppers(t, "1000", "1000")
	if _, err := compared2(t, programs); err != nil {
		t.Fatal(err)
	}
	text, _ := os.ReadFile(log)
	lines := strings.Split(strings.TrimSpace(string(text)), "\n")
	if len(lines) != 3*3*5 {
		t.Fatalf("%d rounds", len(lines))
	}
	for i, line := range lines {
		if want := byte('1' + i/3%5); line[0] != want {
			t.Fatalf("line %d is of round %c, not %c:\n%s", i, line[0], want, text)
		}
	}
}

func TestCompareSaysWhatIsWrong(t *testing.T) {
	programs, _ := steppers(t, "1000", "1000")
	for _, args := range [][]string{{"-row", "Raed"}, {"-pairs", "two"}} {
		if _, err := compared2(t, programs, args...); err == nil {
			t.Errorf("%v: no error", args)
		}
	}
	t.Setenv("BREAKS", "1")
	if _, err := compared2(t, programs); err == nil || !strings.Contains(err.Error(), "it broke") {
		t.Errorf("a runner that fails: %v", err)
	}
}

func TestCompareWantsACommit(t *testing.T) {
	for ref, sentence := range map[string]string{"": "REF has to name a commit", "nowhere": "there is no commit 'nowhere'"} {
		build := t.TempDir()
		os.Mkdir(filepath.Join(build, "bench"), 0o700)
		cmd := exec.Command("../compare", ref)
		cmd.Env = append(os.Environ(), "BUILD="+build)
		out, err := cmd.CombinedOutput()
		if err == nil || !strings.Contains(string(out), sentence) {
			t.Errorf("%q: %v: %s", ref, err, out)
		}
		if left, _ := filepath.Glob(filepath.Join(build, "bench", "*")); len(left) > 0 {
			t.Errorf("left behind: %v", left)
		}
	}
}
