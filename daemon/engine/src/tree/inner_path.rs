//! A path within an archive.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStringExt;
use std::path::{Component, Path, PathBuf};

use trestle_core::error::{Error, Result};

/// A path below a root, without `.`, `..` and a leading slash; empty is the root itself.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct InnerPath(PathBuf);

impl InnerPath {
    /// Reads what an archive says. `a/../b` is `b`; a leading slash is the root.
    ///
    /// # Errors
    /// `Invalid` for a path that goes above its root, or that no file can have.
    pub fn parse(bytes: &[u8]) -> Result<Self> {
        let told = || String::from_utf8_lossy(bytes).into_owned();
        if bytes.contains(&0) {
            return Err(Error::invalid(format!("the path {:?} holds a zero byte", told())));
        }
        let mut path = PathBuf::new();
        for component in Path::new(&OsString::from_vec(bytes.to_vec())).components() {
            match component {
                Component::Normal(name) => path.push(name),
                Component::ParentDir if !path.pop() => {
                    return Err(Error::invalid(format!("the path {:?} leads out of the archive", told())));
                }
                _ => {}
            }
        }
        Ok(Self(path))
    }

    /// It, relative to the root.
    pub fn as_path(&self) -> &Path {
        &self.0
    }

    /// The folder it is in, and its name there; `None` for the root.
    pub fn split(&self) -> Option<(&Path, &OsStr)> {
        Some((self.0.parent()?, self.0.file_name()?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_relative_and_stay_inside() {
        for (told, meant) in [("/etc/passwd", "etc/passwd"), ("./a/./b/", "a/b"), ("a/../b", "b"), ("./", ""), ("", "")]
        {
            assert_eq!(InnerPath::parse(told.as_bytes()).unwrap().as_path(), Path::new(meant), "{told}");
        }
        for told in ["..", "../a", "a/../../b", "/../a", "a\0b"] {
            assert!(InnerPath::parse(told.as_bytes()).is_err(), "{told}");
        }
    }
}
