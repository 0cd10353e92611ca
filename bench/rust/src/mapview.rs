//! The few declarations of mapview.h that the benchmark needs.

use std::ffi::{c_char, c_int, c_void, CString};
use std::io;
use std::path::Path;

#[repr(C)]
struct MvOptions {
    size: u32,
    mode: u32,
    flags: u64,
    offset: u64,
    length: u64,
    file_size: u64,
    reserve: u64,
}

const OPEN_WRITE: u64 = 1;
const TO_END: u64 = u64::MAX;
const SYNC_FULL: u32 = 3;

extern "C" {
    fn mv_open(path: *const c_char, options: *const MvOptions, out: *mut *mut c_void, err: *mut c_void) -> c_int;
    fn mv_close(view: *mut c_void, err: *mut c_void) -> c_int;
    fn mv_data(view: *const c_void) -> *mut c_void;
    fn mv_size(view: *const c_void) -> u64;
    fn mv_read(view: *mut c_void, buf: *mut c_void, n: u64, off: u64, err: *mut c_void) -> i64;
    fn mv_write(view: *mut c_void, buf: *const c_void, n: u64, off: u64, err: *mut c_void) -> i64;
    fn mv_sync(view: *mut c_void, off: u64, len: u64, level: u32, err: *mut c_void) -> c_int;
}

/// A View is closed when it is dropped.
pub struct View(*mut c_void);

fn outcome(code: i64) -> io::Result<i64> {
    if code < 0 {
        return Err(io::Error::from_raw_os_error(-code as i32));
    }
    Ok(code)
}

impl View {
    pub fn open(path: &Path, write: bool) -> io::Result<View> {
        let name = CString::new(path.to_str().expect("a path in UTF-8"))?;
        let options = MvOptions {
            size: std::mem::size_of::<MvOptions>() as u32,
            mode: 0,
            flags: if write { OPEN_WRITE } else { 0 },
            offset: 0,
            length: 0,
            file_size: 0,
            reserve: 0,
        };
        let mut view = std::ptr::null_mut();
        // SAFETY: all pointers are valid for the call; a NULL error is allowed.
        outcome(i64::from(unsafe {
            mv_open(name.as_ptr(), &options, &mut view, std::ptr::null_mut())
        }))?;
        Ok(View(view))
    }

    #[inline]
    pub fn read_at(&self, buf: &mut [u8], off: u64) -> io::Result<usize> {
        // SAFETY: buf is valid for its length; mv_read checks off.
        let n = unsafe {
            mv_read(
                self.0,
                buf.as_mut_ptr().cast(),
                buf.len() as u64,
                off,
                std::ptr::null_mut(),
            )
        };
        outcome(n).map(|n| n as usize)
    }

    #[inline]
    pub fn write_at(&self, buf: &[u8], off: u64) -> io::Result<usize> {
        // SAFETY: as above.
        let n = unsafe { mv_write(self.0, buf.as_ptr().cast(), buf.len() as u64, off, std::ptr::null_mut()) };
        outcome(n).map(|n| n as usize)
    }

    pub fn sync(&self) -> io::Result<()> {
        // SAFETY: the view is open until it is dropped.
        outcome(i64::from(unsafe {
            mv_sync(self.0, 0, TO_END, SYNC_FULL, std::ptr::null_mut())
        }))
        .map(|_| ())
    }

    /// The bytes. Nobody may cut the file meanwhile, as with every mapping.
    pub fn bytes(&self) -> &'static mut [u8] {
        // SAFETY: the mapping lives as long as the view, which the variants keep.
        unsafe { std::slice::from_raw_parts_mut(mv_data(self.0).cast(), mv_size(self.0) as usize) }
    }
}

impl Drop for View {
    fn drop(&mut self) {
        // SAFETY: the last call on this view.
        unsafe { mv_close(self.0, std::ptr::null_mut()) };
    }
}
