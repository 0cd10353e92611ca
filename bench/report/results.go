// results.go writes the results page, its charts, and README's part of them.
//
//	report results -page FILE -charts DIR -readme FILE [-strict] [-second RAW] RAW NAME=RUNNER...
//
// A run that has not come to all of the runners' rows is refused; one that has SKIPPED
// some is not. With -strict whatever the page should hold and the run does not have is an error:
// that is how it is made before it is committed. -second is another run, for the
// agreement of two.

package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

type page struct {
	r      *report
	second *report
	charts []chart
	lacks  []string // what is missing
	body   bytes.Buffer
}

func resultsCommand(w io.Writer, args []string) error {
	flags := newFlags("results")
	file := flags.String("page", "", "")
	dir := flags.String("charts", "", "")
	readme := flags.String("readme", "", "")
	strict := flags.Bool("strict", false, "")
	second := flags.String("second", "", "")
	if err := flags.Parse(args); err != nil {
		return usageError(err.Error())
	}
	if *file == "" || *dir == "" || flags.NArg() == 0 {
		return usageError("report results needs -page, -charts and a folder of raw text")
	}
	if _, err := exec.LookPath("gnuplot"); err != nil {
		return errors.New("there is no gnuplot (package gnuplot-nox): the page would have new figures beside old charts, and nothing was written")
	}
	if _, err := os.Stat(flags.Arg(0)); err != nil {
		return fmt.Errorf("there is no raw text of a full run (make bench-full): %w", err)
	}
	rows, err := missingRows(flags.Arg(0), flags.Args()[1:])
	if err != nil {
		return err
	}
	if len(rows) > 0 {
		return fmt.Errorf("the full run is not through (make bench-full resumes it), and nothing was written; it lacks: %s", strings.Join(rows, ", "))
	}
	p, err := newPage(flags.Arg(0), *second)
	if err != nil {
		return err
	}
	if err := p.write(filepath.Base(*dir)); err != nil {
		return err
	}
	for _, lack := range p.lacks {
		fmt.Fprintf(w, "missing: %s\n", lack)
	}
	if *strict && len(p.lacks) > 0 {
		return fmt.Errorf("%d things are missing, and nothing was written", len(p.lacks))
	}
	if err := p.draw(*dir); err != nil {
		return err
	}
	if err := os.WriteFile(*file, p.body.Bytes(), 0o644); err != nil {
		return err
	}
	if *readme == "" {
		return nil
	}
	return putIntoReadme(*readme, p.summary())
}

func newPage(raw, second string) (*page, error) {
	p := &page{}
	var err error
	if p.r, err = readAll([]string{raw}); err != nil {
		return nil, err
	}
	if second != "" {
		if p.second, err = readAll([]string{second}); err != nil {
			return nil, err
		}
	}
	var lacks []error
	if p.charts, lacks, err = charts(p.r); err != nil {
		return nil, err
	}
	for _, lack := range lacks {
		p.lacks = append(p.lacks, "a chart: "+lack.Error())
	}
	return p, nil
}

func (p *page) draw(dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	for i := range p.charts {
		if err := p.charts[i].draw(dir); err != nil {
			return err
		}
	}
	return nil
}

func (p *page) say(format string, args ...any) { fmt.Fprintf(&p.body, format+"\n", args...) }

func (p *page) lack(format string, args ...any) {
	if text := fmt.Sprintf(format, args...); !slices.Contains(p.lacks, text) {
		p.lacks = append(p.lacks, text)
	}
}

func (p *page) write(charts string) error {
	second := ""
	if p.second != nil {
		second = " (what is said of two runs: of a second one, too)"
	}
	p.say("# Results of the benchmark\n\nMade by `make bench-results` from the raw text of one `make bench-full`%s; no figure here was typed.\n", second)
	p.writeDecisions()
	p.say("## mapview in short\n\n%s\n", strings.ReplaceAll(p.summary(), "bench/charts/", "charts/"))
	p.writeMachine()
	if err := p.writeNoise(); err != nil {
		return err
	}
	p.writeCharts(charts)
	p.writeClaims()
	if err := p.writeLosses(); err != nil {
		return err
	}
	if err := p.writeGoals(); err != nil {
		return err
	}
	p.writeSkips()
	p.say("## To run it again\n")
	p.say("    make bench                  # the rows most people want, in about two minutes\n" +
		"    make bench ROW='Once Cold'  # rows by name; a wrong name lists them\n" +
		"    make bench-full             # all rows; says how long, can be ended and resumed\n" +
		"    make bench-stat             # the same raw text through benchstat, C beside Go\n" +
		"    make bench-results          # this page, its charts and README's part\n" +
		"    make bench-compare REF=HEAD~1\n" +
		"    make bench-process          # whole programs, by hyperfine\n")
	p.say("The charts' figures are in `bench/%s/*.tsv`. The files are written below `BENCH_DIR`: set it to a folder on the disk that matters to you.", charts)
	return nil
}

func (p *page) writeDecisions() {
	p.say("## mmap or read for my case?\n")
	p.say("- **Kept open, and in memory:** a mapping. It is as fast as memory; `read` pays for a system call each time.")
	if size, ok, err := onceCrossover(p.r); err == nil && ok {
		p.say("- **Opened for one use:** `read` below %s, a mapping from there on.", bytesText(size))
	} else if err == nil && len(p.r.blocks(onceInC)) > 0 {
		p.say("- **Opened for one use:** `read`, at all sizes measured.")
	}
	p.say("- **Not in memory:** the disk decides. Tell the kernel what comes (`MV_OPEN_RANDOM`, `mv_prefetch`), whichever you use.")
	p.say("- **Scattered updates that are synced:** `pwrite`, or mapview's `mv_write` to a view with `MV_OPEN_RANDOM` and `mv_sync`; never plain stores and `msync` on large folios.\n")
	p.say("| When you | mapview | mmap by hand | read, write | take |\n| --- | ---: | ---: | ---: | --- |")
	for _, d := range decisions {
		line := decide(p.r, d)
		if line.lack != nil {
			p.lacks = append(p.lacks, "a line of the decisions, "+d.when+": "+line.lack.Error())
			continue
		}
		p.say("| %s | %s | %s | %s | %s |", d.when, line.cells[0], line.cells[1], line.cells[2], line.take)
	}
	p.say("\nTimes are of one access in C, or of what the line says; ways within 10 %% of each other are both named.\n")
}

func (p *page) writeMachine() {
	c := p.r.config
	p.say("## Where, when and how\n")
	p.say("- Machine: %s, %s cores. A virtual machine is never quiet: trust the ratios, not the times.", c["cpu"], c["cores"])
	p.say("- Kernel: %s. File system: %s. Compilers: %s; %s.", c["kernel"], c["filesystem"], c["go"], c["cc"])
	if len(p.r.dates) > 0 {
		p.say("- Date: %s to %s.", slices.Min(p.r.dates), slices.Max(p.r.dates))
	}
	p.say("")
	for i, sentence := range method {
		p.say("%d. %s", i+1, sentence)
	}
	p.say("")
}

func (p *page) writeNoise() error {
	p.say("## Noise\n")
	var off []float64
	warm, quiet := 0, 0
	for _, g := range p.r.groups {
		if !g.warm() {
			continue
		}
		x, _, err := g.noise()
		if err != nil {
			return err
		}
		warm++
		far := max(x.middle-1, 1-x.middle)
		off = append(off, far)
		if far <= 0.02 {
			quiet++
		}
	}
	if warm > 0 {
		p.say("Of %d blocks that are about memory alone, the A/A pair lies within 2 %% of 1 in %d; half of them are within %s %%, the farthest is off by %s %%.",
			warm, quiet, short3(100*median(off)), short3(100*slices.Max(off)))
	}
	unsettled, all, err := p.r.unsettledRatios()
	if err != nil {
		return err
	}
	p.say("Of %d ratios in them, to limits, to best peers and of A/A pairs, %d have a standard error of no more than 1 %%, from at least %d processes.",
		all, all-unsettled, settledLots)
	if p.second == nil {
		p.lacks = append(p.lacks, "the second run, for the agreement of two (-second)")
		p.say("")
		return nil
	}
	both, err := agree(p.r, p.second)
	if err != nil {
		return err
	}
	p.say("%s", both.sentence())
	for _, m := range both.ratios {
		if !m.within {
			p.say("- %s: %s and %s", m.what, short3(m.a), short3(m.b))
		}
	}
	p.say("")
	return nil
}

func (p *page) writeCharts(dir string) {
	p.say("## Charts\n")
	for _, c := range p.charts {
		p.say("%s\n\n![%s](%s/%s.svg)\n", c.caption, strings.ReplaceAll(c.title, "\\", ""), dir, c.name)
	}
}

func (p *page) writeClaims() {
	p.say("## What the notes claim\n")
	p.say("| note | claim | verdict | figures | rows |\n| --- | --- | --- | --- | --- |")
	for _, c := range claims {
		s := settle(p.r, c)
		if s.missing != "" {
			p.lacks = append(p.lacks, "a claim of note "+c.note+": "+s.missing)
			p.say("| %s | %s | not measured in this run | | %s |", c.note, c.says, s.missing)
			continue
		}
		verdict := string(s.verdict)
		if s.verdict == onlyWhen && c.when != "" {
			verdict += " " + c.when
		}
		p.say("| %s | %s | **%s** | %s | %s |", c.note, c.says, verdict, s.text, strings.Join(s.rows, "; "))
	}
	p.say("")
}

func (p *page) writeLosses() error {
	p.say("## Where mapview loses, and why\n")
	p.say("A peer was faster by more than the noise of the block, and in three quarters of the rounds. Time of mapview's way divided by the peer's. " +
		"Most are of one way of mapview's, where another one does not lose; where none does, the line ends in" + wholeMark + ".\n")
	lots, err := p.r.losses()
	if err != nil {
		return err
	}
	if len(lots) == 0 {
		p.say("Nowhere in this run.\n")
	}
	for _, lot := range lots {
		if lot.reason == noReason {
			p.lacks = append(p.lacks, fmt.Sprintf("the reason of %d losses, the first: %s", len(lot.lines), lot.lines[0]))
		}
		p.say("**%s**\n", lot.reason)
		for _, line := range lot.lines {
			p.say("- %s", line)
		}
		p.say("")
	}
	return nil
}

func (p *page) writeGoals() error {
	p.say("## Goals\n")
	p.say("| block | goal | verdict | figure |\n| --- | --- | --- | --- |")
	met, all := 0, 0
	for _, g := range p.r.groups {
		for _, want := range g.goals() {
			ok, figures, err := g.judge(want)
			if err != nil {
				return err
			}
			all++
			if ok {
				met++
			}
			p.say("| %s | %s: %s | %s | %s |", g.where(), spelling.Replace(want.row), want.meaning, strings.TrimPrefix(verdict(ok), "goal "), figures)
		}
	}
	if all == 0 {
		p.lacks = append(p.lacks, "the goals")
	}
	p.say("\n%d of %d are met. A ratio above 1 is faster; bytes are the device's own count.\n", met, all)
	return nil
}

func (p *page) writeSkips() {
	if len(p.r.skips) == 0 {
		return
	}
	p.say("## Not measured\n")
	for _, why := range p.r.skips {
		p.say("- %s", why)
	}
	p.say("")
}

// The lines of README between which its summary stands.
const (
	readmeBegin = "<!-- bench: from bench/RESULTS.md, by make bench-results -->"
	readmeEnd   = "<!-- bench: end -->"
)

// A summary line is a ratio to the limit, where there is one, and to read or write,
// in C or Go.
type summaryLine struct{ what, block, ours, limit, system, systemName string }

var summaryLines = []summaryLine{
	{"C, read 64 B at random, in memory", "Copy/lang=c/size=64/access=read/pattern=rand", "mapview mv_read", "memory *", "libc pread", "pread"},
	{"C, read 4 KiB at random, in memory", "Copy/lang=c/size=4096/access=read/pattern=rand", "mapview mv_read", "memory *", "libc pread", "pread"},
	{"C, write 4 KiB at random, in memory, folios of 1 MiB", "Copy/lang=c/size=4096/access=write/pattern=rand", "mapview mv_write", "memory *", "libc pwrite", "pwrite"},
	{"Go, 500 reads of 4 KiB", "Read/lang=go/size=4096", "mapview ReadAt", "memory *", "os.File ReadAt", "`os.File`"},
	{"Go, 500 writes of 4 KiB", "Write/lang=go/size=4096", "mapview WriteAt", "memory *", "os.File WriteAt", "`os.File`"},
	{"C, open, use and close a file of 4 KiB", "Once/lang=c/size=4096", "mapview mv_open+sum", "memory *", "libc open+read+sum", "read"},
	{"C, the same file, view kept", "Once/lang=c/size=4096", "mapview kept+sum", "memory *", "libc open+read+sum", "read"},
	{"C, 256 scattered updates (`MV_OPEN_RANDOM`) and a sync, folios of 1 MiB", "ScatterLarge/lang=c", "mapview mv_write+mv_sync", "", "mmap store+msync", "mmap and msync"},
}

// summary is README's part.
func (p *page) summary() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s\n| %s | time | x limit | against | takes |\n| --- | ---: | ---: | --- | ---: |\n", readmeBegin, "mapview")
	for _, l := range summaryLines {
		own, err := measure{l.block, l.ours, "", ""}.of(p.r)
		limit, err2 := own, error(nil)
		if l.limit != "" {
			limit, err2 = measure{l.block, l.ours, l.limit, ""}.of(p.r)
		}
		system, err3 := measure{l.block, l.system, l.ours, ""}.of(p.r)
		if errors.Join(err, err2, err3) != nil {
			p.lack("a line of the summary, %s", l.what)
			continue
		}
		xLimit := ""
		if l.limit != "" {
			xLimit = short3(limit.value)
		}
		fmt.Fprintf(&b, "| %s | %s | %s | %s | %s times as long |\n", l.what, timeText(own.value), xLimit, l.systemName, short3(system.value))
	}
	fmt.Fprintf(&b, "\n![Time divided by the limit's](bench/charts/limit.svg)\n![A file opened, used and closed](bench/charts/once.svg)\n%s", readmeEnd)
	return b.String()
}

// putIntoReadme puts the text in the place of what stands between the marks.
func putIntoReadme(name, text string) error {
	old, err := os.ReadFile(name)
	if err != nil {
		return err
	}
	before, rest, ok := strings.Cut(string(old), readmeBegin)
	_, after, ok2 := strings.Cut(rest, readmeEnd)
	if !ok || !ok2 {
		return fmt.Errorf("%s has not the lines %s and %s", name, readmeBegin, readmeEnd)
	}
	return os.WriteFile(name, []byte(before+text+after), 0o644)
}
