//! How to make a layer's archive again to the byte: all of it but the contents of files, which are in the tree.
//!
//! A zstd stream of parts, each a letter and what belongs to it (numbers are little-endian):
//!
//! | letter | then |
//! |---|---|
//! | `b` | `u32` length, and so many bytes of the archive |
//! | `f` | `u64` size, `u32` length, the path in the tree: the content of that file |
//! | `m` | `u32` length, a path, `u32` length, a name: what was there lies in the attic under that name from now on |

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, BufReader, BufWriter, Read, Write};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use crate::tree::{Moved, Root};

/// Fast; most of it is zeros.
const LEVEL: i32 = 1;

/// The longest part that is read, in bytes: those that are written are shorter than the buffers of who reads archives.
const LONGEST: u32 = 1 << 20;

/// Writes a recipe.
pub(super) struct Recipe {
    out: zstd::Encoder<'static, BufWriter<File>>,
}

impl Recipe {
    pub(super) fn begin(file: File) -> io::Result<Self> {
        Ok(Self { out: zstd::Encoder::new(BufWriter::new(file), LEVEL)? })
    }

    pub(super) fn bytes(&mut self, bytes: &[u8]) -> io::Result<()> {
        bytes.chunks(LONGEST as usize).try_for_each(|part| {
            self.out.write_all(b"b")?;
            self.text(part)
        })
    }

    pub(super) fn file(&mut self, path: &Path, size: u64) -> io::Result<()> {
        self.out.write_all(b"f")?;
        self.out.write_all(&size.to_le_bytes())?;
        self.text(path.as_os_str().as_bytes())
    }

    pub(super) fn moved(&mut self, moved: &Moved) -> io::Result<()> {
        self.out.write_all(b"m")?;
        self.text(moved.from.as_os_str().as_bytes())?;
        self.text(moved.to.as_bytes())
    }

    pub(super) fn finish(self) -> io::Result<()> {
        let mut out = self.out.finish()?;
        out.flush()
    }

    fn text(&mut self, bytes: &[u8]) -> io::Result<()> {
        let length = u32::try_from(bytes.len()).map_err(|_| damaged("a part is too long"))?;
        self.out.write_all(&length.to_le_bytes())?;
        self.out.write_all(bytes)
    }
}

enum Part {
    Bytes(Vec<u8>),
    File { path: PathBuf, size: u64 },
    Moved(Moved),
}

/// Writes the archive that the recipe was made from.
pub(super) fn follow(recipe: &Path, tree: &Root, attic: &Path, out: &mut dyn Write) -> io::Result<()> {
    // What was moved away lies elsewhere for all files before; so these are looked for first.
    let mut files = 0_u64;
    let mut moves = Vec::new();
    read(recipe, |part| {
        match part {
            Part::File { .. } => files += 1,
            Part::Moved(moved) => moves.push((files, moved)),
            Part::Bytes(_) => {}
        }
        Ok(())
    })?;
    let mut file = 0_u64;
    read(recipe, |part| match part {
        Part::Bytes(bytes) => out.write_all(&bytes),
        Part::Moved(_) => Ok(()),
        Part::File { path, size } => {
            file += 1;
            let later = moves.iter().filter(|(before, _)| *before >= file).map(|(_, moved)| moved);
            copy(open(&path, later, tree, attic)?, size, out)
        }
    })
}

/// The first that moves it away decides: nothing is moved out of the attic.
fn open<'a>(path: &Path, mut moves: impl Iterator<Item = &'a Moved>, tree: &Root, attic: &Path) -> io::Result<File> {
    let moved = moves.find_map(|moved| Some((&moved.to, path.strip_prefix(&moved.from).ok()?)));
    match moved {
        None => tree.read(path),
        Some((to, rest)) if rest.as_os_str().is_empty() => Root::open(attic)?.read(Path::new(to)),
        Some((to, rest)) => Root::open(attic)?.read(&Path::new(to).join(rest)),
    }
}

fn copy(file: File, size: u64, out: &mut dyn Write) -> io::Result<()> {
    match io::copy(&mut file.take(size), out)? == size {
        true => Ok(()),
        false => Err(damaged("a file of the layer is shorter than it was")),
    }
}

fn read(recipe: &Path, mut each: impl FnMut(Part) -> io::Result<()>) -> io::Result<()> {
    let mut input = BufReader::new(zstd::Decoder::new(File::open(recipe)?)?);
    loop {
        let mut letter = [0];
        if input.read(&mut letter)? == 0 {
            return Ok(());
        }
        each(match letter[0] {
            b'b' => Part::Bytes(text(&mut input)?),
            b'f' => Part::File { size: u64::from_le_bytes(number(&mut input)?), path: name(&mut input)?.into() },
            b'm' => Part::Moved(Moved { from: name(&mut input)?.into(), to: name(&mut input)? }),
            _ => return Err(damaged("the recipe of the layer can't be read")),
        })?;
    }
}

fn number<const N: usize>(input: &mut impl Read) -> io::Result<[u8; N]> {
    let mut bytes = [0; N];
    input.read_exact(&mut bytes)?;
    Ok(bytes)
}

fn text(input: &mut impl Read) -> io::Result<Vec<u8>> {
    let length = u32::from_le_bytes(number(input)?);
    if length > LONGEST {
        return Err(damaged("the recipe of the layer can't be read"));
    }
    let mut bytes = vec![0; length as usize];
    input.read_exact(&mut bytes)?;
    Ok(bytes)
}

fn name(input: &mut impl Read) -> io::Result<OsString> {
    text(input).map(OsString::from_vec)
}

fn damaged(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}
