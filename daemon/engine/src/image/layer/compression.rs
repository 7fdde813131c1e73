//! Which way a stream is compressed, told by how it begins.

use std::io::{self, BufReader, Cursor, Read};

use trestle_core::error::{Error, Result};

/// How streams begin (RFC 1952, RFC 8878, and the formats that are refused).
const GZIP: &[u8] = &[0x1f, 0x8b];
const ZSTD: &[u8] = &[0x28, 0xb5, 0x2f, 0xfd];
const BZIP2: &[u8] = b"BZh";
const XZ: &[u8] = &[0xfd, b'7', b'z', b'X', b'Z', 0];

/// The longest of these beginnings.
const LONGEST: u64 = 6;

/// The largest window of a zstd stream, as a power of two: 128 MiB, what `zstd` itself takes without being asked.
const LARGEST_WINDOW: u32 = 27;

/// The stream without its compression: gzip, zstd or none.
///
/// # Errors
/// `Unsupported` for bzip2 and xz, `Invalid` if it can't be read.
pub(crate) fn decompressed<'a>(mut stream: impl Read + 'a) -> Result<Box<dyn Read + 'a>> {
    let unreadable = |error: io::Error| Error::invalid(format!("reading an archive: {error}"));
    let mut beginning = Vec::new();
    stream.by_ref().take(LONGEST).read_to_end(&mut beginning).map_err(unreadable)?;
    let begins = |magic: &[u8]| beginning.starts_with(magic);
    let refused = |name: &str| {
        Error::unsupported(format!("the archive is compressed by {name}; gzip, zstd and none are understood"))
    };
    let kind = (begins(GZIP), begins(ZSTD));
    if begins(BZIP2) {
        return Err(refused("bzip2"));
    }
    if begins(XZ) {
        return Err(refused("xz"));
    }
    let stream = BufReader::with_capacity(128 << 10, Cursor::new(beginning).chain(stream));
    match kind {
        (true, _) => Ok(Box::new(flate2::bufread::MultiGzDecoder::new(stream))),
        (_, true) => {
            let mut decoder = zstd::Decoder::with_buffer(stream).map_err(unreadable)?;
            decoder.window_log_max(LARGEST_WINDOW).map_err(unreadable)?;
            Ok(Box::new(decoder))
        }
        _ => Ok(Box::new(stream)),
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn read(stream: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::new();
        decompressed(stream).unwrap().read_to_end(&mut bytes).unwrap();
        bytes
    }

    #[test]
    fn each_compression_is_told_by_its_beginning() {
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        gzip.write_all(b"content").unwrap();
        assert_eq!(read(&gzip.finish().unwrap()), b"content");
        assert_eq!(read(&zstd::encode_all(&b"content"[..], 0).unwrap()), b"content");
        assert_eq!(read(b"content"), b"content");
        assert_eq!(read(b""), b"");
    }

    #[test]
    fn what_it_does_not_understand_is_named() {
        let refused = |stream: &[u8]| decompressed(stream).err().unwrap().to_string();
        assert!(refused(b"BZh91AY").contains("bzip2") && refused(XZ).contains("xz"));
    }
}
