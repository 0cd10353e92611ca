//! The bytes that are read and written, and what the page cache holds of them.

use crate::rounds::Outcome;
use memmap2::{Advice, MmapMut};
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};

pub const PAGE: usize = 4096;
pub const PIECE: usize = 1 << 20; // bytes that a set is filled in
const HUGE: usize = 2 << 20;

/// What a set holds at byte 8 * i, as in ../set.go: of all i it is another, and
/// never 0.
fn word(i: usize) -> u64 {
    let mut x = (i as u64 + 1).wrapping_mul(0x9e3779b97f4a7c15);
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58476d1ce4e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d049bb133111eb);
    x ^ (x >> 31)
}

pub fn fill(p: &mut [u8], off: usize) {
    for (i, w) in p.chunks_exact_mut(8).enumerate() {
        w.copy_from_slice(&word(off / 8 + i).to_le_bytes());
    }
}

/// Looks at every byte of what was read from off on.
pub fn want_filled(p: &[u8], off: usize) -> Outcome<()> {
    for (i, w) in p.chunks_exact(8).enumerate() {
        let (got, want) = (u64::from_le_bytes(w.try_into().unwrap()), word(off / 8 + i));
        if got != want {
            return Err(format!(
                "the 8 bytes at {} are {got:#x} and should be {want:#x}",
                off + i * 8
            ));
        }
    }
    Ok(())
}

pub fn random(p: &mut [u8], seed: &mut u64) {
    for w in p.chunks_mut(8) {
        *seed = seed.wrapping_add(1);
        w.copy_from_slice(&word(*seed as usize).to_le_bytes()[..w.len()]);
    }
}

/// Faults of the process so far, minor and major.
pub fn faults() -> u64 {
    let text = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let after = text.rsplit(')').next().unwrap_or_default();
    let fields: Vec<&str> = after.split_whitespace().collect();
    let number = |i: usize| fields.get(i).and_then(|f| f.parse().ok()).unwrap_or(0u64);
    number(7) + number(9)
}

/// A Set is a file, and memory without a file that holds the same. The memory stays
/// until the program ends, and the file until the set is dropped.
pub struct Set {
    pub path: PathBuf,
    pub size: usize,
    pub memory: &'static mut [u8],
    pub state: String,
}

impl Drop for Set {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path);
    }
}

pub fn failed<E: std::fmt::Display>(what: &str) -> impl Fn(E) -> String + '_ {
    move |e| format!("{what}: {e}")
}

impl Set {
    pub fn make(dir: &Path, name: &str, size: usize) -> Outcome<Set> {
        let path = dir.join(name);
        let memory = huge(size)?;
        fill(memory, 0);
        let mut set = Set {
            path,
            size,
            memory,
            state: String::new(),
        };
        let mut f = File::create(&set.path).map_err(failed("create"))?;
        for part in set.memory[..size].chunks(PIECE) {
            f.write_all(part).map_err(failed("write"))?;
        }
        f.sync_all().map_err(failed("fsync"))?;
        let huge_kib = smaps_kib(set.memory, "AnonHugePages");
        set.state = format!(
            "file: {}; memory: {huge_kib} of {} KiB in huge pages, by smaps",
            file_state(&set.path, size)?,
            size.max(HUGE) / 1024
        );
        Ok(set)
    }

    /// The memory again, for variants that only read, or that take turns.
    pub fn shared(&self) -> &'static mut [u8] {
        // SAFETY: the memory is never unmapped, and there is one thread.
        unsafe { std::slice::from_raw_parts_mut(self.memory.as_ptr().cast_mut(), self.size) }
    }

    /// A mapping that shows what was written to the file.
    pub fn reader(&self) -> Outcome<&'static [u8]> {
        let f = File::open(&self.path).map_err(failed("open"))?;
        // SAFETY: nobody cuts the file.
        let map = unsafe { memmap2::Mmap::map(&f) }.map_err(failed("mmap"))?;
        Ok(Box::leak(Box::new(map)))
    }
}

/// Begins at a multiple of a huge page.
fn huge(size: usize) -> Outcome<&'static mut [u8]> {
    let size = size.next_multiple_of(HUGE);
    let map = MmapMut::map_anon(size + HUGE).map_err(failed("mmap"))?;
    let all: &'static mut MmapMut = Box::leak(Box::new(map));
    let skip = (all.as_ptr() as usize).wrapping_neg() % HUGE;
    let _ = all.advise_range(Advice::HugePage, skip, size); // where there are none, the state says so
    Ok(&mut all[skip..skip + size])
}

fn smaps_kib(m: &[u8], field: &str) -> usize {
    let text = std::fs::read_to_string("/proc/self/smaps").unwrap_or_default();
    let (from, to) = (m.as_ptr() as usize, m.as_ptr() as usize + m.len());
    let (mut sum, mut inside) = (0, false);
    for line in text.lines() {
        let head = line.split(' ').next().unwrap_or_default();
        if let Some((a, b)) = head.split_once('-') {
            if let (Ok(a), Ok(b)) = (usize::from_str_radix(a, 16), usize::from_str_radix(b, 16)) {
                inside = a < to && from < b;
                continue;
            }
        }
        if inside && line.starts_with(field) {
            sum += line
                .split_whitespace()
                .nth(1)
                .and_then(|n| n.parse::<usize>().ok())
                .unwrap_or(0);
        }
    }
    sum
}

/// What is dirty of a file, through a mapping that has to touch it first.
pub fn dirty_kib(reader: &[u8]) -> usize {
    std::hint::black_box(reader.iter().step_by(PAGE).fold(0u8, |sum, b| sum.wrapping_add(*b)));
    smaps_kib(reader, "Shared_Dirty") + smaps_kib(reader, "Private_Dirty")
}

extern "C" {
    fn mincore(addr: *const u8, length: usize, vec: *mut u8) -> i32;
    fn mmap(addr: *mut u8, length: usize, prot: i32, flags: i32, fd: i32, off: i64) -> *mut u8;
    fn madvise(addr: *mut u8, length: usize, advice: i32) -> i32;
    fn munmap(addr: *mut u8, length: usize) -> i32;
}

const READ_WRITE: i32 = 3;
const SHARED_FIXED: i32 = 0x11;
const POPULATE_WRITE: i32 = 23;

/// How much of the file is in memory, and in how large folios: one fault of
/// MADV_POPULATE_WRITE each, if the folio lies within one table of pages. So the
/// mapping begins at a multiple of 2 MiB. What that dirties is synced.
fn file_state(path: &Path, size: usize) -> Outcome<String> {
    let f = OpenOptions::new()
        .read(true)
        .write(true)
        .open(path)
        .map_err(failed("open"))?;
    let room = huge(size)?.as_mut_ptr();
    let fd = f.as_raw_fd();
    // SAFETY: the room is not used otherwise; the vector has a byte for each page.
    unsafe {
        if mmap(room, size, READ_WRITE, SHARED_FIXED, fd, 0) != room {
            return Err(format!("mmap: {}", std::io::Error::last_os_error()));
        }
        let mut pages = vec![0u8; size.div_ceil(PAGE)];
        if mincore(room, size, pages.as_mut_ptr()) != 0 {
            return Err(format!("mincore: {}", std::io::Error::last_os_error()));
        }
        let resident = pages.iter().filter(|&&p| p & 1 == 1).count();
        let before = faults();
        let failed_with = madvise(room, size, POPULATE_WRITE);
        let took = (faults() - before).max(1);
        munmap(room, size);
        f.sync_all().map_err(failed("fsync"))?;
        let kib = size.next_multiple_of(PAGE) as u64 / 1024 / took;
        let folios = match failed_with {
            0 => format!("folios of {kib} KiB, by the faults of MADV_POPULATE_WRITE"),
            _ => "folios not known: no MADV_POPULATE_WRITE".to_string(),
        };
        Ok(format!(
            "{resident} of {} pages in memory, by mincore; {folios}; synced",
            pages.len()
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_byte_is_seen() {
        let mut p = vec![0u8; 64];
        fill(&mut p, 128);
        assert!(want_filled(&p, 128).is_ok());
        assert!(want_filled(&p, 136).is_err());
        p[63] ^= 1;
        assert!(want_filled(&p, 128).is_err());
        assert!(want_filled(&[0; 64], 128).is_err());
    }
}
