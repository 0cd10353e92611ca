// drive.go runs the rows, one after the other, each in processes of its own, and
// keeps the raw text of each in a file.
//
//	report measure -raw DIR -files DIR -head FILE [-seconds S] [-full] [-fresh] [-row NAME]... NAME=RUNNER...
//
// A row is measured in several processes (see course.go), and the rows take turns:
// what the machine is like for a minute is not all that a row gets to know.
//
// A file is there when its row is through, and ends in a line that says of what
// program and how it was made. With -full, rows whose file says the same as would
// be done now are not run again, and there is a file for a row that is not through:
// so a run that was ended can be resumed.

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
	if d.full && len(due) < len(list) {
		fmt.Fprintf(d.say, "bench: %d of %d rows are there from a run of the same programs and stay; FRESH=1 runs them again\n",
			len(list)-len(due), len(list))
	}
	more := ""
	if d.full {
		more = ", and about as long again for ratios that differ from process to process"
	}
	fmt.Fprintf(d.say, "bench: %d rows, about %s%s; Ctrl-C ends it%s\n", len(due), durationText(timeLeft(due)), more,
		d.resuming())
	if err := d.runAll(due, len(list)); err != nil {
		return err
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

func durationText(seconds float64) string {
	if seconds < 100 {
		return fmt.Sprintf("%.0f s", seconds)
	}
	return fmt.Sprintf("%.0f min", seconds/60)
}

// resuming tells how an ended run can be.
func (d *driver) resuming() string {
	switch {
	case !d.full:
		return ""
	case d.fresh:
		return ", and the same command without FRESH=1 resumes it"
	}
	return ", and the same command resumes it"
}

// due returns what has to be run, as far as it is, and removes the files of other
// rows than the list's: what is in the folder is one run.
func (d *driver) due(list []task) (due []*course, err error) {
	if err := os.MkdirAll(d.raw, 0o755); err != nil {
		return nil, err
	}
	keep := map[string]bool{}
	for _, t := range list {
		c := &course{task: t, want: t.processes, share: t.budget / float64(t.processes)}
		if d.full && !d.fresh {
			if err := t.renumber(); err != nil {
				return nil, err
			}
			if keep[t.file] = d.isDone(t); keep[t.file] {
				continue
			}
			if keep[t.part()], err = d.resume(c); err != nil {
				return nil, err
			}
		}
		due = append(due, c)
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

// renumber gives the row's files their number where rows before it have come or gone.
func (t task) renumber() error {
	for _, name := range []string{t.file, t.part()} {
		old, err := t.numbered(filepath.Dir(name), strings.TrimPrefix(name, t.file))
		if err != nil {
			return err
		}
		if len(old) == 1 && old[0] != name {
			if err := os.Rename(old[0], name); err != nil {
				return err
			}
		}
	}
	return nil
}

// isDone looks for the line that ends a file of a row that is through: the same
// program, and the same time on the same machine.
func (d *driver) isDone(t task) bool {
	text, err := os.ReadFile(t.file)
	return err == nil && bytes.HasPrefix(text, d.head) && bytes.HasSuffix(text, []byte("\n"+wholeLine+t.key+"\n"))
}

// resume takes up what processes of the row have printed in a run that was ended.
func (d *driver) resume(c *course) (bool, error) {
	text, err := os.ReadFile(c.part())
	if err != nil || !bytes.HasPrefix(text, d.head) || !bytes.HasSuffix(text, []byte(" s of "+c.key+"\n")) {
		return false, nil
	}
	for line := range bytes.Lines(text) {
		c.text.Write(line)
		if rest, ok := bytes.CutPrefix(line, []byte(partLine)); ok {
			took := 0.0
			if _, err := fmt.Sscan(string(rest), &took); err != nil {
				return false, fmt.Errorf("%s: %q: %w", c.part(), line, err)
			}
			if err := c.next(took); err != nil {
				return false, err
			}
		}
	}
	return true, nil
}

// keep puts the row's raw text in its place, whole or what there is so far, if all of
// it is of one program.
func (d *driver) keep(c *course, name string) error {
	if is, err := c.runner.sum(); err != nil || is != c.sum {
		return fmt.Errorf("the %s runner was built anew while it was measured: %w", c.runner.name, errors.Join(err, errors.New("run it again")))
	}
	fresh := c.file + ".new"
	if err := os.WriteFile(fresh, c.text.Bytes(), 0o644); err != nil {
		return err
	}
	return os.Rename(fresh, name)
}

// run has a process measure the row, and keeps the row's raw text: in a full run after
// each process, otherwise after the last. Nothing is kept of a process that failed or was ended.
func (d *driver) run(c *course, status string) error {
	if c.text.Len() == 0 {
		c.text.Write(d.head)
	}
	began := time.Now()
	var out bytes.Buffer
	fmt.Fprintf(&out, dateLine+"%s\n", began.UTC().Format("2006-01-02 15:04 UTC"))
	if err := d.process(c, status, &out); err != nil {
		return err
	}
	took := time.Since(began).Seconds()
	fmt.Fprintf(&out, "%s%.3f s of %s\n", partLine, took, c.key)
	c.text.Write(out.Bytes())
	if err := c.next(took); err != nil {
		return err
	}
	if c.done < c.want {
		if !d.full {
			return nil
		}
		return d.keep(c, c.part())
	}
	fmt.Fprintf(&c.text, "%s%s\n", wholeLine, c.key)
	if err := d.keep(c, c.file); err != nil {
		return err
	}
	if err := os.Remove(c.part()); !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}

// leastSeconds is what a runner is given at least: none takes 0.
const leastSeconds = 0.001

// process runs the runner once, in a folder that is empty before and removed after.
// It measures all blocks of the row, or only some.
func (d *driver) process(c *course, status string, text io.Writer) error {
	files, err := os.MkdirTemp(d.files, "bench-files.")
	if err != nil {
		return err
	}
	defer os.RemoveAll(files)
	command := c.runner.command
	args := append(command[1:len(command):len(command)], "-dir", files, "-row", c.name,
		"-seconds", fmt.Sprintf("%.3f", max(c.share, leastSeconds)), "-run", status)
	cmd := exec.Command(command[0], args...)
	cmd.Stdout, cmd.Stderr = text, os.Stderr
	cmd.Env = append(os.Environ(), fmt.Sprintf("BENCH_LOT=%d", c.done))
	if len(c.only) > 0 {
		list := filepath.Join(files, "only")
		if err := os.WriteFile(list, []byte(strings.Join(c.only, "\n")+"\n"), 0o600); err != nil {
			return err
		}
		cmd.Env = append(cmd.Env, "BENCH_ONLY="+list)
	}
	if err := d.wait(cmd); err != nil {
		var ended endedBy
		if errors.As(err, &ended) {
			return err
		}
		return fmt.Errorf("the row %s of the %s runner failed, so there is no table: %w", c.name, c.runner.name, err)
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
