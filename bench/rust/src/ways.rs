//! The ways to a file's bytes. Each loop calls its method directly.

use crate::mapview::View;
use crate::rounds::{Loop, Outcome, Variant};
use crate::set::{failed, Set};
use memmap2::{Mmap, MmapMut};
use std::fs::{File, OpenOptions};
use std::hint::black_box;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

fn short(i: usize, moved: io::Result<usize>) -> String {
    match moved {
        Ok(n) => format!("access {i} moved {n} bytes"),
        Err(e) => format!("access {i}: {e}"),
    }
}

/// Reads from bytes that are there: a mapping's, or memory. All share one loop: where
/// the linker puts it makes a difference, too.
pub fn copy_out(from: &'static [u8]) -> Loop {
    Box::new(move |buf, stride, walk, mut at| {
        for i in 0..walk.times {
            let (off, next) = walk.place(at);
            at = next;
            buf[i * stride..i * stride + walk.size].copy_from_slice(&from[off..off + walk.size]);
            black_box(&mut *buf); // the next copy must not make this one needless
        }
        Ok(at)
    })
}

pub fn copy_in(to: &'static mut [u8]) -> Loop {
    Box::new(move |buf, stride, walk, mut at| {
        for i in 0..walk.times {
            let (off, next) = walk.place(at);
            at = next;
            to[off..off + walk.size].copy_from_slice(&buf[i * stride..i * stride + walk.size]);
            black_box(&mut *to);
        }
        Ok(at)
    })
}

/// Makes the loop of a method that moves bytes; one is compiled for each method.
fn each<F: FnMut(&mut [u8], u64) -> io::Result<usize> + 'static>(mut access: F) -> Loop {
    Box::new(move |buf, stride, walk, mut at| {
        for i in 0..walk.times {
            let (off, next) = walk.place(at);
            at = next;
            match access(&mut buf[i * stride..i * stride + walk.size], off as u64) {
                Ok(n) if n == walk.size => (),
                other => return Err(short(i, other)),
            }
        }
        Ok(at)
    })
}

/// Ends each pass with a sync.
fn then(mut run: Loop, sync: impl Fn() -> io::Result<()> + 'static) -> Loop {
    Box::new(move |buf, stride, walk, at| {
        let next = run(buf, stride, walk, at)?;
        sync().map_err(failed("sync"))?;
        Ok(next)
    })
}

fn leak<T>(x: T) -> &'static mut T {
    Box::leak(Box::new(x))
}

fn read_write(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).write(true).open(path)
}

/// Mappings stay until the program ends: a row is a process's last work.
pub fn reads(set: &Set) -> Outcome<Vec<Variant>> {
    open_reads(set).map_err(failed("open"))
}

fn open_reads(set: &Set) -> io::Result<Vec<Variant>> {
    let view: &View = leak(View::open(&set.path, false)?);
    let bytes: &View = leak(View::open(&set.path, false)?);
    let twice: &View = leak(View::open(&set.path, false)?);
    let file = File::open(&set.path)?;
    // SAFETY: nobody cuts the file.
    let map: &'static Mmap = leak(unsafe { Mmap::map(&file) }?);
    let mut again = Variant::new("mapview", "mv_read", each(|p, off| twice.read_at(p, off)));
    again.again = true;
    Ok(vec![
        Variant::new("mapview", "mv_read", each(|p, off| view.read_at(p, off))),
        Variant::new("mapview", "mv_data+copy", copy_out(bytes.bytes())),
        Variant::new("memmap2", "Mmap+copy", copy_out(map)),
        Variant::new("std.fs", "read_at", each(move |p, off| file.read_at(p, off))),
        again,
        Variant::new("memory", "copy", copy_out(set.shared())),
    ])
}

/// With sync, each pass ends with the call that brings the bytes onto the medium.
pub fn writes(set: &Set, sync: bool) -> Outcome<Vec<Variant>> {
    let reader = set.reader()?;
    let mut variants = open_writes(set, sync).map_err(failed("open"))?;
    for v in &mut variants {
        v.reader = Some(if v.who == "memory" { set.shared() } else { reader });
    }
    Ok(variants)
}

fn open_writes(set: &Set, sync: bool) -> io::Result<Vec<Variant>> {
    let open = || -> io::Result<&'static View> { Ok(leak(View::open(&set.path, true)?)) };
    let (view, bytes, twice) = (open()?, open()?, open()?);
    let file: &'static File = leak(read_write(&set.path)?);
    // SAFETY: nobody cuts the file; the variants take turns.
    let map: &'static MmapMut = leak(unsafe { MmapMut::map_mut(file) }?);
    // SAFETY: as above.
    let mapped = unsafe { std::slice::from_raw_parts_mut(map.as_ptr().cast_mut(), map.len()) };
    let write = |v: &'static View| each(move |p, off| v.write_at(p, off));
    let end = |run: Loop, f: fn(&'static View) -> io::Result<()>, v: &'static View| {
        if sync {
            then(run, move || f(v))
        } else {
            run
        }
    };
    let op = |plain, synced| if sync { synced } else { plain };
    let mut again = Variant::new(
        "mapview",
        op("mv_write", "mv_write+mv_sync"),
        end(write(twice), View::sync, twice),
    );
    again.again = true;
    let file_run = each(move |p, off| file.write_at(p, off));
    Ok(vec![
        Variant::new(
            "mapview",
            op("mv_write", "mv_write+mv_sync"),
            end(write(view), View::sync, view),
        ),
        Variant::new(
            "mapview",
            op("mv_data+copy", "mv_data+copy+mv_sync"),
            end(copy_in(bytes.bytes()), View::sync, bytes),
        ),
        Variant::new(
            "memmap2",
            op("MmapMut+copy", "MmapMut+copy+flush"),
            if sync {
                then(copy_in(mapped), || map.flush())
            } else {
                copy_in(mapped)
            },
        ),
        Variant::new(
            "std.fs",
            op("write_at", "write_at+sync_all"),
            if sync {
                then(file_run, || file.sync_all())
            } else {
                file_run
            },
        ),
        again,
        Variant::new("memory", "copy", copy_in(set.shared())),
    ])
}

/// Open, read all of it once, close.
pub fn once(set: &Set) -> Vec<Variant> {
    let (a, b, c, d) = (set.path.clone(), set.path.clone(), set.path.clone(), set.path.clone());
    let by_view = |path: std::path::PathBuf| each(move |p, off| View::open(&path, false)?.read_at(p, off));
    let mut again = Variant::new("mapview", "open+mv_read+close", by_view(a.clone()));
    again.again = true;
    vec![
        Variant::new("mapview", "open+mv_read+close", by_view(a)),
        Variant::new(
            "mapview",
            "open+mv_data+copy+close",
            each(move |p, off| {
                let view = View::open(&b, false)?;
                p.copy_from_slice(&view.bytes()[off as usize..off as usize + p.len()]);
                Ok(p.len())
            }),
        ),
        Variant::new(
            "memmap2",
            "open+Mmap+copy+close",
            each(move |p, off| {
                let file = File::open(&c)?;
                // SAFETY: nobody cuts the file.
                let map = unsafe { Mmap::map(&file) }?;
                p.copy_from_slice(&map[off as usize..off as usize + p.len()]);
                Ok(p.len())
            }),
        ),
        Variant::new(
            "std.fs",
            "open+read_at+close",
            each(move |p, off| File::open(&d)?.read_at(p, off)),
        ),
        again,
        Variant::new("memory", "copy", copy_out(set.shared())),
    ]
}
