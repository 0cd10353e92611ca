//! bench-rust measures memmap2, std::fs and mapview (its C library) side by side.
//!
//!     bench-rust -list                           names the rows
//!     bench-rust -dir DIR -row NAME -seconds S   measures one and prints its raw text
//!
//! -run TEXT is what the progress line begins with. bench/run does all of it.

mod mapview;
mod rounds;
mod set;
mod ways;

use rounds::{Block, Outcome, Variant, Walk};
use set::Set;
use std::path::Path;
use std::time::Instant;

struct Row {
    name: &'static str,
    short: bool,
    seconds: f64,
    title: &'static str,
    run: fn(&mut Run) -> Outcome<()>,
}

const fn row(
    name: &'static str,
    short: bool,
    seconds: f64,
    title: &'static str,
    run: fn(&mut Run) -> Outcome<()>,
) -> Row {
    Row {
        name,
        short,
        seconds,
        title,
        run,
    }
}

const ROWS: [Row; 6] = [
    row("Hot", true, 3.0, "one read of what is in memory, out of 1 MiB", hot),
    row(
        "HotWrite",
        true,
        2.0,
        "one write at random to what is in memory, no sync",
        hot_write,
    ),
    row(
        "HotLarge",
        false,
        12.0,
        "one read of what is in memory, out of 256 MiB",
        hot_large,
    ),
    row(
        "HotWriteLarge",
        false,
        10.0,
        "one write at random within 256 MiB, no sync",
        hot_write_large,
    ),
    row(
        "Once",
        true,
        5.0,
        "open, read all of it once, close: 512 bytes to 4 MiB",
        once,
    ),
    row(
        "WriteSync",
        false,
        4.0,
        "500 writes in a row, then one sync",
        write_sync,
    ),
];

/// A Run is one row being measured.
struct Run<'a> {
    dir: &'a Path,
    start: Instant,
    seconds: f64,
    blocks: usize, // of the row
    left: usize,   // of them, with the one to come
    progress: String,
}

impl Run<'_> {
    fn expect(&mut self, blocks: usize) {
        self.blocks = blocks;
        self.left = blocks;
    }

    /// Gives the block its share of the time that is left, and no more than its
    /// part, where others are not wanted.
    fn measure(&mut self, mut block: Block) -> Outcome<()> {
        let share = (self.seconds - self.start.elapsed().as_secs_f64()) / self.left as f64;
        self.left = self.left.saturating_sub(1).max(1);
        if !is_wanted(&block.full_name())? {
            return Ok(());
        }
        block.measure(share.min(self.seconds / self.blocks as f64), &self.progress)
    }
}

/// Tells whether a block is to be measured. With BENCH_ONLY=FILE that are those
/// whose names stand in the file, a line each, as "Hot/lang=rust/size=64".
fn is_wanted(name: &str) -> Outcome<bool> {
    match std::env::var("BENCH_ONLY") {
        Ok(file) if !file.is_empty() => {
            let text = std::fs::read_to_string(&file).map_err(|e| format!("{file}: {e}"))?;
            Ok(text.lines().any(|line| line == name))
        }
        _ => Ok(true),
    }
}

fn kib(n: usize) -> String {
    if n % 1024 == 0 {
        format!("{} KiB", n / 1024)
    } else {
        format!("{n} bytes")
    }
}

fn walk(size: usize, set: usize, random: bool) -> Walk {
    Walk {
        size,
        times: (set::PIECE / size).clamp(16, 512),
        set,
        random,
    }
}

fn block(name: &'static str, walk: Walk, keys: String, title: String, set: &Set, variants: Vec<Variant>) -> Block {
    Block {
        name,
        keys,
        title,
        state: set.state.clone(),
        walk,
        each: true,
        variants,
        buf: Vec::new(),
        seed: 0,
    }
}

/// As in ../hot.go, with the same keys.
fn hot_block(
    set: &Set,
    name: &'static str,
    verb: &str,
    cache: &str,
    size: usize,
    random: bool,
    mut variants: Vec<Variant>,
) -> Block {
    let (pattern, how) = if random {
        ("rand", "at random")
    } else {
        ("seq", "in a row")
    };
    let mib = set.size >> 20;
    for (i, v) in variants.iter_mut().enumerate() {
        v.at = if random {
            (i as u64 + 1) << 40
        } else {
            (i * (set.size / size / 8) * size) as u64
        };
        v.touch = v.who != "std.fs" || set.size <= set::PIECE;
    }
    let mut b = block(
        name,
        walk(size, set.size, random),
        format!("/set={mib}MiB/pattern={pattern}/cache={cache}"),
        format!("{verb} {} {how}, in {mib} MiB", kib(size)),
        set,
        variants,
    );
    b.state += "; every page accessed through its mapping before a variant's turn";
    b
}

const SMALL: usize = 1 << 20;
const LARGE: usize = 256 << 20;

fn reads(run: &mut Run, name: &'static str, bytes: usize) -> Outcome<()> {
    let loads = [(64, false), (64, true), (4096, true)];
    run.expect(loads.len());
    let set = Set::make(run.dir, "rust-hot", bytes)?;
    for (size, random) in loads {
        let variants = ways::reads(&set)?;
        run.measure(hot_block(&set, name, "read", "resident", size, random, variants))?;
    }
    Ok(())
}

fn writes(run: &mut Run, name: &'static str, bytes: usize) -> Outcome<()> {
    let sizes = [64, 4096];
    run.expect(sizes.len());
    let set = Set::make(run.dir, "rust-hot-write", bytes)?;
    let whole = Walk {
        size: set::PIECE,
        times: 1,
        set: bytes + set::PIECE,
        random: false,
    };
    for size in sizes {
        let mut variants = ways::writes(&set, false)?;
        for v in &mut variants {
            let mut p = vec![1u8; set::PIECE];
            for off in (0..bytes).step_by(set::PIECE) {
                (v.run)(&mut p, 0, &whole, off as u64)?;
            }
        }
        let dirty = set::dirty_kib(set.reader()?);
        let mut b = hot_block(&set, name, "write", "dirty", size, true, variants);
        b.state += &format!(
            "; written through each mapping before: {dirty} of {} KiB dirty, by smaps",
            bytes / 1024
        );
        run.measure(b)?;
    }
    Ok(())
}

fn hot(run: &mut Run) -> Outcome<()> {
    reads(run, "Hot", SMALL)
}

fn hot_large(run: &mut Run) -> Outcome<()> {
    reads(run, "HotLarge", LARGE)
}

fn hot_write(run: &mut Run) -> Outcome<()> {
    writes(run, "HotWrite", SMALL)
}

fn hot_write_large(run: &mut Run) -> Outcome<()> {
    writes(run, "HotWriteLarge", LARGE)
}

fn once(run: &mut Run) -> Outcome<()> {
    let sizes = [512, 4096, 16384, 65536, 262144, 1 << 20, 4 << 20];
    run.expect(sizes.len());
    for size in sizes {
        let set = Set::make(run.dir, "rust-once", size)?;
        let walk = Walk {
            size,
            times: (set::PIECE / size).clamp(1, 16),
            set: size,
            random: false,
        };
        let keys = "/pattern=seq/cache=resident".to_string();
        let title = format!("open, read all of {} once, close", kib(size));
        run.measure(block("Once", walk, keys, title, &set, ways::once(&set)))?;
    }
    Ok(())
}

fn write_sync(run: &mut Run) -> Outcome<()> {
    run.expect(1);
    let set = Set::make(run.dir, "rust-write-sync", 500 * 4096)?;
    let walk = Walk {
        size: 4096,
        times: 500,
        set: 500 * 4096,
        random: false,
    };
    let title = "500 writes of 4 KiB, then one sync".to_string();
    let mut b = block("WriteSync", walk, String::new(), title, &set, ways::writes(&set, true)?);
    b.each = false;
    run.measure(b)
}

const USAGE: &str = "usage: bench-rust -list | -dir DIR -row NAME [-seconds S] [-run TEXT]";

fn measure(args: &[String]) -> Outcome<()> {
    let value = |name: &str| args.iter().position(|a| a == name).and_then(|i| args.get(i + 1));
    let (Some(dir), Some(name)) = (value("-dir"), value("-row")) else {
        return Err(USAGE.to_string());
    };
    let seconds = match value("-seconds") {
        Some(text) => text
            .parse()
            .map_err(|_| format!("-seconds is not a number: {text:?}"))?,
        None => 5.0,
    };
    let Some(row) = ROWS.iter().find(|r| r.name == name) else {
        return Err(format!("there is no row {name:?}: -list names them"));
    };
    let mut run = Run {
        dir: Path::new(dir),
        start: Instant::now(),
        seconds,
        blocks: 1,
        left: 1,
        progress: value("-run").cloned().unwrap_or_default(),
    };
    (row.run)(&mut run).map_err(|why| format!("{}: {why}", row.name))
}

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    if args == ["-list"] {
        for r in &ROWS {
            println!(
                "{}\t{}\t{}\t{}",
                r.name,
                if r.short { "short" } else { "full" },
                r.seconds,
                r.title
            );
        }
        return;
    }
    if let Err(why) = measure(&args) {
        eprintln!("bench-rust: {why}");
        std::process::exit(1);
    }
}
