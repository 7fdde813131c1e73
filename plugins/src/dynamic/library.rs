//! One library: checked, loaded, asked, and never unloaded.

#![allow(unsafe_code, reason = "a library is loaded, and asked over a border of C")]

use std::collections::BTreeMap;
use std::ffi::CString;
use std::mem::{ManuallyDrop, size_of};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::slice;
use std::sync::{Mutex, PoisonError};

use rustix::fs::{Mode, OFlags};
use trestle_core::{Error, Result};

use super::abi::{ANSWERED, BROKEN, Bytes, ENTRY, MAGIC, MAJOR, Plugin, UNKNOWN};

/// A library that is a plugin.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Library {
    plugin: &'static Plugin,
}

type Entry = unsafe extern "C" fn() -> *const Plugin;

/// Every library that was loaded, by device and inode: its table, or why it has none. None is loaded twice, for none is
/// ever unloaded.
static LOADED: Mutex<BTreeMap<(u64, u64), std::result::Result<Library, String>>> = Mutex::new(BTreeMap::new());

impl Library {
    /// Loads a library. What it does on being loaded, it does as we.
    pub(crate) fn load(path: &Path) -> Result<Self> {
        let (file, key) = open(path)?;
        let mut loaded = LOADED.lock().unwrap_or_else(PoisonError::into_inner);
        let library = match loaded.get(&key) {
            Some(known) => known.clone(),
            None => load(file).map(|library| loaded.entry(key).or_insert(library).clone()).unwrap_or_else(Err),
        };
        library.map_err(|why| Error::invalid(format!("{}: {why}", path.display())))
    }

    /// Asks. `None` if it does not know the method; an error is what went wrong inside.
    pub(crate) fn call(&self, method: &str, request: &[u8]) -> std::result::Result<Option<Vec<u8>>, String> {
        let (Some(call), Some(release)) = (self.plugin.call, self.plugin.release) else {
            return Err("its table has no call, or no release".to_owned());
        };
        let name = CString::new(method).map_err(|_| "a method has no NUL in its name".to_owned())?;
        let mut answer = Bytes { data: std::ptr::null_mut(), length: 0 };
        // SAFETY: the name ends with a NUL, the request is as long as it is said to be, the answer can be written to.
        let status = unsafe { call(name.as_ptr(), request.as_ptr(), request.len(), &mut answer) };
        let body = match answer.data.is_null() || answer.length > isize::MAX as usize {
            true => Vec::new(),
            // SAFETY: the plugin says that so many bytes are there, until they are released.
            false => unsafe { slice::from_raw_parts(answer.data, answer.length) }.to_vec(),
        };
        // SAFETY: it is the answer of one call, released once.
        unsafe { release(&mut answer) };
        match status {
            ANSWERED => Ok(Some(body)),
            UNKNOWN => Ok(None),
            BROKEN => Err(crate::client::shown(&String::from_utf8_lossy(&body))),
            other => Err(format!("the plugin answered with status {other}, and 0 to 2 are known")),
        }
    }
}

/// Loads the file and looks for its table. An error is that nothing was loaded; what is loaded and has no table stays
/// nevertheless.
fn load(file: OwnedFd) -> std::result::Result<std::result::Result<Library, String>, String> {
    // By this name nobody can put another file in its place meanwhile.
    let name = format!("/proc/self/fd/{}", file.as_raw_fd());
    // SAFETY: the file is root's or ours, and nobody else's to write: its initialisers are trusted as we are.
    let library = unsafe { libloading::Library::new(&name) }.map_err(|error| format!("it can't be loaded: {error}"))?;
    // Its code may be running, or come back to, at any time: it stays. So does its file, for the loader knows it by
    // its number, and would take another file of that number for it.
    let (library, _file) = (ManuallyDrop::new(library), ManuallyDrop::new(file));
    Ok(table(&library).map(|plugin| Library { plugin }))
}

fn table(library: &libloading::Library) -> std::result::Result<&'static Plugin, String> {
    // SAFETY: a function of this name has this type; that is what the name's `v1` says.
    let entry = unsafe { library.get::<Entry>(ENTRY.to_bytes_with_nul()) };
    let entry = entry.map_err(|_| format!("it does not export {}", ENTRY.to_string_lossy()))?;
    // SAFETY: as above.
    let plugin = unsafe { entry() };
    check(plugin)?;
    // SAFETY: it is not null, bears the mark of a table, is as large as one, and stays, for the library does.
    let plugin = unsafe { &*plugin };
    match plugin.call.is_some() && plugin.release.is_some() {
        true => Ok(plugin),
        false => Err("its table has no call, or no release".to_owned()),
    }
}

/// Checks a table before it is taken for one: first what every version has at the same place.
fn check(plugin: *const Plugin) -> std::result::Result<(), String> {
    if plugin.is_null() || !plugin.is_aligned() {
        return Err("it answers with no table".to_owned());
    }
    // SAFETY: not null, and aligned; whoever exports the name says that a table is there, of which this is the beginning.
    let (magic, size, major) = unsafe { ((*plugin).magic, (*plugin).size, (*plugin).major) };
    if magic != MAGIC {
        return Err(format!("its table begins with {magic:#018x}, and {MAGIC:#018x} is expected"));
    }
    if major != MAJOR {
        return Err(format!("it is of version {major}, and this is version {MAJOR}"));
    }
    match size as usize >= size_of::<Plugin>() {
        true => Ok(()),
        false => Err(format!("its table is {size} bytes long, and {} are expected at least", size_of::<Plugin>())),
    }
}

/// Opens a file that only root, or who we are, can have written; with it, which file it is.
fn open(path: &Path) -> Result<(OwnedFd, (u64, u64))> {
    let failed = |error: std::io::Error| Error::invalid(format!("{}: {error}", path.display()));
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK;
    let file = rustix::fs::open(path, flags, Mode::empty()).map_err(|error| failed(error.into()))?;
    let file = std::fs::File::from(file);
    let metadata = file.metadata().map_err(failed)?;
    let refused = |why: String| Err(Error::forbidden(format!("{}: {why}", path.display())));
    if !metadata.is_file() {
        return refused("it is no file".to_owned());
    }
    if metadata.uid() != 0 && metadata.uid() != rustix::process::geteuid().as_raw() {
        return refused(format!("it belongs to user {}; a plugin's library has to belong to root", metadata.uid()));
    }
    if metadata.mode() & 0o022 != 0 {
        let mode = metadata.mode() & 0o7777;
        return refused(format!("others may write to it (mode {mode:04o}); take that away: chmod go-w"));
    }
    Ok((file.into(), (metadata.dev(), metadata.ino())))
}
