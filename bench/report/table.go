// table.go prints the table on the terminal, from the raw text alone. It knows no
// row: what a block is about stands in its Row line, what was prepared in its State
// line, and what counts beside the time in the units of its lines.

package main

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode/utf8"
)

const tableWidth = 100

// What the raw format cannot hold in a name, since / separates its keys.
var spelling = strings.NewReplacer("exp-mmap", "x/exp/mmap", "mapview-mmap", "mapview go/mmap",
	"ReadAt,Close", "ReadAt+Close", ",no-handler", " NO_HANDLER", "rep-movsb", "rep movsb",
	",resident", " Resident", ",one", ", one", ",two", ", two", ",ahead", " AHEAD", ",alone", " alone",
	",mounted", ", mounted for this")

func spelled(s *series) string { return spelling.Replace(s.String()) }

func printTable(w io.Writer, names []string) error {
	r, err := readAll(names)
	if err != nil {
		return err
	}
	return writeTable(w, r)
}

func writeTable(w io.Writer, r *report) error {
	writeHead(w, r)
	for _, g := range r.groups {
		if err := writeGroup(w, g); err != nil {
			return fmt.Errorf("%s: %w", g.id, err)
		}
	}
	if err := writeCrossover(w, r); err != nil {
		return err
	}
	for _, why := range r.skips {
		fmt.Fprintf(w, "\n%s\n", strings.Join(wrap("SKIPPED: "+why, tableWidth), "\n  "))
	}
	if err := writeGoals(w, r); err != nil {
		return err
	}
	return writeLosses(w, r)
}

// method is told in the table and on the results page.
var method = []string{
	"All variants of a block run in turns in one process: a round gives each of them 0.25 to 3 ms (where one op is " +
		"longer: one op) in an order that changes from round to round.",
	"A ratio is taken within a round, so that what disturbs the machine disturbs both sides of it.",
	"A row is run in several processes, since a mapping's place in memory makes the same copy some percent faster or slower " +
		"as long as a process lives; the rows take turns, so that a row's processes lie apart in time while others have some, too.",
	"What stands here is the median of the rounds' ratios in each process, and of the processes' medians the mean of the middle half " +
		"(of fewer than 4 processes: the median of all rounds), with the quartiles of all rounds.",
	"A full run goes on with the blocks that are about memory alone until each of their ratios, to the limit, to the best peer and of the A/A pair, " +
		"has a standard error of no more than 1 %, from at least 12 processes: with up to 80 of them, and 75 s more than planned for a row.",
	"Each variant's bytes are verified outside of the time, and one that moves the wrong ones, or none, fails the run.",
	"What is in the page cache, in which folios, and what is dirty is prepared before and verified: the state line of a block says it.",
	"One variant of each block is measured twice (A/A), which shows the noise; run by root, the processes go before other programs (nice -20).",
}

func writeHead(w io.Writer, r *report) {
	c := r.config
	line := func(name, text string) {
		for _, part := range wrap(text, tableWidth-12) {
			fmt.Fprintf(w, "%-12s%s\n", name, part)
			name = ""
		}
	}
	line("machine", fmt.Sprintf("%s, %s cores, %s", c["cpu"], c["cores"], c["kernel"]))
	line("files", fmt.Sprintf("in %s, on %s", c["files"], c["filesystem"]))
	line("compilers", fmt.Sprintf("%s; %s", c["go"], c["cc"]))
	if len(r.dates) > 0 {
		line("date", slices.Min(r.dates)+" to "+slices.Max(r.dates))
	}
	line("method", strings.Join(method, " "))
	line("columns", "x limit: the time divided by that of the block's physical limit (memory: a copy within ordinary "+
		"memory on huge pages; device: O_DIRECT; kernel: a bare system call; fault: one page fault). x best peer: divided "+
		"by that of the fastest way without mapview. Below 1 is faster. An op is one access, or what the block's title says")
}

// A tableColumn is a unit beside the time.
type tableColumn struct {
	unit, title string
	by          float64
}

// The units that have a column where a block has them, in this order.
var unitColumns = []tableColumn{
	{"MB/s", "MB/s", 1},
	{"faults/op", "faults", 1},
	{"syscalls/op", "syscalls", 1},
	{"dev-B/op", "dev KiB", 1024},
	{"B/op", "B/op", 1},
	{"allocs/op", "allocs", 1},
	{"first-reads", "1st", 1},
	{"reads/op", "reads/op", 1},
	{"p50-ns", "p50 us", 1000},
	{"p90-ns", "p90 us", 1000},
	{"p99-ns", "p99 us", 1000},
	{"p99.9-ns", "p99.9 us", 1000},
	{"max-ns", "max us", 1000},
	{"p99-gap-us", "gap ms", 1000},
}

const (
	nameWidth  = 28
	nsWidth    = 11
	ratioWidth = 20
	unitWidth  = 9
)

func writeGroup(w io.Writer, g *group) error {
	fmt.Fprintf(w, "\n%s\n", strings.Join(wrap(g.heading(), tableWidth), "\n  "))
	columns := g.unitColumns()
	fit := (tableWidth - nameWidth - nsWidth - 2*ratioWidth) / unitWidth
	beside := columns[:min(fit, len(columns))]
	if err := g.writeRows(w, beside, true); err != nil {
		return err
	}
	if under := columns[len(beside):]; len(under) > 0 {
		if err := g.writeRows(w, under, false); err != nil {
			return err
		}
	}
	noise, s, err := g.noise()
	if err != nil {
		return err
	}
	fmt.Fprintf(w, "noise: %s, measured twice (A/A): %v, %d rounds in %s\n", spelled(s), noise, len(s.values["ns/op"]),
		counted(len(s.lots), "process", "processes"))
	if g.state != "" {
		fmt.Fprintf(w, "%s\n", strings.Join(wrap("state: "+g.state, tableWidth), "\n  "))
	}
	return g.writeVerdicts(w)
}

// heading says what language, row and block this is, and the title.
func (g *group) heading() string {
	text := g.langName() + " " + g.place()
	if g.title != "" {
		text += ": " + g.title
	}
	return text
}

func (g *group) langName() string {
	return map[string]string{"go": "Go", "c": "C", "rust": "Rust"}[g.lang]
}

// place is the row's name with the keys that tell its blocks apart.
func (g *group) place() string {
	text := g.name
	for _, part := range strings.Split(g.id, "/")[1:] {
		key, value, _ := strings.Cut(part, "=")
		switch key {
		case "lang":
			continue
		case "size":
			value = bytesText(g.size)
		case "pattern":
			value = map[string]string{"seq": "sequential", "rand": "at random"}[value]
		}
		if key != "size" && key != "pattern" && key != "cache" {
			value = key + " " + value
		}
		text += ", " + value
	}
	return text
}

func bytesText(n int) string {
	switch {
	case n == 1:
		return "1 byte"
	case n >= 1<<20 && n%(1<<20) == 0:
		return fmt.Sprintf("%d MiB", n>>20)
	case n > 0 && n%1024 == 0:
		return fmt.Sprintf("%d KiB", n/1024)
	}
	return fmt.Sprintf("%d bytes", n)
}

// unitColumns are the units that the block has, and that say something.
func (g *group) unitColumns() (columns []tableColumn) {
	for _, c := range unitColumns {
		if slices.ContainsFunc(g.series, func(s *series) bool { return s.values[c.unit] != nil && median(s.values[c.unit]) != 0 }) {
			columns = append(columns, c)
		}
	}
	return columns
}

func (g *group) writeRows(w io.Writer, columns []tableColumn, ratios bool) error {
	pad := tableWidth - nameWidth - nsWidth - 2*ratioWidth - len(columns)*unitWidth
	title := ""
	if ratios {
		title = fmt.Sprintf("%*s", nsWidth, "ns/op")
	} else {
		pad += nsWidth + 2*ratioWidth
	}
	for _, c := range columns {
		title += fmt.Sprintf("%*s", unitWidth, c.title)
	}
	width := nameWidth + max(pad, 0)
	if ratios {
		title += fmt.Sprintf("%*s%*s", ratioWidth, g.limitTitle(), ratioWidth, "x best peer")
	}
	fmt.Fprintf(w, "%-*s%s\n", width, "", title)
	for _, s := range g.series {
		if s.again {
			continue
		}
		text := ""
		if ratios {
			text = fmt.Sprintf("%*s", nsWidth, nsText(s.ns()))
		}
		for _, c := range columns {
			text += fmt.Sprintf("%*s", unitWidth, s.typical(c))
		}
		if ratios {
			limit, peer, err := g.ratios(s)
			if err != nil {
				return err
			}
			text += fmt.Sprintf("%*s%*s", ratioWidth, limit, ratioWidth, peer)
		}
		name := spelled(s)
		if n := utf8.RuneCountInString(name); n > width-1 { // a line of its own
			fmt.Fprintln(w, name)
			name = ""
		}
		fmt.Fprintf(w, "%-*s%s\n", width, name, text)
	}
	return nil
}

func (g *group) limitTitle() string {
	for _, s := range g.series {
		if isLimit(s) {
			return "x " + s.impl
		}
	}
	return "x limit"
}

// ratios returns the columns "x limit" and "x best peer".
func (g *group) ratios(s *series) (limit, peer string, err error) {
	text := func(other *series) string {
		if other == nil || err != nil {
			return ""
		}
		if other == s {
			return "1"
		}
		var r ratio
		r, err = g.ratio(s, other)
		return r.String()
	}
	return text(g.limit(s)), text(g.best(s, isPeer)), err
}

func counted(n int, one, more string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, more)
}

func nsText(ns float64) string {
	if ns >= 10000 {
		return fmt.Sprintf("%.0f", ns)
	}
	return fmt.Sprintf("%.1f", ns)
}

// typical is the median of a unit, "" where it was not counted.
func (s *series) typical(c tableColumn) string {
	if s.values[c.unit] == nil {
		return ""
	}
	x := median(s.values[c.unit]) / c.by
	switch {
	case x == float64(int64(x)):
		return fmt.Sprintf("%.0f", x)
	case x < 10:
		return fmt.Sprintf("%.2f", x)
	case x < 1000:
		return fmt.Sprintf("%.1f", x)
	}
	return fmt.Sprintf("%.0f", x)
}

func writeLosses(w io.Writer, r *report) error {
	fmt.Fprintln(w, "\nmapview loses (a peer was faster by more than the noise, in three quarters of the rounds;\n"+
		" (*): no other way of mapview's is faster):")
	losses, err := r.losses()
	if err != nil {
		return err
	}
	if len(losses) == 0 {
		fmt.Fprintln(w, "  nowhere in this run")
	}
	for _, l := range losses {
		fmt.Fprintf(w, "  %s\n", strings.Join(wrap(l.reason, tableWidth-2), "\n    "))
		for _, line := range l.lines {
			fmt.Fprintf(w, "    %s\n", strings.Join(wrap(line, tableWidth-4), "\n      "))
		}
	}
	return nil
}

// wrap breaks text at spaces into lines of at most width characters.
func wrap(text string, width int) []string {
	var lines []string
	line := ""
	for _, word := range strings.Fields(text) {
		if line != "" && utf8.RuneCountInString(line)+1+utf8.RuneCountInString(word) > width-2 {
			lines, line = append(lines, line), ""
		}
		if line != "" {
			line += " "
		}
		line += word
	}
	return append(lines, line)
}
