//! Whether others than the service can read a file with a secret, and how to change that so that the service
//! can still read it.

use super::file::read_text;
use super::keys::Broker;
use super::url::Scheme;
use crate::text::safe;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

/// The user and groups of this process.
struct Us {
    user: u32,
    /// All groups, the effective one first.
    groups: Vec<u32>,
}

impl Us {
    fn now() -> Self {
        let group = rustix::process::getegid().as_raw();
        let others = rustix::process::getgroups().unwrap_or_default();
        let others = others.into_iter().map(rustix::process::Gid::as_raw);
        Self {
            user: rustix::process::geteuid().as_raw(),
            groups: std::iter::once(group).chain(others).collect(),
        }
    }
}

/// What to do about a file that others can read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fix {
    /// The file is ours: remove the access of others.
    Ours,
    /// The file is root's: give it this group of ours.
    Group(u32),
    /// The file is another user's: give it to root and this group of ours.
    Owner(u32),
    /// We are root and do not know which group needs it.
    SomeGroup,
}

const ROOT: u32 = 0;

/// The rule: only root or this process own a secret, and only a group of this process has access beside them. Root
/// can read any file and may not be the service, so for root any group is accepted.
fn fix(mode: u32, owner: u32, group: u32, us: &Us) -> Option<Fix> {
    let is_foreign = us.user != ROOT
        && (![ROOT, us.user].contains(&owner)
            || mode & 0o060 != 0 && group != ROOT && !us.groups.contains(&group));
    if mode & 0o006 == 0 && !is_foreign {
        return None;
    }
    let group = us.groups.first().copied().unwrap_or(ROOT);
    Some(match owner {
        _ if us.user == ROOT => Fix::SomeGroup,
        owner if owner == us.user => Fix::Ours,
        ROOT => Fix::Group(group),
        _ => Fix::Owner(group),
    })
}

/// A warning if others can read the private key and it is used.
pub fn exposed_key(broker: &Broker) -> Option<String> {
    let used = broker.url.iter().any(|url| url.scheme == Scheme::Amqps);
    let path = broker.tls.key_file.as_deref().filter(|_| used)?;
    exposed("broker.tls.key_file", path)
}

/// A warning, in one line, if others can read the secret file that a key names.
pub(super) fn exposed(key: &str, path: &Path) -> Option<String> {
    let file = path.metadata().ok()?;
    let mode = file.mode() & 0o777;
    let fix = fix(mode, file.uid(), file.gid(), &Us::now())?;
    let path = path.display();
    let command = match fix {
        Fix::Ours => format!("chmod 0600 {path}"),
        Fix::Group(group) => format!("chgrp {} {path} && chmod 0640 {path}", name_of(group)),
        Fix::Owner(group) => format!("chown root:{} {path} && chmod 0640 {path}", name_of(group)),
        Fix::SomeGroup => {
            format!("chgrp GROUP {path} && chmod 0640 {path}, with the group of the service")
        }
    };
    let text = format!("{key}: others can read {path} (mode {mode:04o}); {command}");
    Some(safe(&text).into_owned())
}

/// A group's name, or its number if it is not in /etc/group.
fn name_of(group: u32) -> String {
    const MAX_FILE: u64 = 1 << 20;
    let groups = read_text(Path::new("/etc/group"), MAX_FILE).unwrap_or_default();
    let number = group.to_string();
    let name = groups.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)? == number).then(|| name.to_owned())
    });
    name.unwrap_or(number)
}

#[cfg(test)]
mod tests {
    use super::{Fix, Us, fix, name_of};

    #[test]
    fn access_of_others_to_a_secret_is_detected() {
        const SERVICE: u32 = 990;
        const FURTHER: u32 = 991;
        const ALICE: u32 = 1000;
        const USERS: u32 = 100;
        let service = || Us {
            user: SERVICE,
            groups: vec![SERVICE, FURTHER],
        };
        let root = || Us {
            user: 0,
            groups: vec![0],
        };
        let group = Some(Fix::Group(SERVICE));
        let owner = Some(Fix::Owner(SERVICE));
        for (us, mode, file_owner, file_group, expected) in [
            // Only we, or only root.
            (service(), 0o600, SERVICE, SERVICE, None),
            (service(), 0o400, SERVICE, USERS, None),
            (service(), 0o600, 0, 0, None),
            (service(), 0o711, SERVICE, USERS, None),
            // Our group, any of them.
            (service(), 0o640, 0, SERVICE, None),
            (service(), 0o440, 0, SERVICE, None),
            (service(), 0o660, 0, SERVICE, None),
            (service(), 0o640, SERVICE, SERVICE, None),
            (service(), 0o440, 0, FURTHER, None),
            // A credential of systemd: root's group, and a list of access rights for us.
            (service(), 0o440, 0, 0, None),
            // A group that is not ours.
            (service(), 0o640, SERVICE, USERS, Some(Fix::Ours)),
            (service(), 0o640, 0, USERS, group),
            (service(), 0o620, 0, USERS, group),
            // Everyone can read or write it.
            (service(), 0o644, SERVICE, SERVICE, Some(Fix::Ours)),
            (service(), 0o604, SERVICE, SERVICE, Some(Fix::Ours)),
            (service(), 0o602, SERVICE, SERVICE, Some(Fix::Ours)),
            (service(), 0o644, 0, 0, group),
            (service(), 0o444, 0, SERVICE, group),
            // Another user's file: its owner can read and change it whatever its mode.
            (service(), 0o640, ALICE, SERVICE, owner),
            (service(), 0o644, ALICE, ALICE, owner),
            // A check by root, who does not know the service's group.
            (root(), 0o600, 0, 0, None),
            (root(), 0o640, 0, SERVICE, None),
            (root(), 0o600, ALICE, ALICE, None),
            (root(), 0o640, SERVICE, SERVICE, None),
            (root(), 0o644, 0, 0, Some(Fix::SomeGroup)),
            (root(), 0o644, SERVICE, SERVICE, Some(Fix::SomeGroup)),
        ] {
            let found = fix(mode, file_owner, file_group, &us);
            assert_eq!(
                found, expected,
                "{mode:o} {file_owner}:{file_group} seen by {}",
                us.user
            );
        }
    }

    #[test]
    fn the_fix_keeps_it_readable_and_ends_the_warning() {
        let us = || Us {
            user: 990,
            groups: vec![990, 991],
        };
        let readable = |mode: u32, owner, group| match (owner, group) {
            (990, _) => mode & 0o400 != 0,
            (_, 990 | 991) => mode & 0o040 != 0,
            _ => mode & 0o004 != 0,
        };
        for mode in 0..=0o777 {
            for owner in [0, 990, 1000] {
                for group in [0, 100, 990, 991, 1000] {
                    let Some(fix_found) = fix(mode, owner, group, &us()) else {
                        continue;
                    };
                    let (mode, owner, group) = match fix_found {
                        Fix::Ours => (0o600, owner, group),
                        Fix::Group(own) => (0o640, owner, own),
                        Fix::Owner(own) => (0o640, 0, own),
                        Fix::SomeGroup => panic!("we are not root"),
                    };
                    assert!(readable(mode, owner, group));
                    assert_eq!(fix(mode, owner, group, &us()), None);
                }
            }
        }
    }

    #[test]
    fn groups_have_names() {
        assert_eq!(name_of(0), "root");
        assert_eq!(name_of(4_294_967_294), "4294967294");
    }
}
