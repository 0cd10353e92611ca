//! Times the variants of a block side by side, as ../rounds.go does: what stands
//! there about the method holds here.

use crate::set;
use std::io::{IsTerminal, Read, Write};
use std::os::fd::FromRawFd;
use std::time::{Duration, Instant};

pub type Outcome<T> = Result<T, String>;

const ROUND: Duration = Duration::from_micros(1500);
const MIN_ROUNDS: usize = 20;
const FEW_ROUNDS: usize = 5; // where one takes LONG_ROUND or more
const LONG_ROUND: Duration = Duration::from_millis(100);

/// A Walk is where the accesses of a pass go.
#[derive(Clone, Copy)]
pub struct Walk {
    pub size: usize,  // bytes of one access
    pub times: usize, // accesses in a pass
    pub set: usize,   // bytes that may be accessed; a multiple of size
    pub random: bool, // or one after the other, round and round
}

impl Walk {
    /// Where an access goes, and what to call it with for the next one.
    #[inline]
    pub fn place(&self, at: u64) -> (usize, u64) {
        if self.random {
            let at = at.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            let slot = ((at >> 32) * (self.set / self.size) as u64) >> 32;
            return (slot as usize * self.size, at);
        }
        let next = at + self.size as u64;
        (at as usize, if next == self.set as u64 { 0 } else { next })
    }
}

/// A Loop makes the accesses of a pass. The i-th works on the size bytes of buf at
/// i * stride; stride 0 uses one buffer over and over. It returns what the next
/// pass begins at.
pub type Loop = Box<dyn FnMut(&mut [u8], usize, &Walk, u64) -> Outcome<u64>>;

pub struct Variant {
    pub who: &'static str,
    pub op: &'static str,
    pub again: bool, // the second of the A/A pair
    pub run: Loop,
    pub at: u64, // of the next access
    was: u64,    // before the passes of this round
    pub touch: bool,
    pub reader: Option<&'static [u8]>, // what it has written shows here; None: reads
}

impl Variant {
    pub fn new(who: &'static str, op: &'static str, run: Loop) -> Variant {
        Variant {
            who,
            op,
            again: false,
            run,
            at: 0,
            was: 0,
            touch: false,
            reader: None,
        }
    }

    fn pass(&mut self, buf: &mut [u8], stride: usize, walk: &Walk) -> Outcome<()> {
        self.at = (self.run)(buf, stride, walk, self.at)?;
        Ok(())
    }

    /// Where the last n of the accesses since the round began went.
    fn places(&self, walk: &Walk, accesses: usize, n: usize) -> Vec<usize> {
        let mut at = self.was;
        let mut places = Vec::with_capacity(n);
        for i in 0..accesses {
            let (off, next) = walk.place(at);
            at = next;
            if i >= accesses - n {
                places.push(off);
            }
        }
        places
    }
}

pub struct Block {
    pub name: &'static str,
    pub keys: String,
    pub title: String,
    pub state: String,
    pub walk: Walk,
    pub each: bool, // the accesses of a pass are ops of their own
    pub variants: Vec<Variant>,
    pub buf: Vec<u8>,
    pub seed: u64,
}

struct Sample {
    ops: usize,
    took: Duration,
    faults: u64,
}

impl Block {
    /// Measures for about seconds and prints the raw text.
    pub fn measure(&mut self, seconds: f64, run: &str) -> Outcome<()> {
        self.buf = vec![0; self.walk.size];
        self.check_all()?;
        let mut ops = Vec::new();
        for k in 0..self.variants.len() {
            ops.push(self.calibrate(k)?);
        }
        let start = Instant::now();
        self.round(0, &ops)?; // the warm-up, thrown away
        let one = start.elapsed();
        let least = if one >= LONG_ROUND { FEW_ROUNDS } else { MIN_ROUNDS };
        let rounds = least.max((seconds / one.as_secs_f64()) as usize);
        let mut samples = Vec::new();
        for r in 0..rounds {
            progress(&format!(
                "{run}Rust, {} {}{}, round {r} of {rounds}",
                self.name, self.walk.size, self.keys
            ));
            samples.push(self.round(r, &ops)?);
        }
        progress("");
        self.check_all()?;
        self.print(&samples);
        Ok(())
    }

    fn named(&self, k: usize, why: String) -> String {
        let v = &self.variants[k];
        format!(
            "Rust, {} {}{}: {} {}: {why}",
            self.name, self.walk.size, self.keys, v.who, v.op
        )
    }

    fn check_all(&mut self) -> Outcome<()> {
        for k in 0..self.variants.len() {
            self.check_whole(k).map_err(|why| self.named(k, why))?;
        }
        Ok(())
    }

    /// Makes a pass and looks at all of its bytes.
    fn check_whole(&mut self, k: usize) -> Outcome<()> {
        let (walk, v) = (self.walk, &mut self.variants[k]);
        let mut wide = vec![0u8; walk.size * walk.times];
        if v.reader.is_some() {
            set::random(&mut wide, &mut self.seed);
        }
        v.was = v.at;
        v.pass(&mut wide, walk.size, &walk)?;
        let places = v.places(&walk, walk.times, walk.times);
        match v.reader {
            None => {
                for (part, &off) in wide.chunks_exact(walk.size).zip(&places) {
                    set::want_filled(part, off)?;
                }
                Ok(())
            }
            Some(file) => arrived(file, &places, walk.size, |i| &wide[i * walk.size..(i + 1) * walk.size]),
        }
    }

    fn before(&mut self, k: usize) -> Outcome<()> {
        let (walk, v) = (self.walk, &mut self.variants[k]);
        if v.touch {
            touch(&mut v.run, walk.set)?;
        }
        if v.reader.is_some() {
            set::random(&mut self.buf, &mut self.seed);
        } else {
            self.buf.fill(0); // a set has no word that is 0
        }
        v.was = v.at;
        Ok(())
    }

    fn after(&self, k: usize, passes: usize) -> Outcome<()> {
        let (walk, v) = (&self.walk, &self.variants[k]);
        match v.reader {
            None => set::want_filled(&self.buf, v.places(walk, passes * walk.times, 1)[0]),
            Some(file) => arrived(
                file,
                &v.places(walk, passes * walk.times, walk.times),
                walk.size,
                |_| &self.buf,
            ),
        }
    }

    /// Times ops passes. One before them, untimed, brings back the caches.
    fn sample(&mut self, k: usize, ops: usize) -> Outcome<Sample> {
        self.before(k)?;
        let walk = self.walk;
        let v = &mut self.variants[k];
        v.pass(&mut self.buf, 0, &walk)?;
        let faults = set::faults();
        let start = Instant::now();
        for _ in 0..ops {
            v.pass(&mut self.buf, 0, &walk)?;
        }
        let sample = Sample {
            ops,
            took: start.elapsed(),
            faults: set::faults() - faults,
        };
        self.after(k, ops + 1)?;
        Ok(sample)
    }

    fn calibrate(&mut self, k: usize) -> Outcome<usize> {
        let mut ops = 1;
        loop {
            let s = self.sample(k, ops).map_err(|why| self.named(k, why))?;
            if s.took >= ROUND / 4 {
                return Ok(((ops as f64 * ROUND.as_secs_f64() / s.took.as_secs_f64()) as usize).max(1));
            }
            ops *= 2;
        }
    }

    fn round(&mut self, r: usize, ops: &[usize]) -> Outcome<Vec<Sample>> {
        step()?;
        let mut samples: Vec<Option<Sample>> = self.variants.iter().map(|_| None).collect();
        for k in order(lot(), r, self.variants.len()) {
            let s = self.sample(k, ops[k]).map_err(|why| self.named(k, why))?;
            samples[k] = Some(s);
        }
        Ok(samples.into_iter().flatten().collect())
    }

    /// What the block's lines have in common.
    pub fn full_name(&self) -> String {
        format!("{}/lang=rust/size={}{}", self.name, self.walk.size, self.keys)
    }

    fn print(&self, samples: &[Vec<Sample>]) {
        let walk = &self.walk;
        let name = self.full_name();
        println!("Row Benchmark{name}\t{}", self.title);
        println!("State Benchmark{name}\t{}", self.state);
        for (s, v) in samples.iter().flat_map(|round| round.iter().zip(&self.variants)) {
            let ops = if self.each { s.ops * walk.times } else { s.ops };
            let moved = if self.each { walk.size } else { walk.size * walk.times };
            let ns = s.took.as_secs_f64() * 1e9 / ops as f64;
            println!(
                "Benchmark{}/lang=rust/impl={}/op={}/size={}{}{}-1\t{ops}\t{ns:.3} ns/op\t{:.2} MB/s\t{:.5} faults/op",
                self.name,
                v.who,
                v.op,
                walk.size,
                self.keys,
                if v.again { "/again=1" } else { "" },
                moved as f64 / ns * 1000.0,
                s.faults as f64 / ops as f64,
            );
        }
    }
}

/// Where two accesses went to the same place, the later one counts.
fn arrived<'a>(file: &[u8], places: &[usize], size: usize, want: impl Fn(usize) -> &'a [u8]) -> Outcome<()> {
    let mut seen = std::collections::HashSet::new();
    for (i, &off) in places.iter().enumerate().rev() {
        if seen.insert(off) && file[off..off + size] != *want(i) {
            return Err(format!("access {i} of a pass, {size} bytes to {off}, did not arrive"));
        }
    }
    Ok(())
}

/// All of a small set, and a byte of each page of a large one: see ../set.go.
fn touch(run: &mut Loop, set: usize) -> Outcome<()> {
    let size = if set <= set::PIECE { set::PAGE } else { 1 };
    let walk = Walk {
        size,
        times: 1,
        set: set + size,
        random: false,
    };
    let mut p = vec![0u8; size];
    for off in (0..set).step_by(set::PAGE) {
        run(&mut p, 0, &walk, off as u64)?;
    }
    Ok(())
}

/// Shuffled, not rotated: what a variant finds in the caches is what the one before
/// it has left there, and none must have the same one before it always. Of several
/// processes each says by BENCH_LOT which it is, and has orders of its own.
fn order(lot: u64, round: usize, n: usize) -> Vec<usize> {
    let mut x = ((lot << 40) + round as u64 + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    let mut ks: Vec<usize> = (0..n).collect();
    for left in (2..=n).rev() {
        x ^= x >> 12;
        x ^= x << 25;
        x ^= x >> 27;
        let chosen = (x.wrapping_mul(2_685_821_657_736_338_717) >> 33) as usize % left;
        ks.swap(left - 1, chosen);
    }
    ks
}

fn lot() -> u64 {
    std::env::var("BENCH_LOT")
        .ok()
        .and_then(|l| l.parse().ok())
        .unwrap_or(0)
}

fn progress(text: &str) {
    if std::io::stderr().is_terminal() {
        eprint!("\r\x1b[K{text}");
    }
}

/// Waits for the turn of this runner, if it has to take turns: see ../step.go.
fn step() -> Outcome<()> {
    let Ok(text) = std::env::var("BENCH_STEP") else {
        return Ok(());
    };
    let ends: Vec<i32> = text.split(',').filter_map(|n| n.parse().ok()).collect();
    let [from, to] = ends[..] else {
        return Err(format!("BENCH_STEP is not two descriptors, IN,OUT: {text:?}"));
    };
    // SAFETY: both are this process's, and are not closed here.
    let mut from = std::mem::ManuallyDrop::new(unsafe { std::fs::File::from_raw_fd(from) });
    let mut to = std::mem::ManuallyDrop::new(unsafe { std::fs::File::from_raw_fd(to) });
    to.write_all(&[1])
        .map_err(|e| format!("telling that a round is over: {e}"))?;
    from.read_exact(&mut [0])
        .map_err(|e| format!("waiting for a turn: {e}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block(run: Loop, reader: Option<&'static [u8]>) -> Block {
        let mut v = Variant::new("wrong", "copy", run);
        v.reader = reader;
        Block {
            name: "Test",
            keys: String::new(),
            title: String::new(),
            state: String::new(),
            each: true,
            variants: vec![v],
            walk: Walk {
                size: 64,
                times: 16,
                set: 1 << 16,
                random: true,
            },
            buf: Vec::new(),
            seed: 1,
        }
    }

    fn memory() -> &'static mut [u8] {
        let m: &'static mut [u8] = Box::leak(vec![0u8; 1 << 16].into_boxed_slice());
        set::fill(m, 0);
        m
    }

    #[test]
    fn a_right_variant_passes() {
        let m: &'static [u8] = memory();
        assert_eq!(block(crate::ways::copy_out(m), None).measure(0.0, ""), Ok(()));
    }

    // Each way to be wrong ends the run; the times that a pass was called decide.
    #[test]
    fn a_lying_reader_fails_the_run() {
        let m: &'static [u8] = memory();
        type Lie = fn(usize, &mut [u8], usize) -> bool; // true: does nothing this time
        let lies: [(&str, Lie); 4] = [
            ("reads nothing", |_, _, _| true),
            ("closed after the first", |pass, _, _| pass > 1),
            ("idle when it is timed", |_, _, stride| stride == 0),
            ("the last byte", |_, buf, _| {
                let n = buf.len();
                buf[n - 1] ^= 1;
                true
            }),
        ];
        for (name, lie) in lies {
            let (mut right, mut passes) = (crate::ways::copy_out(m), 0);
            let run: Loop = Box::new(move |buf, stride, walk, at| {
                passes += 1;
                if name == "the last byte" {
                    let next = right(buf, stride, walk, at)?;
                    lie(passes, buf, stride);
                    return Ok(next);
                }
                if lie(passes, buf, stride) {
                    return Ok((0..walk.times).fold(at, |at, _| walk.place(at).1));
                }
                right(buf, stride, walk, at)
            });
            assert!(block(run, None).measure(0.0, "").is_err(), "{name}");
        }
    }

    #[test]
    fn a_lying_writer_fails_the_run() {
        for lie in 0..3 {
            let m = memory();
            // SAFETY: the test has one thread; the reader looks between the writes.
            let reader = unsafe { std::slice::from_raw_parts(m.as_ptr(), m.len()) };
            let run: Loop = Box::new(move |buf, stride, walk, mut at| {
                for i in 0..walk.times {
                    let (off, next) = walk.place(at);
                    at = next;
                    let n = match lie {
                        0 => 0,                                            // writes nothing
                        1 => walk.size - 1,                                // short
                        _ => walk.size * usize::from(i != walk.times / 2), // all but one
                    };
                    m[off..off + n].copy_from_slice(&buf[i * stride..i * stride + n]);
                }
                Ok(at)
            });
            assert!(block(run, Some(reader)).measure(0.0, "").is_err(), "lie {lie}");
        }
    }

    #[test]
    fn order_gives_each_variant_every_place() {
        for n in 1..8 {
            let mut places = vec![std::collections::HashSet::new(); n];
            for r in 0..30 * n {
                for (place, k) in order(0, r, n).into_iter().enumerate() {
                    places[k].insert(place);
                }
            }
            assert!(places.iter().all(|p| p.len() == n), "{n} variants: {places:?}");
            assert!(
                n < 4 || (0..9).any(|r| order(0, r, n) != order(1, r, n)),
                "two processes, one order"
            );
        }
    }
}
