//! The keys by which a person lets go of a container: Ctrl-P Ctrl-Q, or others.

use std::str::FromStr;

use trestle_core::{Error, Result};

/// A sequence of keys, and how much of it was typed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DetachKeys {
    keys: Vec<u8>,
    typed: usize,
}

impl Default for DetachKeys {
    fn default() -> Self {
        Self { keys: vec![16, 17], typed: 0 }
    }
}

impl FromStr for DetachKeys {
    type Err = Error;

    /// Reads `ctrl-p,ctrl-q`: letters, or `ctrl-` and one of `a` to `z`, `@`, `^`, `[`, `,` and `_`.
    fn from_str(text: &str) -> Result<Self> {
        if text.is_empty() {
            return Ok(Self::default());
        }
        // The comma can be a key itself.
        let text = text.replace("ctrl-,", "ctrl-\u{1}");
        let keys = text.split(',').map(key).collect::<Result<_>>()?;
        Ok(Self { keys, typed: 0 })
    }
}

fn key(text: &str) -> Result<u8> {
    let wrong = || Error::invalid(format!("Invalid detach keys ({text}) provided"));
    match (text.strip_prefix("ctrl-"), text.as_bytes()) {
        (Some(letter), _) => match letter.as_bytes() {
            [letter @ b'a'..=b'z'] => Ok(letter - b'a' + 1),
            b"@" => Ok(0),
            b"[" => Ok(27),
            b"\\" | b"\x01" => Ok(28),
            b"]" => Ok(29),
            b"^" => Ok(30),
            b"_" => Ok(31),
            _ => Err(wrong()),
        },
        (None, [single]) => Ok(*single),
        _ => Err(wrong()),
    }
}

impl DetachKeys {
    /// Looks at what was typed: what of it is meant for the container, and whether the keys are complete.
    pub fn look(&mut self, typed: &[u8]) -> (Vec<u8>, bool) {
        let mut meant = Vec::with_capacity(typed.len());
        for byte in typed {
            if self.keys.get(self.typed) == Some(byte) {
                self.typed += 1;
                if self.typed == self.keys.len() {
                    return (meant, true);
                }
                continue;
            }
            // It was something else after all.
            meant.extend_from_slice(&self.keys[..self.typed]);
            self.typed = usize::from(self.keys.first() == Some(byte));
            if self.typed == 0 {
                meant.push(*byte);
            }
        }
        (meant, false)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_keys_are_held_back_until_they_are_something_else() {
        let mut keys = DetachKeys::default();
        assert_eq!(keys.look(b"a\x10"), (b"a".to_vec(), false));
        assert_eq!(keys.look(b"b"), (b"\x10b".to_vec(), false));
        assert_eq!(keys.look(b"\x10\x10"), (b"\x10".to_vec(), false));
        assert_eq!(keys.look(b"\x11c"), (b"".to_vec(), true));
    }

    #[test]
    fn keys_are_read_as_docker_reads_them() {
        assert_eq!("ctrl-p,ctrl-q".parse::<DetachKeys>().unwrap(), DetachKeys::default());
        assert_eq!("".parse::<DetachKeys>().unwrap(), DetachKeys::default());
        let mut keys: DetachKeys = "a,ctrl-@".parse().unwrap();
        assert_eq!(keys.look(b"a\0"), (vec![], true));
        for wrong in ["ctrl-", "ctrl-A", "ab", "a,,b", "ctrl-1"] {
            assert!(wrong.parse::<DetachKeys>().is_err(), "{wrong}");
        }
    }
}
