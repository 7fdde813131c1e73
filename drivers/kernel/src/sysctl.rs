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
        if of_a_link(&wanted.key) && !has_settings(&wanted.key)? {
            // A link that was renamed or taken out since: there is nothing to set, and verify tells of it.
            tracing::warn!(setting = %wanted.key, "its link is gone");
            return Ok(());
        }
        return Err(Error::unsupported(format!("this kernel has no setting {}", wanted.key)));
    };
    if says(&now, &wanted.value) {
        return Ok(());
    }
    fs::write(path(&wanted.key)?, &wanted.value).map_err(|cause| match cause.kind() {
        io::ErrorKind::ReadOnlyFilesystem | io::ErrorKind::PermissionDenied => {
            Error::forbidden(format!("{cause}: this process may not write it; set it to {} by hand", wanted.value))
        }
        io::ErrorKind::InvalidInput => {
            Error::invalid(format!("the kernel does not take {:?} for it; it says {now:?}", wanted.value))
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
        Some(now) if says(&now, &ours.value) => set(&Sysctl { value: prior.clone(), ..ours.clone() }),
        _ => Ok(()),
    }
}

/// Whether what a setting says is what is wanted, however numbers are written: the kernel writes them its own way.
pub(crate) fn says(now: &str, wanted: &str) -> bool {
    let number = |word: &str| word.parse::<i64>().ok();
    let same = |(one, other): (&str, &str)| one == other || (number(one).is_some() && number(one) == number(other));
    let (now, wanted): (Vec<&str>, Vec<&str>) = (now.split_whitespace().collect(), wanted.split_whitespace().collect());
    now.len() == wanted.len() && now.into_iter().zip(wanted).all(same)
}

/// Whether it is one link's: `net/ipv4/conf/LINK/…`.
fn of_a_link(key: &str) -> bool {
    matches!(
        key.split('/').collect::<Vec<_>>()[..],
        ["net", "ipv4" | "ipv6" | "mpls", "conf" | "neigh", link, _] if !matches!(link, "all" | "default")
    )
}

/// Whether the link that a setting is of has any.
fn has_settings(key: &str) -> Result<bool> {
    Ok(path(key)?.parent().is_some_and(Path::exists))
}

fn path(key: &str) -> Result<PathBuf> {
    let key = Path::new(key);
    if !key.components().all(|part| matches!(part, Component::Normal(_))) {
        return Err(Error::invalid(format!("{} is no setting below /proc/sys", key.display())));
    }
    Ok(Path::new("/proc/sys").join(key))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_the_same_however_it_is_written() {
        for (now, wanted, same) in [
            ("1", "1", true),
            ("1", "01", true),
            ("1", " +1\n", true),
            ("4096\t16384", "4096 16384", true),
            ("1", "2", false),
            ("1", "1 1", false),
            ("cubic", "cubic", true),
            ("cubic", "reno", false),
        ] {
            assert_eq!(says(now, wanted), same, "{now:?} and {wanted:?}");
        }
    }

    #[test]
    fn a_link_s_settings_are_known_by_their_path() {
        for (key, is_one) in [
            ("net/ipv4/conf/eth0/log_martians", true),
            ("net/ipv6/neigh/eth0/ucast_solicit", true),
            ("net/ipv4/conf/all/log_martians", false),
            ("net/ipv4/ip_forward", false),
        ] {
            assert_eq!(of_a_link(key), is_one, "{key}");
        }
    }
}
