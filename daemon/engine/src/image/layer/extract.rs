//! A layer's archive becomes a tree and a recipe.

use std::cell::RefCell;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::Path;
use std::rc::Rc;

use serde::{Deserialize, Serialize};
use tar::Archive;
use trestle_core::error::{Error, Result};

use super::recipe::Recipe;
use crate::image::digest::{Digest, Digesting};
use crate::tree::{Header, Root, Unpacker, Whiteouts};

/// What is known of a layer without looking through it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Measures {
    /// Bytes of all its files.
    pub(crate) size: u64,
    /// Bytes of its archive.
    pub(crate) archive: u64,
}

/// The names of what a layer's folder holds.
pub(super) const TREE: &str = "tree";
pub(super) const ATTIC: &str = "attic";
pub(super) const RECIPE: &str = "recipe.zst";

/// The longest headers of one entry, in bytes: a path, a link and attributes. They are read into memory.
const LONGEST_HEADERS: u64 = 4 << 20;

/// Unpacks an archive into a folder that is there and empty; its digest in the end.
///
/// # Errors
/// `Invalid` for an archive that can't be a layer. What is in the folder by then is of no use.
pub(super) fn extract(folder: &Path, archive: &mut dyn Read) -> Result<(Digest, Measures)> {
    let broken = |error: io::Error| match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Error::internal(error.to_string()),
        _ => Error::invalid(format!("reading the archive of a layer: {error}")),
    };
    let tap = Tap::new(archive, &folder.join(RECIPE)).map_err(broken)?;
    let mut unpacker = make_tree(folder).map_err(|error| Error::internal(error.to_string()))?;
    let mut size = 0;
    let mut archive = Archive::new(tap.clone());
    for entry in archive.entries().map_err(broken)? {
        let mut entry = entry.map_err(broken)?;
        let header = Header::read(&mut entry)?;
        tap.pass(if header.is_plain_file() { Passing::Content } else { Passing::Anything });
        let content = entry.size();
        let place = unpacker.place(&header, &mut entry)?;
        if place.is_none() {
            // Content that is nobody's is a part of the archive all the same.
            tap.pass(Passing::Anything);
        }
        io::copy(&mut entry, &mut io::sink()).map_err(broken)?;
        size += place.as_ref().map_or(0, |_| content);
        let moved = unpacker.take_moved();
        let place = place.filter(|_| header.is_plain_file());
        tap.note(|recipe| {
            moved.iter().try_for_each(|moved| recipe.moved(moved))?;
            place.map_or(Ok(()), |place| recipe.file(&place, content))
        })
        .map_err(broken)?;
        tap.pass(Passing::Headers { left: LONGEST_HEADERS });
    }
    unpacker.finish()?;
    drop(archive);
    // Archives are filled up to their block size.
    tap.pass(Passing::Anything);
    io::copy(&mut tap.clone(), &mut io::sink()).map_err(broken)?;
    let (digest, archive) = tap.finish().map_err(broken)?;
    Ok((digest, Measures { size, archive }))
}

fn make_tree(folder: &Path) -> io::Result<Unpacker> {
    let tree = folder.join(TREE);
    fs::create_dir(&tree)?;
    rustix::fs::chmod(&tree, rustix::fs::Mode::from_raw_mode(0o755))?;
    Ok(Unpacker::new(Root::open(&tree)?, Whiteouts::Translate).with_attic(folder.join(ATTIC)))
}

/// What is being read of the archive now.
#[derive(Clone, Copy)]
enum Passing {
    /// Headers, which the reader keeps in memory.
    Headers { left: u64 },
    /// The content of a file, which the tree keeps.
    Content,
    /// All else, which the recipe keeps.
    Anything,
}

/// An archive on its way, of which a recipe is written. Who reads it and who tells what is read share it.
struct Tap<'a>(Rc<RefCell<Tapped<'a>>>);

struct Tapped<'a> {
    archive: Digesting<&'a mut dyn Read>,
    recipe: Recipe,
    passing: Passing,
}

impl<'a> Tap<'a> {
    fn new(archive: &'a mut dyn Read, recipe: &Path) -> io::Result<Self> {
        let recipe = Recipe::begin(File::create_new(recipe)?)?;
        let passing = Passing::Headers { left: LONGEST_HEADERS };
        Ok(Self(Rc::new(RefCell::new(Tapped { archive: Digesting::new(archive), recipe, passing }))))
    }

    fn pass(&self, what: Passing) {
        self.0.borrow_mut().passing = what;
    }

    fn note(&self, write: impl FnOnce(&mut Recipe) -> io::Result<()>) -> io::Result<()> {
        write(&mut self.0.borrow_mut().recipe)
    }

    fn finish(self) -> io::Result<(Digest, u64)> {
        let tapped = Rc::into_inner(self.0).expect("the reader of the archive was dropped").into_inner();
        tapped.recipe.finish()?;
        Ok(tapped.archive.finish())
    }
}

impl Clone for Tap<'_> {
    fn clone(&self) -> Self {
        Self(Rc::clone(&self.0))
    }
}

impl Read for Tap<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut tapped = self.0.borrow_mut();
        let count = tapped.archive.read(buffer)?;
        match &mut tapped.passing {
            Passing::Content => return Ok(count),
            Passing::Anything => {}
            Passing::Headers { left } => {
                *left = left.checked_sub(count as u64).ok_or_else(|| {
                    let cause = format!("the headers of an entry are longer than {LONGEST_HEADERS} bytes");
                    io::Error::new(io::ErrorKind::InvalidData, cause)
                })?;
            }
        }
        tapped.recipe.bytes(&buffer[..count])?;
        Ok(count)
    }
}
