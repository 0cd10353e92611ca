// drive.go runs the rows, one after the other, each in processes of its own, and
// keeps the raw text of each in a file.
//
//	report measure -raw DIR -files DIR -head FILE [-seconds S] [-full] [-fresh] [-row NAME]... NAME=RUNNER...
//
// A file is there when its row is through, and ends in a line that says of what
// program and how it was made. With -full, rows whose file says the same as would
// be done now are not run again: so a run that was ended can be resumed.

package main

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"time"
)

// endedBy is the signal that ended the run.
type endedBy syscall.Signal

func (e endedBy) Error() string { return "ended by " + syscall.Signal(e).String() }

type driver struct {
	raw, files  string
	head        []byte
	full, fresh bool
	skips       []string
	terminal    bool
	say         io.Writer
	signals     chan os.Signal
}

type manyFlag []string

func (m *manyFlag) String() string { return strings.Join(*m, " ") }
func (m *manyFlag) Set(text string) error {
	*m = append(*m, strings.Fields(text)...)
	return nil
}

type textsFlag []string

func (t *textsFlag) String() string { return strings.Join(*t, "; ") }
func (t *textsFlag) Set(text string) error {
	*t = append(*t, text)
	return nil
}

func newFlags(name string) *flag.FlagSet {
	flags := flag.NewFlagSet(name, flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	return flags
}

func measureCommand(w io.Writer, args []string) error {
	d := &driver{say: os.Stderr}
	flags := newFlags("measure")
	flags.StringVar(&d.raw, "raw", "", "")
	flags.StringVar(&d.files, "files", "", "")
	head := flags.String("head", "", "")
	seconds := flags.Float64("seconds", 0, "")
	flags.BoolVar(&d.full, "full", false, "")
	flags.BoolVar(&d.fresh, "fresh", false, "")
	flags.Var((*textsFlag)(&d.skips), "skipped", "")
	var names manyFlag
	flags.Var(&names, "row", "")
	if err := flags.Parse(args); err != nil {
		return usageError(err.Error())
	}
	if d.raw == "" || d.files == "" || *head == "" || flags.NArg() == 0 {
		return usageError("report measure needs -raw, -files, -head and runners")
	}
	var err error
	if d.head, err = os.ReadFile(*head); err != nil {
		return err
	}
	rows, err := rowsOf(flags.Args())
	if err != nil {
		return err
	}
	if rows, err = choose(rows, names, d.full); err != nil {
		return err
	}
	list, err := tasks(rows, *seconds, d.full, d.raw)
	if err != nil {
		return err
	}
	return d.measure(w, list)
}

func rowsOf(runners []string) (rows []row, err error) {
	for _, text := range runners {
		r, err := parseRunner(text)
		if err != nil {
			return nil, err
		}
		its, err := r.rows()
		if err != nil {
			return nil, err
		}
		rows = append(rows, its...)
	}
	return rows, nil
}

func (d *driver) measure(w io.Writer, list []task) error {
	if info, err := os.Stderr.Stat(); err == nil {
		d.terminal = info.Mode()&os.ModeCharDevice != 0
	}
	d.signals = make(chan os.Signal, 1)
	signal.Notify(d.signals, os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	defer signal.Stop(d.signals)

	if err := goFirst(); err != nil {
		fmt.Fprintf(d.say, "bench: other programs may run in the middle of a round: only root can be before them (%v)\n", err)
	}
	due, err := d.due(list)
	if err != nil {
		return err
	}
	left := 0.0
	for _, t := range due {
		left += t.budget
	}
	if d.full && len(due) < len(list) {
		fmt.Fprintf(d.say, "bench: %d of %d rows are there from a run of the same programs and stay; FRESH=1 runs them again\n",
			len(list)-len(due), len(list))
	}
	fmt.Fprintf(d.say, "bench: %d rows, about %s; Ctrl-C ends it%s\n", len(due), durationText(left),
		map[bool]string{true: ", and the same command resumes it"}[d.full])
	began := time.Now()
	for i, t := range due {
		status := fmt.Sprintf("row %d of %d, %s left: ", t.number, len(list), durationText(left))
		if !d.terminal {
			fmt.Fprintf(d.say, "bench: %s%s %s\n", status, t.runner.name, t.name)
		}
		if err := d.run(t, status); err != nil {
			return err
		}
		left = timeLeft(due, i+1, time.Since(began).Seconds())
	}
	if d.terminal {
		fmt.Fprint(d.say, "\r\033[K")
	}
	if err := d.writeSkips(); err != nil {
		return err
	}
	return printTable(w, []string{d.raw})
}

// goFirst has the runners run before other programs, so that a busy machine takes no
// time out of the middle of a round. A runner inherits it from the thread that starts it.
func goFirst() error {
	runtime.LockOSThread()
	return syscall.Setpriority(syscall.PRIO_PROCESS, 0, -20)
}

// timeLeft is what the rest needs, if what is done is something to go by.
func timeLeft(due []task, done int, took float64) float64 {
	budget, left := 0.0, 0.0
	for i, t := range due {
		if i < done {
			budget += t.budget
		} else {
			left += t.budget
		}
	}
	return left * max(took/budget, 0.5)
}

func durationText(seconds float64) string {
	if seconds < 100 {
		return fmt.Sprintf("%.0f s", seconds)
	}
	return fmt.Sprintf("%.0f min", seconds/60)
}

// due returns the tasks that have to be run, and removes the files of others than
// the list's: what is in the folder is one run.
func (d *driver) due(list []task) (due []task, err error) {
	if err := os.MkdirAll(d.raw, 0o755); err != nil {
		return nil, err
	}
	keep := map[string]bool{}
	for _, t := range list {
		if err := t.renumber(); err != nil {
			return nil, err
		}
		keep[t.file] = d.full && !d.fresh && d.isDone(t)
		if !keep[t.file] {
			due = append(due, t)
		}
	}
	there, err := filepath.Glob(filepath.Join(d.raw, "*"))
	if err != nil {
		return nil, err
	}
	for _, file := range there {
		if !keep[file] {
			if err := os.Remove(file); err != nil {
				return nil, err
			}
		}
	}
	return due, nil
}

// renumber gives the row's file its number where rows before it have come or gone.
func (t task) renumber() error {
	old, err := t.numbered(filepath.Dir(t.file))
	if err != nil || len(old) != 1 || old[0] == t.file {
		return err
	}
	return os.Rename(old[0], t.file)
}

// isDone looks for the line with which run ends a file: the same program, and the
// same time on the same machine.
func (d *driver) isDone(t task) bool {
	text, err := os.ReadFile(t.file)
	return err == nil && bytes.HasPrefix(text, d.head) && bytes.HasSuffix(text, []byte("\n"+wholeLine+t.key+"\n"))
}

// run has the row measured and keeps its raw text. Nothing is kept of a row that
// failed or was ended.
func (d *driver) run(t task, status string) error {
	text := bytes.NewBuffer(bytes.Clone(d.head))
	fmt.Fprintf(text, dateLine+"%s\n", time.Now().UTC().Format("2006-01-02 15:04 UTC"))
	began := time.Now()
	processes, share := t.processes, t.budget/float64(t.processes)
	for i := 0; i < processes; i++ {
		if err := d.process(t, share, status, text); err != nil {
			return err
		}
		if i == 0 && processes > 1 {
			processes, share = t.rest(leastRounds(text.Bytes()))
		}
		if tooLong(t, i+1, time.Since(began).Seconds()) {
			break
		}
	}
	if _, err := newReport().read(bytes.NewReader(text.Bytes())); err != nil {
		return fmt.Errorf("the raw text of the row %s of the %s runner: %w", t.name, t.runner.name, err)
	}
	fmt.Fprintf(text, "%s%s\n", wholeLine, t.key)
	part := t.file + ".part"
	if err := os.WriteFile(part, text.Bytes(), 0o644); err != nil {
		return err
	}
	return os.Rename(part, t.file)
}

// soundRounds is how many rounds of a block a process should have.
const soundRounds = 20

// rest returns how many processes there are to be in all, after the first has had so
// many rounds of a block, and the share of each that is left: a row of many blocks is
// better run in few processes than with few rounds.
func (t task) rest(rounds int) (processes int, share float64) {
	left := t.processes - 1
	if rounds < soundRounds {
		left = max(1, left*rounds/soundRounds)
	}
	return 1 + left, t.budget * float64(t.processes-1) / float64(t.processes) / float64(left)
}

// leastRounds returns how many rounds the block has that has the fewest.
func leastRounds(text []byte) int {
	r := newReport()
	if _, err := r.read(bytes.NewReader(text)); err != nil || len(r.groups) == 0 {
		return soundRounds // what is wrong is told at the end
	}
	least := len(r.groups[0].series[0].values["ns/op"])
	for _, g := range r.groups {
		least = min(least, len(g.series[0].values["ns/op"]))
	}
	return least
}

// tooLong tells whether another process would take a row too far over its time: where
// what it prepares takes longer than what it measures. Two are run in any case.
func tooLong(t task, done int, took float64) bool {
	return done >= 2 && took*float64(done+1)/float64(done) > 1.5*t.budget
}

// leastSeconds is what a runner is given at least: none takes 0.
const leastSeconds = 0.001

// process runs the runner once, in a folder that is empty before and removed after.
func (d *driver) process(t task, share float64, status string, text io.Writer) error {
	files, err := os.MkdirTemp(d.files, "bench-files.")
	if err != nil {
		return err
	}
	defer os.RemoveAll(files)
	args := append(t.runner.command[1:len(t.runner.command):len(t.runner.command)], "-dir", files, "-row", t.name,
		"-seconds", fmt.Sprintf("%.3f", max(share, leastSeconds)), "-run", status)
	cmd := exec.Command(t.runner.command[0], args...)
	cmd.Stdout, cmd.Stderr = text, os.Stderr
	if err := d.wait(cmd); err != nil {
		var ended endedBy
		if errors.As(err, &ended) {
			return err
		}
		return fmt.Errorf("the row %s of the %s runner failed, so there is no table: %w", t.name, t.runner.name, err)
	}
	return nil
}

// wait runs cmd in a process group of its own, which is ended with this program.
func (d *driver) wait(cmd *exec.Cmd) error {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		return err
	}
	done := make(chan error, 1)
	go func() { done <- cmd.Wait() }()
	select {
	case err := <-done:
		return err
	case s := <-d.signals:
		syscall.Kill(-cmd.Process.Pid, syscall.SIGTERM)
		select {
		case <-done:
		case <-time.After(5 * time.Second):
			syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
			<-done
		}
		if d.terminal {
			fmt.Fprint(d.say, "\r\033[K")
		}
		return endedBy(s.(syscall.Signal))
	}
}

// writeSkips notes what bench/run could not build.
func (d *driver) writeSkips() error {
	if len(d.skips) == 0 {
		return nil
	}
	text := bytes.Clone(d.head)
	for _, why := range d.skips {
		text = fmt.Appendf(text, "%s%s\n", skipLine, why)
	}
	text = fmt.Appendf(text, "%sskips\n", wholeLine)
	return os.WriteFile(filepath.Join(d.raw, "999-skips.txt"), text, 0o644)
}
