// plan.go asks the runners for their rows, chooses those that are meant, and shares
// out the time.

package main

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// A runner is a program that lists rows and measures one of them.
type runner struct {
	name    string   // "c"
	command []string // what is called, with its first arguments
}

// parseRunner takes "NAME=PROGRAM[ARGUMENT...]" apart, with a tab before each ARGUMENT.
func parseRunner(text string) (runner, error) {
	name, command, ok := strings.Cut(text, "=")
	words := strings.Split(command, "\t")
	if !ok || name == "" || strings.ContainsAny(name, "/.") || words[0] == "" {
		return runner{}, usageError(fmt.Sprintf("not NAME=PROGRAM: %q", text))
	}
	return runner{name, words}, nil
}

// A row is a piece of work that a runner measures.
type row struct {
	runner  runner
	name    string
	short   bool
	seconds float64 // that sound figures take
	title   string
}

func (r runner) rows() ([]row, error) {
	var stderr bytes.Buffer
	cmd := exec.Command(r.command[0], append(r.command[1:len(r.command):len(r.command)], "-list")...)
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("the rows of the %s runner: %w: %s", r.name, err, bytes.TrimSpace(stderr.Bytes()))
	}
	var rows []row
	lines := bufio.NewScanner(bytes.NewReader(out))
	for lines.Scan() {
		fields := strings.Split(lines.Text(), "\t")
		if len(fields) != 4 || fields[1] != "short" && fields[1] != "full" {
			return nil, fmt.Errorf("the rows of the %s runner: not NAME, short or full, SECONDS and TITLE: %q", r.name, lines.Text())
		}
		seconds, err := strconv.ParseFloat(fields[2], 64)
		if err != nil || !(seconds > 0) {
			return nil, fmt.Errorf("the rows of the %s runner: no seconds: %q", r.name, lines.Text())
		}
		rows = append(rows, row{r, fields[0], fields[1] == "short", seconds, fields[3]})
	}
	return rows, nil
}

// choose returns the rows of the names; or, without names, the short ones or all.
func choose(rows []row, names []string, full bool) ([]row, error) {
	var chosen []row
	for _, r := range rows {
		if slices.Contains(names, r.name) || len(names) == 0 && (full || r.short) {
			chosen = append(chosen, r)
		}
	}
	for _, name := range names {
		if !slices.ContainsFunc(rows, func(r row) bool { return r.name == name }) {
			return nil, fmt.Errorf("there is no row %q. The rows are:\n%s", name, rowsText(rows))
		}
	}
	if len(chosen) == 0 {
		return nil, fmt.Errorf("no runner has a row")
	}
	return chosen, nil
}

func rowsText(rows []row) string {
	var b strings.Builder
	for _, r := range rows {
		fmt.Fprintf(&b, "  %-14s %-5s %s\n", r.name, r.runner.name, r.title)
	}
	return strings.TrimRight(b.String(), "\n")
}

// A task is a row with its share of the time, and where its raw text goes.
type task struct {
	row
	number    int
	budget    float64 // seconds, over all processes
	processes int
	settles   bool // further processes are run where ratios need them
	file      string
	sum       string // of the runner's program
	key       string // of the runner's program and of how it is run: see drive.go
}

// Figures of a few seconds come from several processes, and for each of them some
// time has to be left.
const (
	mostProcesses  = 8
	secondsProcess = 0.6
)

// A full run takes more time than the rows say that they need.
const fullScale = 1.6

// tasks shares out the seconds as the rows need them; 0: each gets what it needs.
func tasks(rows []row, seconds float64, full bool, dir string) ([]task, error) {
	all := 0.0
	for _, r := range rows {
		all += r.seconds
	}
	scale := 1.0
	if full {
		scale = fullScale
	}
	if seconds > 0 {
		scale = seconds / all
	}
	list := make([]task, len(rows))
	for i, r := range rows {
		t := task{row: r, number: i + 1, budget: r.seconds * scale, settles: full && seconds == 0}
		t.processes = max(1, min(mostProcesses, int(t.budget/secondsProcess)))
		t.file = filepath.Join(dir, fmt.Sprintf("%03d-%s-%s.txt", t.number, r.runner.name, r.name))
		var err error
		if t.sum, err = r.runner.sum(); err != nil {
			return nil, err
		}
		t.key = fmt.Sprintf("%s %.3g s in %d", t.sum, t.budget, t.processes)
		if os.Geteuid() == 0 { // who can mount, and goes before other programs
			t.key += " by root"
		}
		list[i] = t
	}
	return list, nil
}

// part is the file of a row that is not through.
func (t task) part() string { return t.file + ".part" }

// numbered returns the row's files in a raw folder: one at most, of whatever number.
func (r row) numbered(dir, suffix string) ([]string, error) {
	return filepath.Glob(filepath.Join(dir, fmt.Sprintf("???-%s-%s.txt%s", r.runner.name, r.name, suffix)))
}

// missingRows names those of the runners' rows that a raw folder has no file of.
func missingRows(dir string, runners []string) (names []string, err error) {
	rows, err := rowsOf(runners)
	if err != nil {
		return nil, err
	}
	for _, r := range rows {
		files, err := r.numbered(dir, "")
		if err != nil {
			return nil, err
		}
		if len(files) == 0 {
			names = append(names, r.runner.name+" "+r.name)
		}
	}
	return names, nil
}

// sum is of what is called: a program that is built anew with other sources is
// another one. Arguments that name files are programs, too.
func (r runner) sum() (string, error) {
	h := sha256.New()
	for i, word := range r.command {
		f, err := os.Open(word)
		if err != nil {
			if i == 0 {
				return "", err
			}
			fmt.Fprintln(h, word)
			continue
		}
		_, err = io.Copy(h, f)
		f.Close()
		if err != nil {
			return "", err
		}
	}
	return fmt.Sprintf("%x", h.Sum(nil)[:8]), nil
}
