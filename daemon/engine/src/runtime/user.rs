//! Who a container's user is: names are looked up in the container's own `/etc/passwd` and `/etc/group`.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use rustix::fs::{Mode, OFlags, ResolveFlags, openat2};
use serde_json::{Value, json};
use trestle_core::{Error, Result};

/// A user by numbers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct User {
    /// The user.
    pub uid: u32,
    /// The main group.
    pub gid: u32,
    /// More groups.
    pub groups: Vec<u32>,
}

impl User {
    /// As the runtime is told.
    pub fn to_spec(&self) -> Value {
        json!({ "uid": self.uid, "gid": self.gid, "additionalGids": self.groups })
    }
}

/// Looks a user up: `user[:group]`, names or numbers, and more groups.
///
/// # Errors
/// `Invalid` for a name that is not there, worded as Docker words it.
pub fn find(rootfs: &Path, wanted: &str, more: &[String]) -> Result<User> {
    let passwd = read_inside(rootfs, "etc/passwd")?;
    let group = read_inside(rootfs, "etc/group")?;
    look_up(&passwd, &group, wanted, more)
}

fn look_up(passwd: &str, group: &str, wanted: &str, more: &[String]) -> Result<User> {
    let (name, group_name) = wanted.split_once(':').map_or((wanted, None), |(user, group)| (user, Some(group)));
    let name = if name.is_empty() { "0" } else { name };
    let entry = passwd
        .lines()
        .map(|line| line.split(':').collect::<Vec<_>>())
        .find(|parts| parts.len() >= 4 && (parts[0] == name || (is_number(name) && parts[2] == name)));
    let mut user = match &entry {
        Some(parts) => User { uid: number(parts[2])?, gid: number(parts[3])?, groups: Vec::new() },
        None if is_number(name) => User { uid: number(name)?, gid: 0, groups: Vec::new() },
        None => {
            return Err(Error::invalid(format!("unable to find user {name}: no matching entries in passwd file")));
        }
    };
    match group_name.filter(|name| !name.is_empty()) {
        Some(name) => user.gid = find_group(group, name)?,
        None => {
            let login = entry.as_ref().map_or(name, |parts| parts[0]);
            let member = |parts: &Vec<&str>| parts.len() >= 4 && parts[3].split(',').any(|it| it == login);
            let groups = group.lines().map(|line| line.split(':').collect::<Vec<_>>()).filter(member);
            user.groups = groups.map(|parts| number(parts[2])).collect::<Result<_>>()?;
        }
    }
    for name in more {
        let found = find_group(group, name)?;
        if !user.groups.contains(&found) {
            user.groups.push(found);
        }
    }
    Ok(user)
}

fn find_group(group: &str, name: &str) -> Result<u32> {
    let parts = group.lines().map(|line| line.split(':').collect::<Vec<_>>());
    match parts.into_iter().find(|parts| parts.len() >= 3 && parts[0] == name) {
        Some(parts) => number(parts[2]),
        None if is_number(name) => number(name),
        None => Err(Error::invalid(format!("unable to find group {name}: no matching entries in group file"))),
    }
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|digit| digit.is_ascii_digit())
}

/// The kernel takes 31 bits as ids.
fn number(text: &str) -> Result<u32> {
    let parsed = text.parse::<u32>().ok().filter(|number| i32::try_from(*number).is_ok());
    parsed.ok_or_else(|| Error::invalid("uids and gids must be in range 0-2147483647"))
}

/// A file's text, of which no link leads out of the root; nothing where there is none.
fn read_inside(root: &Path, path: &str) -> Result<String> {
    let failed = |cause: io::Error| Error::internal(format!("reading /{path} of the container: {cause}"));
    let root = File::open(root).map_err(failed)?;
    match openat2(
        &root,
        path,
        OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK,
        Mode::empty(),
        ResolveFlags::IN_ROOT,
    ) {
        Ok(file) => {
            let mut bytes = Vec::new();
            // A list of users that is longer helps nobody.
            File::from(file).take(4 << 20).read_to_end(&mut bytes).map_err(failed)?;
            Ok(String::from_utf8_lossy(&bytes).into_owned())
        }
        Err(rustix::io::Errno::NOENT | rustix::io::Errno::NOTDIR | rustix::io::Errno::LOOP) => Ok(String::new()),
        Err(cause) => Err(failed(cause.into())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PASSWD: &str = "root:x:0:0:root:/root:/bin/sh\nweb:x:33:34::/:/bin/sh\nodd\n";
    const GROUP: &str = "root:x:0:\nwww:x:34:web\naudio:x:29:web,root\n";

    fn found(wanted: &str, more: &[&str]) -> User {
        look_up(PASSWD, GROUP, wanted, &more.iter().map(ToString::to_string).collect::<Vec<_>>()).unwrap()
    }

    #[test]
    fn names_and_numbers_are_looked_up_as_docker_does() {
        assert_eq!(found("", &[]), User { uid: 0, gid: 0, groups: vec![29] });
        assert_eq!(found("web", &[]), User { uid: 33, gid: 34, groups: vec![34, 29] });
        assert_eq!(found("33", &[]), found("web", &[]));
        assert_eq!(found("1000", &[]), User { uid: 1000, gid: 0, groups: vec![] });
        assert_eq!(found("1000:www", &["audio", "7"]), User { uid: 1000, gid: 34, groups: vec![29, 7] });
    }

    #[test]
    fn who_is_not_there_is_told() {
        let told = look_up(PASSWD, GROUP, "nobody", &[]).unwrap_err().to_string();
        assert_eq!(told, "unable to find user nobody: no matching entries in passwd file");
        assert!(look_up(PASSWD, GROUP, "web:none", &[]).is_err());
        assert!(look_up(PASSWD, GROUP, "4294967295", &[]).is_err());
    }

    #[test]
    fn no_link_leads_out_of_the_container() {
        let root = tempfile::tempdir().unwrap();
        std::fs::create_dir(root.path().join("etc")).unwrap();
        std::os::unix::fs::symlink("/etc/passwd", root.path().join("etc/passwd")).unwrap();
        assert_eq!(read_inside(root.path(), "etc/passwd").unwrap(), "");
    }
}
