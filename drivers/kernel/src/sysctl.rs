//! Settings under `/proc/sys`.

use std::fs;
use std::io;
use std::path::{Component, Path, PathBuf};

use trestle_core::resource::Sysctl;
use trestle_core::{Error, Result, failpoint};

/// What a setting says in the calling thread's namespace; `None` if this kernel has no such setting.
pub(crate) fn read(key: &str) -> Result<Option<String>> {
    match fs::read_to_string(path(key)?) {
        Ok(value) => Ok(Some(value.trim().to_owned())),
        Err(cause) if cause.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(cause) => Err(Error::internal(cause.to_string()).doing(format!("reading /proc/sys/{key}"))),
    }
}

/// Makes a setting say what it should, in the calling thread's namespace; not written where it does already.
pub(crate) fn set(wanted: &Sysctl) -> Result<()> {
    let Some(now) = read(&wanted.key)? else {
        if of_a_link(&wanted.key) {
            // A link that was renamed or taken out since: there is nothing to set, and verify tells of it.
            tracing::warn!(setting = %wanted.key, "its link is gone");
            return Ok(());
        }
        return Err(Error::unsupported(format!("this kernel has no setting {}", wanted.key)));
    };
    if now == wanted.value.trim() {
        return Ok(());
    }
    fs::write(path(&wanted.key)?, &wanted.value).map_err(|cause| match cause.kind() {
        io::ErrorKind::ReadOnlyFilesystem | io::ErrorKind::PermissionDenied => {
            Error::forbidden(format!("{cause}: this process may not write it; set it to {} by hand", wanted.value))
        }
        _ => Error::internal(format!("{cause} (wanted {:?}, it says {now:?})", wanted.value)),
    })?;
    failpoint!("kernel.setting-changed");
    Ok(())
}

/// Makes a setting say what it said before us, unless somebody has changed it since or its link is gone.
pub(crate) fn put_back(ours: &Sysctl) -> Result<()> {
    let Some(prior) = ours.prior.as_ref().filter(|_| ours.put_back) else { return Ok(()) };
    match read(&ours.key)? {
        Some(now) if now == ours.value.trim() => set(&Sysctl { value: prior.clone(), ..ours.clone() }),
        _ => Ok(()),
    }
}

/// Whether it is one link's: `net/ipv4/conf/LINK/…`.
fn of_a_link(key: &str) -> bool {
    matches!(key.split('/').collect::<Vec<_>>()[..], ["net", "ipv4" | "ipv6", "conf", link, ..] if !matches!(link, "all" | "default"))
}

fn path(key: &str) -> Result<PathBuf> {
    let key = Path::new(key);
    if !key.components().all(|part| matches!(part, Component::Normal(_))) {
        return Err(Error::invalid(format!("{} is no setting below /proc/sys", key.display())));
    }
    Ok(Path::new("/proc/sys").join(key))
}
