package main

import (
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// Both runners wait before each of their rounds, the warm-up among them, and
// give up when nobody is there to give them a turn. The Go runner is this test,
// called again.
func TestRunnersTakeTurns(t *testing.T) {
	c := filepath.Join(t.TempDir(), "broken")
	buildC(t, c, "c/testdata/broken.c", "c/rounds.c")
	for name, command := range map[string][]string{
		"C":  {c, "read", "right", "", "1024"},
		"Go": {os.Args[0], "-test.run=^TestRunnerThatSteps$"},
	} {
		run := func(turns int) (asked int, err error) {
			cmd := exec.Command(command[0], command[1:]...)
			cmd.Env = append(os.Environ(), "BENCH_STEP=3,4")
			in, turn, _ := os.Pipe()
			over, out, _ := os.Pipe()
			cmd.ExtraFiles = []*os.File{in, out}
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			in.Close()
			out.Close()
			for one := []byte{0}; ; asked++ {
				if asked == turns {
					turn.Close()
				}
				if n, err := over.Read(one); n != 1 {
					if err != io.EOF {
						t.Error(err)
					}
					break
				}
				if asked < turns {
					turn.Write(one)
				}
			}
			over.Close()
			return asked, cmd.Wait()
		}
		asked, err := run(1 << 20)
		if err != nil || asked < minRounds+1 {
			t.Errorf("%s: asked for %d turns, %v", name, asked, err)
		}
		if asked, err := run(3); err == nil || asked != 4 {
			t.Errorf("%s: without a turn: asked for %d, %v", name, asked, err)
		}
	}
}

func TestRunnerThatSteps(t *testing.T) {
	if os.Getenv("BENCH_STEP") == "" {
		t.Skip("only as a child of TestRunnersTakeTurns")
	}
	b := &block{name: "Read", size: 1, check: newReadCheck(make([]byte, accesses), 1, 1),
		variants: []variant{{impl: "memory", op: "copy", pass: func(buf []byte, stride int) error {
			for i := range accesses {
				buf[i*stride] = 0
			}
			return nil
		}}}}
	if _, err := b.measure(time.Millisecond, func(int, int) {}); err != nil {
		t.Fatal(err)
	}
}

func TestStepRefusesWhatIsNoDescriptors(t *testing.T) {
	if os.Getenv("BENCH_STEP") != "" {
		if err := step(); err == nil || !strings.Contains(err.Error(), "not two descriptors") {
			t.Errorf("no error: %v", err)
		}
		return
	}
	cmd := exec.Command(os.Args[0], "-test.run=^TestStepRefusesWhatIsNoDescriptors$")
	cmd.Env = append(os.Environ(), "BENCH_STEP=three")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v: %s", err, out)
	}
}
