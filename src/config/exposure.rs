//! Whether others than the service can read a file that holds a secret, and a cure that keeps it readable
//! for the service.

use super::file::read_text;
use super::keys::Broker;
use super::problem::one_line;
use super::url::Scheme;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

/// Who looks at a file.
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
enum Cure {
    /// It is ours: nobody else needs it.
    Ours,
    /// It is root's, and we may read it as a member of this group.
    Group(u32),
    /// It is somebody else's, and should be root's and that group's.
    Owner(u32),
    /// We are root, who is not told which group needs it.
    SomeGroup,
}

const ROOT: u32 = 0;

/// The rule: a secret is its owner's, who is root or this process, and perhaps its group's, which is one of
/// this process. Root can read anything and need not be the service, so groups are not root's to judge.
fn cure(mode: u32, owner: u32, group: u32, us: &Us) -> Option<Cure> {
    let own_group = group == ROOT || us.user == ROOT || us.groups.contains(&group);
    let own_file = [ROOT, us.user].contains(&owner) || us.user == ROOT;
    let others = mode & 0o006 != 0;
    let group_is_foreign = mode & 0o060 != 0 && !own_group;
    if own_file && !others && !group_is_foreign {
        return None;
    }
    let group = us.groups.first().copied().unwrap_or(ROOT);
    Some(match owner {
        _ if us.user == ROOT => Cure::SomeGroup,
        owner if owner == us.user => Cure::Ours,
        ROOT => Cure::Group(group),
        _ => Cure::Owner(group),
    })
}

/// A warning where others can read the private key and it is used.
pub fn exposed_key(broker: &Broker) -> Option<String> {
    let used = broker.url.iter().any(|url| url.scheme == Scheme::Amqps);
    let path = broker.tls.key_file.as_deref().filter(|_| used)?;
    exposed("broker.tls.key_file", path)
}

/// A warning, in one line, where others can read the secret in the file that a key names.
pub(super) fn exposed(key: &str, path: &Path) -> Option<String> {
    let file = path.metadata().ok()?;
    let mode = file.mode() & 0o777;
    let cure = cure(mode, file.uid(), file.gid(), &Us::now())?;
    let path = path.display();
    let cure = match cure {
        Cure::Ours => format!("chmod 0600 {path}"),
        Cure::Group(group) => format!("chgrp {} {path} && chmod 0640 {path}", name_of(group)),
        Cure::Owner(group) => format!("chown root:{} {path} && chmod 0640 {path}", name_of(group)),
        Cure::SomeGroup => {
            format!("chgrp GROUP {path} && chmod 0640 {path}, with the group of the service")
        }
    };
    Some(one_line(&format!(
        "{key}: others can read {path} (mode {mode:04o}); {cure}"
    )))
}

/// A group's name, or its number where /etc/group does not know it.
fn name_of(group: u32) -> String {
    const LARGEST_FILE: u64 = 1 << 20;
    let groups = read_text(Path::new("/etc/group"), LARGEST_FILE).unwrap_or_default();
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
    use super::{Cure, Us, cure, name_of};

    #[test]
    fn who_may_read_a_secret() {
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
        let group = Some(Cure::Group(SERVICE));
        let owner = Some(Cure::Owner(SERVICE));
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
            (service(), 0o640, SERVICE, USERS, Some(Cure::Ours)),
            (service(), 0o640, 0, USERS, group),
            (service(), 0o620, 0, USERS, group),
            // Everyone.
            (service(), 0o644, SERVICE, SERVICE, Some(Cure::Ours)),
            (service(), 0o604, SERVICE, SERVICE, Some(Cure::Ours)),
            (service(), 0o602, SERVICE, SERVICE, Some(Cure::Ours)),
            (service(), 0o644, 0, 0, group),
            (service(), 0o444, 0, SERVICE, group),
            // Somebody else's file, who can read and change it whatever its mode.
            (service(), 0o640, ALICE, SERVICE, owner),
            (service(), 0o644, ALICE, ALICE, owner),
            // A check by root, who can only guess which group is the service's.
            (root(), 0o600, 0, 0, None),
            (root(), 0o640, 0, SERVICE, None),
            (root(), 0o600, ALICE, ALICE, None),
            (root(), 0o640, SERVICE, SERVICE, None),
            (root(), 0o644, 0, 0, Some(Cure::SomeGroup)),
            (root(), 0o644, SERVICE, SERVICE, Some(Cure::SomeGroup)),
        ] {
            let found = cure(mode, file_owner, file_group, &us);
            assert_eq!(
                found, expected,
                "{mode:o} {file_owner}:{file_group} seen by {}",
                us.user
            );
        }
    }

    #[test]
    fn the_cure_leaves_it_readable_and_says_no_more() {
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
                    let Some(cure_found) = cure(mode, owner, group, &us()) else {
                        continue;
                    };
                    let (mode, owner, group) = match cure_found {
                        Cure::Ours => (0o600, owner, group),
                        Cure::Group(own) => (0o640, owner, own),
                        Cure::Owner(own) => (0o640, 0, own),
                        Cure::SomeGroup => panic!("we are not root"),
                    };
                    assert!(readable(mode, owner, group));
                    assert_eq!(cure(mode, owner, group, &us()), None);
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
