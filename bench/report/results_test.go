package main

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// A way is a variant with its time and more of its line.
type way struct {
	name string // "mapview/op=mv_read"
	ns   float64
	more string
}

// blockText makes rounds of a block, the A/A pair of its last way. Each round has
// its own pace, and each figure some noise.
func blockText(id string, noise float64, ways ...way) string {
	var b strings.Builder
	random := rand.New(rand.NewPCG(1, uint64(len(id))))
	ways = append(ways, way{ways[len(ways)-1].name + "/again=1", ways[len(ways)-1].ns, ways[len(ways)-1].more})
	for range 21 {
		pace := 1 + random.Float64()
		for _, w := range ways {
			fmt.Fprintf(&b, "Benchmark%s/impl=%s-1\t10\t%.2f ns/op%s\n", id, w.name, w.ns*pace*(1+noise*(random.Float64()-0.5)), w.more)
		}
	}
	return b.String()
}

// onceText is the row Once, in which a mapping passes read at 64 KiB.
func onceText() (text string) {
	for _, size := range []int{512, 4096, 16384, 65536, 262144, 1 << 20} {
		text += blockText(fmt.Sprintf("Once/lang=c/size=%d/cache=resident", size), 0,
			way{"mapview/op=mv_open+sum", 10000 + float64(size)*0.1, ""}, way{"mapview/op=kept+sum", 10 + float64(size)*0.1, ""},
			way{"mmap/op=open+mmap+sum", 9000 + float64(size)*0.1, ""}, way{"libc/op=open+read+sum", 1000 + float64(size)*0.3, ""},
			way{"memory/op=sum", 10 + float64(size)*0.1, ""})
	}
	return text
}

func TestCrossover(t *testing.T) {
	r := readRaw(t, onceText())
	if size, ok, err := crossover(r, "Once/lang=c", "mapview mv_open+sum", "libc open+read*"); size != 65536 || !ok || err != nil {
		t.Errorf("%d, %v, %v", size, ok, err)
	}
	if size, ok, err := crossover(r, "Once/lang=c", "libc *", "mapview kept+sum"); ok || err != nil {
		t.Errorf("what is slower everywhere crosses at %d, %v", size, err)
	}
	if _, _, err := crossover(r, "Once/lang=c", "nobody *", "libc *"); err == nil {
		t.Error("no error without the variant")
	}
	var out bytes.Buffer
	if err := writeTable(&out, r); err != nil || !strings.Contains(out.String(), "(C Once): read is faster below 64 KiB, a mapping from there on\n") {
		t.Errorf("%v\n%s", err, &out)
	}
}

func TestDecisionNamesTheFastest(t *testing.T) {
	r := readRaw(t, onceText())
	d := decide(r, decision{block: "Once/lang=c/size=4096", mapview: "mapview mv_open*", mapped: "mmap *", plain: "libc *", advice: "advice"})
	if d.lack != nil || d.take != "**read/write** (the slowest: 4.67x); advice" ||
		!strings.HasSuffix(d.cells[0], " us (mv_open+sum)") || !strings.HasSuffix(d.cells[2], " us (open+read+sum)") {
		t.Errorf("%+v", d)
	}
	if d = decide(r, decision{block: "Once/lang=c/size=1048576", mapview: "mapview mv_open*", mapped: "mmap *", plain: "libc *"}); !strings.HasPrefix(d.take, "**mapview or mmap**") {
		t.Errorf("%+v", d)
	}
	if d = decide(r, decision{block: "Twice/lang=c", mapview: "mapview *", mapped: "mmap *", plain: "libc *"}); d.lack == nil {
		t.Error("no lack without the block")
	}
}

func TestClaimsAreJudgedByTheirFigures(t *testing.T) {
	c := claim{note: "E", says: "aio is slow", measures: []measure{{"Copy/size=64", "aio *", "libc pread|libc read", ""}},
		judge: atLeast(3), figures: times("%s times")}
	for ns, want := range map[float64]settled{
		400: {verdict: holds, text: "4.00 times"},
		200: {verdict: holdsNot, text: "2.00 times"},
	} {
		r := readRaw(t, blockText("Copy/lang=c/size=64", 0, way{"aio/op=aio_read", ns, ""}, way{"libc/op=read", 150, ""}, way{"libc/op=pread", 100, ""}))
		if s := settle(r, c); s.verdict != want.verdict || s.text != want.text || s.missing != "" || strings.Join(s.rows, "") != "C Copy, 64 bytes" {
			t.Errorf("%+v", s)
		}
	}
	r := readRaw(t, blockText("Copy/lang=c/size=64", 0, way{"libc/op=read", 150, ""}))
	if s := settle(r, c); !strings.Contains(s.missing, "no variant aio *") {
		t.Errorf("%+v", s)
	}
	if s := settle(newReport(), c); !strings.Contains(s.missing, "no block Copy/size=64") {
		t.Errorf("%+v", s)
	}
	for v, want := range map[[2]float64]claimVerdict{{2, 2}: holds, {2, 0.5}: onlyWhen, {0.5, 2}: onlyWhen, {0.5, 0.5}: holdsNot} {
		if got := differ(1.1)(v[:]); got != want {
			t.Errorf("%v: %s, not %s", v, got, want)
		}
	}
}

// A number that a note names is what the figures are held to.
func TestClaimsOfANumberAreJudgedByIt(t *testing.T) {
	verdict := func(says string, v ...float64) claimVerdict {
		for _, c := range claims {
			if strings.HasPrefix(c.says, says) {
				return c.judge(v)
			}
		}
		t.Fatalf("there is no claim %q", says)
		return ""
	}
	for _, c := range []struct{ got, want claimVerdict }{
		{verdict("Random stores without a sync", 11.2, 104), onlyWhen},
		{verdict("Random stores without a sync", 25, 80), holds},
		{verdict("Random stores without a sync", 11, 12), holdsNot},
		{verdict("malloc recycles", 385), holds},
		{verdict("malloc recycles", 25), less},
		{verdict("malloc recycles", 0.9), holdsNot},
		{verdict("Without a sync, on a file", 167, 169, 1.46, 1.48), holds},
		{verdict("Without a sync, on a file", 167, 169, 1.46, 0.9), onlyWhen},
	} {
		if c.got != c.want {
			t.Errorf("%s, not %s", c.got, c.want)
		}
	}
}

// The first reason that fits counts: it has to be that of the loss.
func TestReasonsFitTheirLosses(t *testing.T) {
	for text, want := range map[string]string{
		"Go Delayed, 4 KiB, at random, cold: mapview ReadAt Resident: os.File ReadAt":                             "Resident is a promise",
		"C Update, 64 bytes, at random, resident, folio 1048576, sync batch: mapview mv_write: libc pwrite":       "On large folios",
		"C Update, 64 bytes, at random, resident, folio 4096, sync batch: mapview mv_write: libc pwrite":          "After a sync",
		"Go GoSync, 64 bytes, records 1, at random, sync full: mapview WriteAt+Sync,page: os.File WriteAt+Sync":   "On large folios",
		"Go GoSync, 64 bytes, records 1, at random, sync full: mapview WriteAt+Sync,random: os.File WriteAt+Sync": "After a sync",
		"C GrowthOnext4, 1 MiB: mapview mv_resize: mmap fallocate,mapped-ahead":                                   "A mapping that is longer",
		"C Cold, 4 KiB, at random, cold: mapview mv_read,RANDOM: mmap WILLNEED+memcpy,RANDOM":                     "They have many reads",
		"C PrefaultLarge, 1 byte: mapview mv_prefault: mmap faults":                                               "The same stores",
	} {
		got := noReason
		for _, r := range reasons {
			if r.pattern.MatchString(text) {
				got = r.text
				break
			}
		}
		if !strings.Contains(got, want) {
			t.Errorf("%s: %s", text, got)
		}
	}
}

// Every claim can be judged and said with as many figures as it has measures.
func TestClaimsAreWellFormed(t *testing.T) {
	for _, c := range claims {
		v := make([]float64, len(c.measures))
		for i := range v {
			v[i] = 1.5
		}
		verdict, text := c.judge(v), c.figures(v)
		if verdict == "" || text == "" || strings.Contains(text, "%!") || c.note == "" {
			t.Errorf("%s: %q, %q", c.says, verdict, text)
		}
	}
}

func TestChartTable(t *testing.T) {
	c, err := onceChart(readRaw(t, onceText()))
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(c.table(), "\n")
	if lines[0] != "x\tmapview, opened each time\tmmap by hand, each time\tread\tmapview, kept open" || !strings.HasPrefix(lines[1], "512\t") || len(lines) != 8 {
		t.Errorf("%q", lines)
	}
	if len(c.marks) != 2 || c.marks[0].text != "mapview passes read: 64 KiB" || c.marks[0].x != 65536 {
		t.Errorf("%+v", c.marks)
	}
	c.lines[1].points = c.lines[1].points[1:]
	if !strings.Contains(c.table(), "\t?\t") {
		t.Error("a point that is not there has a figure")
	}
}

func TestChartIsDrawn(t *testing.T) {
	if _, err := exec.LookPath("gnuplot"); err != nil {
		t.Skipf("no gnuplot: %v", err)
	}
	c, err := onceChart(readRaw(t, onceText()))
	if err != nil {
		t.Fatal(err)
	}
	bars := chart{name: "bars", title: "bars", words: []string{"one", "two"}, lines: []chartLine{{"mapview mv\\_read", [][2]float64{{0, 1}, {1, 2}}}}}
	dir := t.TempDir()
	for _, c := range []chart{c, bars} {
		if err := c.draw(dir); err != nil {
			t.Fatal(err)
		}
		svg, err := os.ReadFile(filepath.Join(dir, c.name+".svg"))
		if err != nil || !bytes.Contains(svg, []byte("</svg>")) || !bytes.Contains(svg, []byte("#ffffff")) || len(svg) > 64<<10 {
			t.Errorf("%s: %v, %d bytes", c.name, err, len(svg))
		}
		if c.name == "once" && !bytes.Contains(svg, []byte("mapview passes read: 64 KiB")) {
			t.Error("the crossover is not marked")
		}
	}
	c.name = "no/folder"
	if err := c.draw(dir); err == nil {
		t.Error("a chart that cannot be written is no error")
	}
}

func TestResultsPage(t *testing.T) {
	dir := t.TempDir()
	raw, readme := filepath.Join(dir, "raw"), filepath.Join(dir, "README.md")
	page := filepath.Join(dir, "RESULTS.md")
	if err := os.Mkdir(raw, 0o700); err != nil {
		t.Fatal(err)
	}
	text := "cpu: Fast\ngo: go1.24\nDATE 2026-11-25 10:00 UTC\nSKIPPED the rest: a test\n" + onceText() +
		blockText("Odd/lang=c/size=1", 0, way{"mapview/op=mv_read", 200, ""}, way{"mmap/op=memcpy", 100, ""}) + wholeLine + "x\n"
	os.WriteFile(filepath.Join(raw, "001-c-Once.txt"), []byte(text), 0o600)
	os.WriteFile(readme, []byte("before\n"+readmeBegin+"\nold\n"+readmeEnd+"\nafter\n"), 0o600)
	args := []string{"-page", page, "-charts", filepath.Join(dir, "charts"), "-readme", readme, raw}

	var out bytes.Buffer
	path := os.Getenv("PATH")
	t.Setenv("PATH", dir)
	if err := resultsCommand(&out, args); err == nil || !strings.Contains(err.Error(), "old charts") {
		t.Errorf("without gnuplot: %v", err)
	}
	os.WriteFile(filepath.Join(dir, "gnuplot"), []byte("#!/bin/sh\n"), 0o700) // TestChartIsDrawn has the real one
	t.Setenv("PATH", dir+":"+path)
	if err := resultsCommand(&out, append([]string{"-strict"}, args...)); err == nil || !strings.Contains(out.String(), "missing: a claim of note D") {
		t.Errorf("strict: %v\n%s", err, &out)
	}
	if _, err := os.Stat(page); err == nil {
		t.Error("a page that lacks something was written under -strict")
	}
	if err := resultsCommand(&out, args); err != nil {
		t.Fatal(err)
	}
	got, _ := os.ReadFile(page)
	for _, want := range []string{"## mmap or read for my case?\n", "`read` below 64 KiB, a mapping from there on", "| open, read once and close a file of 4 KiB |",
		"not measured in this run", "- the rest: a test", "2026-11-25 10:00 UTC", noReason, "C Odd, 1 byte: mapview mv_read: 2.00x mmap memcpy", "![A file in memory"} {
		if !bytes.Contains(got, []byte(want)) {
			t.Errorf("no %q in\n%s", want, got)
		}
	}
	is, _ := os.ReadFile(readme)
	if !bytes.HasPrefix(is, []byte("before\n"+readmeBegin+"\n| mapview")) || !bytes.HasSuffix(is, []byte(readmeEnd+"\nafter\n")) || bytes.Contains(is, []byte("old")) {
		t.Errorf("%s", is)
	}
	os.WriteFile(readme, []byte("no marks"), 0o600)
	if err := resultsCommand(&out, args); err == nil {
		t.Error("a README without the marks is no error")
	}
}

// README shows what the results page says: both were made at once.
func TestReadmeHasTheFiguresOfTheResultsPage(t *testing.T) {
	readme, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	page, err := os.ReadFile("../RESULTS.md")
	if os.IsNotExist(err) {
		t.Skip("there is no results page yet: make bench-results")
	}
	_, rest, _ := strings.Cut(string(readme), readmeBegin)
	part, _, ok := strings.Cut(rest, readmeEnd)
	if !ok || !strings.Contains(part, "| ---") {
		t.Fatal("README has no table between its marks")
	}
	_, copied, _ := strings.Cut(string(page), readmeBegin)
	copied, _, _ = strings.Cut(copied, readmeEnd)
	if strings.ReplaceAll(part, "bench/charts/", "charts/") != copied {
		t.Errorf("README's part is not that of bench/RESULTS.md: make bench-results\n%s\n%s", part, copied)
	}
}

// Losses of one variant in many blocks are one line, and each has a reason or says that it has none.
func TestLossesAreGathered(t *testing.T) {
	r := readRaw(t, onceText()+blockText("Guard/lang=c/size=64", 0, way{"mapview/op=mv_try+memcpy", 200, ""}, way{"unguarded/op=memcpy", 100, ""}))
	lots, err := r.losses()
	if err != nil || len(lots) < 2 {
		t.Fatalf("%+v, %v", lots, err)
	}
	text := fmt.Sprint(lots)
	for _, want := range []string{"mv_try saves the registers", "C Guard, 64 bytes: mapview mv_try+memcpy: 2.00x unguarded memcpy (*)",
		"C Once (3 blocks, from 512 bytes, resident to 16 KiB, resident): mapview mv_open+sum: 1.97-8.71x libc open+read+sum"} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in %s", want, text)
		}
	}
}

func TestAgreement(t *testing.T) {
	text := func(factor, noise float64) string {
		return blockText("Copy/lang=c/size=64/cache=resident", noise, way{"mapview/op=mv_read", 100 * factor, ""}, way{"mapview/op=mv_data+memcpy", 90, ""},
			way{"mmap/op=memcpy", 95, ""}, way{"memory/op=memcpy", 80, ""}) +
			blockText("Cold/lang=c/size=64/cache=cold", 0, way{"mapview/op=mv_read", 100 * factor * factor, ""}, way{"libc/op=pread", 95, ""})
	}
	a, b := readRaw(t, text(1, 0)), readRaw(t, text(1.04, 0.01))
	all, err := agree(a, b)
	if err != nil || all.count != 4 || len(all.ratios) != 4 || len(all.noise) != 2 {
		t.Errorf("%+v, %v", all, err)
	}
	if all, err = agree(a, readRaw(t, text(1.2, 0))); err != nil || all.count != 2 || all.ratios[0].what != "C Copy, 64 bytes, resident: mapview mv_read x memory memcpy" {
		t.Errorf("%+v, %v", all, err)
	}
	if !strings.Contains(all.sentence(), "within 5 % on 2 of 4 warm ratios") {
		t.Error(all.sentence())
	}
	// Of some processes a ratio is known well: here of all but the one that is another
	// in each process.
	processes := func(n int, spread float64) *report {
		var b strings.Builder
		for i := range n {
			b.WriteString(dateLine + "x\n" + text(1+spread*float64(i%2), 0))
		}
		return readRaw(t, b.String())
	}
	for _, c := range []struct {
		n      int
		spread float64
		want   string
	}{{settledLots, 0, "on 4 of the 4 that both"}, {settledLots - 1, 0, "on 0 of the 0 that both"}, {settledLots, 0.1, "on 2 of the 2 that both"}} {
		all, err := agree(processes(c.n, c.spread), processes(settledLots, 0))
		if err != nil || !strings.Contains(all.sentence(), c.want) {
			t.Errorf("%+v: %v, %s", c, err, all.sentence())
		}
	}
	if _, err := agree(a, newReport()); err == nil {
		t.Error("runs without a common ratio agree")
	}
}

// The real benchstat reads the raw text, with the lines that are ours alone.
func TestBenchstatReadsTheRawText(t *testing.T) {
	name := filepath.Join(t.TempDir(), "raw.txt")
	text := "goos: linux\ncpu: Fast\nDATE 2026-11-25 10:00 UTC\nRow BenchmarkOnce/lang=c/size=512\ttitle: of it\nState BenchmarkOnce/lang=c/size=512\tall: in memory\n" +
		"SKIPPED some: why\n" + onceText() + strings.ReplaceAll(onceText(), "lang=c", "lang=go") + wholeLine + "0123 1 s in 1\n"
	os.WriteFile(name, []byte(text), 0o600)
	cmd := exec.Command("go", "tool", "benchstat", "-row", ".name,/size", "-col", "/lang", "-ignore", "/op,/again,/cache", "-filter", "/impl:mapview .unit:ns/op", name)
	out, err := cmd.CombinedOutput()
	if err != nil {
		if strings.Contains(string(out), "dial tcp") || strings.Contains(string(out), "lookup ") {
			t.Skipf("benchstat cannot be downloaded: %s", out)
		}
		t.Fatalf("%v\n%s", err, out)
	}
	if !bytes.Contains(out, []byte("Once 512")) || !bytes.Contains(out, []byte("│")) || bytes.Contains(out, []byte("title")) || !bytes.Contains(out, []byte("n=42")) {
		t.Errorf("%s", out)
	}
}
