//! What a plugin's file says.

use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags};
use serde::Deserialize;
use trestle_core::{Doing, Error, Result};

use super::PluginName;
use crate::client::{Address, TlsFiles};

/// The file that defines a plugin. What it says is read when it is needed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Definition {
    /// The plugin's name: the file's, whatever it says inside.
    pub name: PluginName,
    /// The file.
    pub path: PathBuf,
    /// What tells this file from the next one at the path: device, inode, and when it was last changed. A plugin that
    /// starts anew makes another socket.
    stamp: Option<(u64, u64, i64, i64)>,
}

/// The largest file that is read, in bytes.
const LARGEST: u64 = 64 << 10;

impl Definition {
    pub(super) fn new(name: PluginName, path: PathBuf) -> Self {
        let stamp = path.metadata().ok().map(|it| (it.dev(), it.ino(), it.ctime(), it.ctime_nsec()));
        Self { name, path, stamp }
    }

    /// Where the plugin is.
    ///
    /// # Errors
    /// `Invalid` names the file, and what is wrong with what it says.
    pub fn address(&self) -> Result<Address> {
        let ending = self.path.extension().and_then(|ending| ending.to_str());
        match ending {
            Some("sock") => Ok(Address::Unix(self.path.clone())),
            Some("so") => Ok(Address::Library(self.path.clone())),
            Some("spec") => read(&self.path).and_then(|text| Address::parse(text.trim(), TlsFiles::default())),
            _ => read(&self.path).and_then(|text| json(&text)),
        }
        .doing(|| format!("reading {}", self.path.display()))
    }
}

/// A `.json` file. Its `Name` says nothing.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Json {
    #[serde(default)]
    addr: String,
    #[serde(rename = "TLSConfig")]
    tls: Option<Tls>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Tls {
    insecure_skip_verify: bool,
    #[serde(rename = "CAFile")]
    authorities: PathBuf,
    #[serde(rename = "CertFile")]
    certificate: PathBuf,
    #[serde(rename = "KeyFile")]
    key: PathBuf,
}

fn json(text: &str) -> Result<Address> {
    let read: Json = serde_json::from_str(text).map_err(|error| Error::invalid(error.to_string()))?;
    let is_clear = !read.addr.starts_with("https://");
    match read.tls {
        Some(_) if is_clear => Err(Error::invalid(format!(
            "TLSConfig has no effect on {:?}: write the address with https://, or leave TLSConfig out",
            read.addr
        ))),
        tls => Address::parse(&read.addr, files(tls.unwrap_or_default())?),
    }
}

/// Without authorities nobody is verified, whatever else is said.
fn files(tls: Tls) -> Result<TlsFiles> {
    let said = |path: &Path| path != Path::new("");
    let identity = match (said(&tls.certificate), said(&tls.key)) {
        (true, true) => Some((tls.certificate, tls.key)),
        (false, false) => None,
        _ => return Err(Error::invalid("CertFile and KeyFile are given both, or neither")),
    };
    let verified = said(&tls.authorities) && !tls.insecure_skip_verify;
    Ok(TlsFiles { authorities: verified.then_some(tls.authorities), identity })
}

/// Reads a file, if it is one: a pipe would be waited for, and a device has no end.
fn read(path: &Path) -> Result<String> {
    let failed = |error: std::io::Error| Error::invalid(error.to_string());
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK;
    let file = rustix::fs::open(path, flags, Mode::empty()).map_err(|error| failed(error.into()))?;
    let file = std::fs::File::from(file);
    let metadata = file.metadata().map_err(failed)?;
    if !metadata.is_file() || metadata.len() > LARGEST {
        return Err(Error::invalid(format!("a file of at most {LARGEST} bytes is expected")));
    }
    let mut text = String::new();
    file.take(LARGEST).read_to_string(&mut text).map_err(failed)?;
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(file: &str, text: &str) -> Result<Address> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(file);
        std::fs::write(&path, text).unwrap();
        Definition::new("weave".try_into().unwrap(), path).address()
    }

    #[test]
    fn a_spec_is_an_address_with_space_around() {
        assert_eq!(told("weave.spec", "  tcp://localhost:8080\n").unwrap().to_string(), "tcp://localhost:8080");
        assert_eq!(told("weave.spec", "unix:///run/x.sock").unwrap(), Address::Unix("/run/x.sock".into()));
        assert_eq!(
            told("weave.spec", "https://host").unwrap(),
            Address::Tls { host: "host".into(), port: 443, files: TlsFiles::default() }
        );
        let error = told("weave.spec", "localhost:8080").unwrap_err().to_string();
        assert!(error.contains("weave.spec") && error.contains("Unknown protocol"), "{error}");
    }

    #[test]
    fn json_tells_whom_to_trust() {
        let address = told(
            "weave.json",
            r#"{"Name": "ignored", "Addr": "https://host:7777", "TLSConfig": {"InsecureSkipVerify": false,
                "CAFile": "/ca.pem", "CertFile": "/cert.pem", "KeyFile": "/key.pem", "MinVersion": 0}}"#,
        );
        let files =
            TlsFiles { authorities: Some("/ca.pem".into()), identity: Some(("/cert.pem".into(), "/key.pem".into())) };
        assert_eq!(address.unwrap(), Address::Tls { host: "host".into(), port: 7777, files });
        for unverified in [
            r#"{"Addr": "https://host", "TLSConfig": {}}"#,
            r#"{"Addr": "https://host", "TLSConfig": null}"#,
            r#"{"Addr": "https://host", "TLSConfig": {"CAFile": "/ca.pem", "InsecureSkipVerify": true}}"#,
        ] {
            let Address::Tls { files, .. } = told("weave.json", unverified).unwrap() else { panic!("no TLS") };
            assert_eq!(files.authorities, None, "{unverified}");
        }
        assert_eq!(told("weave.json", r#"{"Addr": "tcp://h:1"}"#).unwrap().to_string(), "tcp://h:1");
    }

    #[test]
    fn wrong_files_are_refused_by_name() {
        for text in [
            "",
            "{",
            "[]",
            "{}",
            r#"{"Addr": "tcp://h:1", "TLSConfig": {"CAFile": "/ca.pem"}}"#,
            r#"{"Addr": "https://h", "TLSConfig": {"CertFile": "/cert.pem"}}"#,
        ] {
            let error = told("weave.json", text).unwrap_err().to_string();
            assert!(error.contains("weave.json"), "{error}");
        }
        assert!(told("weave.spec", &" ".repeat(100_000)).is_err());
        let folder = tempfile::tempdir().unwrap();
        let pipe = folder.path().join("weave.spec");
        rustix::fs::mkfifoat(rustix::fs::CWD, &pipe, Mode::RUSR | Mode::WUSR).unwrap();
        assert!(Definition::new("weave".try_into().unwrap(), pipe).address().is_err(), "a pipe is not waited for");
    }

    #[test]
    fn another_file_at_the_path_is_another_definition() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("weave.sock");
        let bind = || {
            let listener = std::os::unix::net::UnixListener::bind(&path).unwrap();
            (Definition::new("weave".try_into().unwrap(), path.clone()), listener)
        };
        let (first, _first_is_there) = bind();
        assert_eq!(first, Definition::new("weave".try_into().unwrap(), path.clone()));
        std::fs::remove_file(&path).unwrap();
        let (second, _second_is_there) = bind();
        assert_ne!(first, second);
    }
}
