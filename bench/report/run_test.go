package main

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// The report is built once, for bench/run, which is given a stand-in for the Go tool
// and the C compiler: they "build" runners that are shell scripts.
var reportProgram = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "report")
	if err != nil {
		return "", err
	}
	program := filepath.Join(dir, "report")
	out, err := exec.Command("go", "build", "-buildvcs=false", "-o", program, ".").CombinedOutput()
	if err != nil {
		err = fmt.Errorf("%w: %s", err, out)
	}
	return program, err
})

func TestMain(m *testing.M) {
	rc := m.Run()
	if program, err := reportProgram(); err == nil {
		os.RemoveAll(filepath.Dir(program))
	}
	os.Exit(rc)
}

const fakeGo = `#!/bin/sh
case $1 in
build)
	case $4 in
	*/report) exec cp "$REPORT" "$4" ;;
	*) exec cp "$RUNNER" "$4" ;;
	esac ;;
*) echo fake ;;
esac
`

const fakeCC = `#!/bin/sh
while [ $# -gt 0 ]; do
	[ "$1" != -o ] || cp "$RUNNER" "$2"
	shift
done
`

// A runner notes what it is asked for. It fails, sleeps (AFTER so many processes), prints
// half a line or nothing where it is told to; of the row DIFFERS one process in two
// says that mapview takes longer.
const fakeRunner = `#!/bin/sh
case $1 in
-list) printf 'Read\tshort\t2\treads\nOnce\tshort\t1\tfiles used once\nCold\tfull\t3\tcold reads\n'; exit ;;
esac
lang=${0##*-}
[ -z "$LOTS" ] || echo "lot $lang $4 $BENCH_LOT" >>"$LOG.lots"
echo "$lang $4 $6${BENCH_ONLY:+ only $(cat "$BENCH_ONLY")}" >>"$LOG"
calls=$(grep -c "^$lang $4 " "$LOG")
touch "$2/file"
[ "$FAILS" != "$4" ] || { echo "it went wrong" >&2; exit 1; }
[ "$SLEEPS" != "$4" ] || [ "$calls" -le "${AFTER:-0}" ] || { echo $$ >"$LOG.pid"; exec sleep 60; }
[ "$MUTE" != "$4" ] || [ -z "$BENCH_ONLY" ] || exit 0
[ "$HALF" != "$4" ] || { printf 'BenchmarkRead/lang=%s/size=1-1 1' "$lang"; exit; }
mapview=100 again=100
[ "$DIFFERS" != "$4" ] || mapview=$((100 + calls % 2 * ${BY:-10}))
[ "$UNQUIET" != "$4" ] || again=$((100 + calls % 2 * 10))
[ "$TAKES" != "$4" ] || sleep 0.2
for round in 1 2 3; do
	printf 'Benchmark%s/lang=%s/size=64/impl=mapview/op=mv_read-1\t1\t%s ns/op\n' "$4" "$lang" "$mapview"
	for row in 'mmap/op=memcpy' 'memory/op=memcpy'; do
		printf 'Benchmark%s/lang=%s/size=64/impl=%s-1\t1\t100 ns/op\n' "$4" "$lang" "$row"
	done
	printf 'Benchmark%s/lang=%s/size=64/impl=mmap/op=memcpy/again=1-1\t1\t%s ns/op\n' "$4" "$lang" "$again"
done
`

// A slowGo never comes to an end by itself.
const slowGo = `#!/bin/sh
echo $$ >"$0.pid"
exec sleep 60
`

type fakeBench struct {
	t     *testing.T
	build string
	env   []string
}

func newFakeBench(t *testing.T, goTool string, env ...string) *fakeBench {
	t.Helper()
	report, err := reportProgram()
	if err != nil {
		t.Fatal(err)
	}
	b := &fakeBench{t: t, build: filepath.Join(t.TempDir(), "a build")}
	os.Mkdir(b.build, 0o700)
	// CC may hold flags, so it alone cannot lie in a folder with a space.
	for name, text := range map[string]string{"go": goTool, "../cc": fakeCC, "runner": fakeRunner, "libmapview.a": ""} {
		if err := os.WriteFile(b.path(name), []byte(text), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	b.env = append(os.Environ(), "BUILD="+b.build, "GO="+b.path("go"), "CC="+b.path("../cc"), "CARGO=false", "REPORT="+report,
		"RUNNER="+b.path("runner"), "LOG="+b.path("log"), "BENCH_SECONDS=5", "BENCH_DIR=", "ROW=", "FRESH=", "REF=", "FAILS=", "SLEEPS=", "AFTER=", "HALF=", "DIFFERS=", "BY=", "UNQUIET=", "TAKES=", "LOTS=", "MUTE=", "BENCH_ONLY=")
	b.env = append(b.env, env...)
	return b
}

func (b *fakeBench) path(name string) string { return filepath.Join(b.build, name) }

// script is a call of bench/run, with the words that set something in its environment.
func (b *fakeBench) script(words []string) *exec.Cmd {
	var args, env []string
	for _, word := range words {
		if strings.Contains(word, "=") {
			env = append(env, word)
		} else {
			args = append(args, word)
		}
	}
	script := exec.Command("../run", args...)
	script.Env = append(b.env[:len(b.env):len(b.env)], env...)
	return script
}

func (b *fakeBench) run(words ...string) (stdout, stderr string, err error) {
	b.t.Helper()
	script := b.script(words)
	var out, errs bytes.Buffer
	script.Stdout, script.Stderr = &out, &errs
	err = script.Run()
	return out.String(), errs.String(), err
}

// log returns what the runners were asked for since the last call.
func (b *fakeBench) log() string {
	text, _ := os.ReadFile(b.path("log"))
	os.Remove(b.path("log"))
	return string(text)
}

func (b *fakeBench) wantNoFilesLeft() {
	b.t.Helper()
	left, _ := filepath.Glob(b.path("bench/bench-files*"))
	for _, form := range []string{"*/*.new", "short/*.part"} { // those of a full run are taken up again
		parts, _ := filepath.Glob(b.path("bench/raw/" + form))
		left = append(left, parts...)
	}
	if len(left) != 0 {
		b.t.Errorf("left behind: %v", left)
	}
}

func TestRunRefusesBadSettings(t *testing.T) {
	for _, c := range []struct{ env, sentence string }{
		{"BENCH_SECONDS=soon", "BENCH_SECONDS"},
		{"BENCH_SECONDS=0", "BENCH_SECONDS"},
		{"BENCH_SECONDS=-5", "BENCH_SECONDS"},
		{"BENCH_DIR=/nowhere", "BENCH_DIR"},
		{"BUILD=/nowhere", "libmapview.a is missing"},
		{"GO=false", "the report does not build"},
		{"CC=false", "the C part does not build"},
		{"ROW=Raed", "there is no row \"Raed\". The rows are:\n  Read"},
	} {
		b := newFakeBench(t, fakeGo)
		_, text, err := b.run(c.env)
		if err == nil || !strings.Contains(text, c.sentence) {
			t.Errorf("%s: %v: %s", c.env, err, text)
		}
		b.wantNoFilesLeft()
	}
	if _, text, err := newFakeBench(t, fakeGo).run("quickly"); err == nil || !strings.Contains(text, "not: quickly") {
		t.Errorf("%v: %s", err, text)
	}
}

func TestRunMeasuresTheShortRowsOfAllRunners(t *testing.T) {
	b := newFakeBench(t, fakeGo, "BENCH_SECONDS=3")
	out, text, err := b.run()
	if err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	// 3 s over rows that need 6: one second for Read, half of one for Once.
	if got := b.log(); got != "c Read 1.000\nc Once 0.500\ngo Read 1.000\ngo Once 0.500\n" {
		t.Errorf("asked for %q", got)
	}
	for _, want := range []string{"C Read, 64 bytes", "Go Once, 64 bytes", "mapview loses"} {
		if !strings.Contains(out, want) {
			t.Errorf("no %q in\n%s", want, out)
		}
	}
	if !strings.Contains(text, "row 2 of 4, ") {
		t.Errorf("no progress: %s", text)
	}
	b.wantNoFilesLeft()

	if out, text, err = b.run("ROW=Cold Read"); err != nil || strings.Count(out, "Cold, 64 bytes") < 2 {
		t.Errorf("%v %s", err, text)
	}
}

// Rows of some length are run in several processes, here of few rounds, so in two;
// and the rows take turns.
func TestRunTakesSeveralProcesses(t *testing.T) {
	b := newFakeBench(t, fakeGo, "BENCH_SECONDS=")
	if _, text, err := b.run("ROW=Cold"); err != nil {
		t.Fatal(text)
	}
	if got := b.log(); got != "c Cold 0.600\ngo Cold 0.600\nc Cold 2.400\ngo Cold 2.400\n" {
		t.Errorf("asked for %q", got)
	}
}

// As little time as can be asked for is still some, for every runner.
func TestRunOfNoTime(t *testing.T) {
	b := newFakeBench(t, fakeGo, "BENCH_SECONDS=0.0001")
	if _, text, err := b.run("ROW=Cold"); err != nil {
		t.Fatal(text)
	}
	if got := b.log(); got != "c Cold 0.001\ngo Cold 0.001\n" {
		t.Errorf("asked for %q", got)
	}
}

// Some rows by name do not take the place of a run of all.
func TestRowsOfAFullRunLeaveItAsItIs(t *testing.T) {
	b := newFakeBench(t, fakeGo)
	for _, row := range []string{"", "Cold"} {
		if _, text, err := b.run("full", "ROW="+row); err != nil {
			t.Fatal(text)
		}
	}
	for folder, want := range map[string]int{"full": 8, "row": 3} { // with that of what is skipped
		if texts, _ := filepath.Glob(b.path("bench/raw/" + folder + "/*.txt")); len(texts) != want {
			t.Errorf("%s: %v", folder, texts)
		}
	}
}

// A row that fails leaves no table and no raw text, not even of half a line.
func TestRunShowsNoTableOfAFailedRun(t *testing.T) {
	for env, sentence := range map[string]string{"FAILS=Once": "the row Once of the c runner failed", "HALF=Read": "the raw text of the row Read"} {
		b := newFakeBench(t, fakeGo)
		out, text, err := b.run(env)
		if err == nil || strings.Contains(out, "noise") || !strings.Contains(text, sentence) {
			t.Errorf("%s: %v\n%s%s", env, err, out, text)
		}
		if texts, _ := filepath.Glob(b.path("bench/raw/short/*" + strings.SplitN(env, "=", 2)[1] + "*")); len(texts) > 0 {
			t.Errorf("%s: there is %v", env, texts)
		}
		b.wantNoFilesLeft()
	}
}

func TestFullRunIsResumed(t *testing.T) {
	b := newFakeBench(t, fakeGo)
	b.end("SLEEPS=Cold", "full")
	if got := strings.Count(b.log(), "\n"); got != 3 {
		t.Errorf("%d rows begun before the end", got)
	}
	full, runner := b.path("bench/raw/full"), "c="+b.path("bench/bench-c")
	if rows, err := missingRows(full, []string{runner}); err != nil || strings.Join(rows, ", ") != "c Cold" {
		t.Errorf("missing: %v, %v", rows, err)
	}
	os.WriteFile(b.path("gnuplot"), nil, 0o700)
	t.Setenv("PATH", b.build+":"+os.Getenv("PATH"))
	page := b.path("RESULTS.md")
	err := resultsCommand(&bytes.Buffer{}, []string{"-page", page, "-charts", b.path("charts"), full, runner})
	if _, none := os.Stat(page); err == nil || none == nil || !strings.HasSuffix(err.Error(), "it lacks: c Cold") {
		t.Errorf("a page of a run that is not through: %v", err)
	}
	out, text, err := b.run("full")
	if err != nil || !strings.Contains(text, "2 of 7 rows are there from a run of the same programs and stay; FRESH=1") {
		t.Fatalf("%v: %s", err, text)
	}
	if got := b.log(); strings.Count(got, "\n") != 4 || strings.Contains(got, "c Read") || !strings.Contains(got, "c Cold") {
		t.Errorf("asked for %q", got)
	}
	if strings.Count(out, "64 bytes\n") < 6 {
		t.Errorf("not all rows in the table:\n%s", out)
	}
	// A file that was cut is not whole.
	cut := b.path("bench/raw/full/001-c-Read.txt")
	whole, _ := os.ReadFile(cut)
	os.WriteFile(cut, whole[:bytes.Index(whole, []byte(wholeLine))], 0o600)
	if err := printTable(&bytes.Buffer{}, []string{filepath.Dir(cut)}); err == nil || !strings.Contains(err.Error(), "not whole") {
		t.Errorf("a table of a raw text that is not whole: %v", err)
	}
	b.run("full")
	if got := b.log(); strings.Count(got, "\n") != 1 || !strings.Contains(got, "c Read") {
		t.Errorf("asked for %q", got)
	}
	// A row that comes before the others moves their numbers alone.
	moved := b.path("bench/raw/full/007-c-Read.txt")
	os.Rename(cut, moved)
	if _, text, err := b.run("full"); err != nil || b.log() != "" {
		t.Errorf("a row of another number is run again: %v %s", err, text)
	}
	b.run("full", "FRESH=1")
	if got := strings.Count(b.log(), "\n"); got != 6 {
		t.Errorf("FRESH=1 asked for %d rows", got)
	}
	// Another program is another run.
	os.WriteFile(b.path("runner"), []byte(fakeRunner+"# other\n"), 0o700)
	b.run("full")
	if got := strings.Count(b.log(), "\n"); got != 6 {
		t.Errorf("another program: asked for %d rows", got)
	}
}

// end starts bench/run, as run does, and ends it when a runner sleeps.
func (b *fakeBench) end(words ...string) {
	b.t.Helper()
	os.Remove(b.path("log.pid"))
	script := b.script(words)
	if err := script.Start(); err != nil {
		b.t.Fatal(err)
	}
	pid := awaitPid(b.t, b.path("log.pid"))
	script.Process.Signal(syscall.SIGTERM)
	script.Wait()
	if code := script.ProcessState.ExitCode(); code != 143 {
		b.t.Errorf("exit status %d", code)
	}
	wantEnded(b.t, pid)
	b.wantNoFilesLeft()
}

func TestRunCleansUpWhenItIsEnded(t *testing.T) {
	b := newFakeBench(t, fakeGo)
	b.end("SLEEPS=Read")

	b = newFakeBench(t, slowGo)
	script := exec.Command("../run")
	script.Env = b.env
	if err := script.Start(); err != nil {
		t.Fatal(err)
	}
	pid := awaitPid(t, b.path("go.pid"))
	script.Process.Signal(syscall.SIGTERM)
	script.Wait()
	if code := script.ProcessState.ExitCode(); code != 143 {
		t.Errorf("exit status %d", code)
	}
	wantEnded(t, pid)
}

func wantEnded(t *testing.T, pid int) {
	t.Helper()
	for deadline := time.Now().Add(5 * time.Second); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		if syscall.Kill(pid, 0) == syscall.ESRCH {
			return
		}
	}
	t.Error("what it had started still runs")
	syscall.Kill(pid, syscall.SIGKILL)
}

func awaitPid(t *testing.T, name string) int {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		text, _ := os.ReadFile(name)
		if pid, err := strconv.Atoi(strings.TrimSpace(string(text))); err == nil {
			return pid
		}
	}
	t.Fatalf("bench/run has not come to %s in time", name)
	return 0
}

// Rows that take far longer than they say are cut short, but not to one process.
func TestRowsThatTakeTooLong(t *testing.T) {
	for _, c := range []struct {
		done int
		took float64
		want bool
	}{{1, 60, false}, {2, 2, false}, {2, 4, false}, {2, 5.1, true}, {4, 4, false}, {4, 7, true}} {
		five := course{task: task{budget: 5, processes: 5}, done: c.done, took: c.took}
		if got := five.tooLong(); got != c.want {
			t.Errorf("%d processes in %v s: %v", c.done, c.took, got)
		}
	}
}

func TestRowsOfManyBlocksTakeFewProcesses(t *testing.T) {
	five := task{budget: 5, processes: 5}
	for rounds, want := range map[int][2]float64{40: {5, 1}, 20: {5, 1}, 10: {3, 2}, 2: {2, 4}} {
		processes, share := five.rest(rounds)
		if processes != int(want[0]) || share != want[1] {
			t.Errorf("%d rounds: %d processes of %v s", rounds, processes, share)
		}
	}
	text := blockText("Read/size=1", 0, way{"mapview/op=a", 1, ""})
	if n := readRaw(t, text+"BenchmarkWrite/size=1/impl=x/op=y-1 1 1 ns/op\n"+"BenchmarkWrite/size=1/impl=x/op=y/again=1-1 1 1 ns/op\n").leastRounds(); n != 1 {
		t.Errorf("%d rounds", n)
	}
}

// A full run has more processes of what differs from process to process, up to some
// number; of what does not it has enough to know that; and none more where a disk decides.
func TestFullRunGoesOnUntilRatiosAreSettled(t *testing.T) {
	b := newFakeBench(t, fakeGo, "BENCH_SECONDS=")
	out, text, err := b.run("full", "DIFFERS=Once")
	if err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	log := b.log()
	for what, want := range map[string]int{
		"c Read ": settledLots, "c Once ": mostLots, "c Cold ": 2,
		"c Once 0.800 only Once/lang=c/size=64\n": mostLots - 2,
	} {
		if got := strings.Count(log, what); got != want {
			t.Errorf("%q: %d processes, not %d\n%s", what, got, want, log)
		}
	}
	if !strings.Contains(text, "rows left, for ratios that are not settled: c Once") || !strings.Contains(out, "1.05 (1.00-1.10)") {
		t.Errorf("%s\n%s", text, out)
	}
	b.wantNoFilesLeft()
	// What differs by less takes fewer, an A/A pair counts as a ratio does, and each
	// process knows which it is.
	os.Remove(b.path("log.lots"))
	if _, text, err := b.run("full", "FRESH=1", "DIFFERS=Once", "BY=5", "UNQUIET=Read", "LOTS=1"); err != nil {
		t.Fatal(text)
	}
	log = b.log()
	if n := strings.Count(log, "c Once "); n <= settledLots || n >= mostLots {
		t.Errorf("%d processes of what differs by 2.5 %%", n)
	}
	if n := strings.Count(log, "c Read "); n != mostLots {
		t.Errorf("%d processes with an A/A pair that differs", n)
	}
	lots, _ := os.ReadFile(b.path("log.lots"))
	for _, want := range []string{"lot c Once 0\n", "lot c Once 1\n", "lot c Once 12\n", "lot go Cold 1\n"} {
		if strings.Count(string(lots), want) != 1 {
			t.Errorf("%q: not once in %s", want, lots)
		}
	}
	// As long as it is told to, and no longer.
	if _, text, err := b.run("full", "BENCH_SECONDS=5", "DIFFERS=Once"); err != nil || strings.Contains(b.log(), "only") {
		t.Error(err, text)
	}
}

// What is wanted may not come: where a state is gone.
func TestRowWhoseStateIsGoneEnds(t *testing.T) {
	b := newFakeBench(t, fakeGo, "BENCH_SECONDS=")
	_, text, err := b.run("full", "MUTE=Read")
	if n := strings.Count(b.log(), "c Read "); err != nil || n != 2+mostDry {
		t.Errorf("%d processes, %v\n%s", n, err, text)
	}
}

// What processes have measured is not lost with the run, and the plan goes on from there.
func TestRowIsResumed(t *testing.T) {
	want := newFakeBench(t, fakeGo, "BENCH_SECONDS=")
	want.run("full", "ROW=Once", "DIFFERS=Once")
	whole := want.log()
	b := newFakeBench(t, fakeGo, "BENCH_SECONDS=")
	b.end("SLEEPS=Once", "full", "ROW=Once", "AFTER=5", "DIFFERS=Once")
	first := b.log()
	if n := strings.Count(first, "c Once"); n != 6 {
		t.Fatalf("%d processes before the end:\n%s", n, first)
	}
	_, text, err := b.run("full", "ROW=Once", "DIFFERS=Once")
	if err != nil || first[:strings.LastIndex(first[:len(first)-1], "\n")+1]+b.log() != whole {
		t.Errorf("%v: %s", err, text)
	}
	b.wantNoFilesLeft()
	// Nor by another number, but it is with FRESH.
	b.end("SLEEPS=Once", "full", "ROW=Once", "FRESH=1", "AFTER=5", "DIFFERS=Once")
	first = b.log()
	part := b.path("bench/raw/row/001-c-Once.txt.part")
	if err := os.Rename(part, b.path("bench/raw/row/007-c-Once.txt.part")); err != nil {
		t.Fatal(err)
	}
	if b.run("full", "ROW=Once", "DIFFERS=Once"); first[:strings.LastIndex(first[:len(first)-1], "\n")+1]+b.log() != whole {
		t.Error("a part of another number is lost")
	}
	b.end("SLEEPS=Once", "full", "ROW=Once", "FRESH=1", "AFTER=5", "DIFFERS=Once")
	b.log()
	if b.run("full", "ROW=Once", "FRESH=1", "DIFFERS=Once"); b.log() != whole {
		t.Error("FRESH=1 takes up a part")
	}
	// What another program has measured is not taken up.
	b.end("SLEEPS=Once", "full", "ROW=Once", "AFTER=5", "DIFFERS=Once", "FRESH=1")
	b.log()
	os.WriteFile(b.path("runner"), []byte(fakeRunner+"# other\n"), 0o700)
	if b.run("full", "ROW=Once", "DIFFERS=Once"); b.log() != whole {
		t.Error("the processes of another program count")
	}
}

// A row has some time beyond its plan, and no more: here the plan's time is nearly over
// that bound, so that one process more passes it.
func TestRowEndsWhenItHasTakenMore(t *testing.T) {
	block := blockText("Read/size=64", 0, way{"mapview/op=a", 2, ""}, way{"mmap/op=b", 1, ""})
	c := course{task: task{budget: 1, processes: 1, settles: true}, want: 1}
	for i, want := range []int{2, 3, 3} {
		fmt.Fprintf(&c.text, "%sx\n%s", dateLine, block)
		if err := c.next(mostMore - 1); err != nil || c.want != want {
			t.Errorf("after %d processes %d are wanted, %v", i+1, c.want, err)
		}
	}
}

// Two programs do not make one row.
func TestRunnerThatIsBuiltAnewMeanwhile(t *testing.T) {
	b := newFakeBench(t, fakeGo, "BENCH_SECONDS=")
	changing := strings.Replace(fakeRunner, "calls=", "echo '# other' >>\"$0\"\ncalls=", 1)
	os.WriteFile(b.path("runner"), []byte(changing), 0o700)
	if _, text, err := b.run("full"); err == nil || !strings.Contains(text, "the c runner was built anew while it was measured") {
		t.Errorf("%v: %s", err, text)
	}
}
