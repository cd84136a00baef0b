//! Holds what is packaged to the code: the units, their hardening, the manual pages, the versions.
//!
//! Quick and without a broker. Checks whose tool is missing are left out, which `scripts/test` counts.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    unreachable_pub,
    reason = "all of it is test code"
)]

mod catalog;
mod dependencies;
mod manuals;
mod monitoring;
#[path = "../tools/mod.rs"]
#[allow(dead_code, reason = "not every tool is needed here")]
mod tools;

use fibrpc::internals::config::Config;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Duration;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(file: &str) -> String {
    fs::read_to_string(root().join(file)).unwrap_or_else(|error| panic!("{file}: {error}"))
}

/// Runs a tool; `None` if the machine lacks it.
fn tool(program: &str, args: &[&str]) -> Option<Output> {
    if tools::lacks(program) {
        return None;
    }
    Some(Command::new(program).args(args).output().unwrap())
}

fn text(output: &Output) -> String {
    let (out, err) = (&output.stdout, &output.stderr);
    String::from_utf8_lossy(out).into_owned() + &String::from_utf8_lossy(err)
}

mod units {
    use super::*;

    const UNIT: &str = "packaging/systemd/fibrpcd.service";
    const INSTANCE: &str = "packaging/systemd/fibrpcd@.service";
    const EXAMPLES: [&str; 5] = [
        "container",
        "credentials",
        "ip-address-allow",
        "memory",
        "telemetry",
    ];

    /// All values of a directive.
    fn values<'a>(unit: &'a str, directive: &str) -> Vec<&'a str> {
        let value = |line: &'a str| line.strip_prefix(directive)?.strip_prefix('=');
        unit.lines().filter_map(value).collect()
    }

    fn seconds(unit: &str, directive: &str) -> Duration {
        let values = values(unit, directive);
        let [value] = values[..] else {
            panic!("{directive}: {values:?}");
        };
        let digits = value.strip_suffix('s').unwrap();
        Duration::from_secs(digits.parse().unwrap())
    }

    /// A folder with both units and all drop-ins as systemd wants to see them; the programs are
    /// exchanged for one that is there, since verifying wants to find them.
    fn folder() -> (tempfile::TempDir, [PathBuf; 2]) {
        let folder = tempfile::tempdir().unwrap();
        let place = |from: &str, name: &str| {
            let unit = read(from)
                .replace("/usr/sbin/fibrpcd", "/bin/sh")
                .replace("/bin/kill", "/bin/sh");
            let path = folder.path().join(name);
            fs::write(&path, unit).unwrap();
            path
        };
        let units = [
            place(UNIT, "fibrpcd.service"),
            place(INSTANCE, "fibrpcd@reports.service"),
        ];
        (folder, units)
    }

    #[test]
    fn times_fit_the_defaults() {
        let server = Config::default().server;
        for file in [UNIT, INSTANCE] {
            let unit = read(file);
            // Acks, closes and the last lines of the log take their time after the drain.
            let stop = server.drain_timeout + Duration::from_secs(10);
            assert!(seconds(&unit, "TimeoutStopSec") >= stop, "{file}");
            let start = server.ready_timeout + Duration::from_secs(10);
            assert!(seconds(&unit, "TimeoutStartSec") >= start, "{file}");
            // Serving again within 40 s of a hang: the watchdog, the restart, and a connection.
            let back = seconds(&unit, "WatchdogSec") + seconds(&unit, "RestartSec");
            assert!(back <= Duration::from_secs(35), "{file}");
        }
    }

    #[test]
    fn the_daemon_believes_what_the_unit_says_of_stopping() {
        let stop = seconds(&read(UNIT), "TimeoutStopSec").as_secs();
        let line = format!("UNIT_STOP_TIMEOUT: Duration = Duration::from_secs({stop});");
        assert!(read("src/daemon/notify.rs").contains(&line), "{line}");
    }

    #[test]
    fn it_restarts_but_not_where_that_cures_nothing() {
        for file in [UNIT, INSTANCE] {
            let unit = read(file);
            let cured_by_no_restart = values(&unit, "RestartPreventExitStatus").join(" ");
            let named: Vec<&str> = cured_by_no_restart.split(' ').collect();
            assert_eq!(named[..2], ["USAGE", "CONFIG"], "{file}");
            // The status that systemd reports if it cannot set up these directives.
            for (status, directives) in [
                ("EXEC", "ExecStart"),
                ("LIMITS", "LimitNOFILE"),
                ("GROUP", "Group"),
                ("USER", "User PrivateUsers"),
                ("CAPABILITIES", "CapabilityBoundingSet"),
                ("NAMESPACE", "PrivateTmp PrivateIPC ProtectSystem"),
                ("NO_NEW_PRIVILEGES", "NoNewPrivileges"),
                ("SECCOMP", "SystemCallFilter"),
                ("PERSONALITY", "LockPersonality"),
                ("ADDRESS_FAMILIES", "RestrictAddressFamilies"),
                ("KEYRING", "KeyringMode"),
                ("STATE_DIRECTORY", "StateDirectory"),
            ] {
                assert!(named.contains(&status), "{file}: {status}");
                for directive in directives.split(' ') {
                    assert_ne!(values(&unit, directive).len(), 0, "{file}: {directive}");
                }
            }
            // Of a drop-in that comes with the package.
            assert!(named.contains(&"CREDENTIALS"), "{file}");
            for (directive, expect) in [
                ("Type", "notify"),
                ("Restart", "on-failure"),
                ("SuccessExitStatus", "TEMPFAIL"),
                ("StartLimitIntervalSec", "0"),
                ("KillMode", "mixed"),
            ] {
                assert_eq!(values(&unit, directive), [expect], "{file}: {directive}");
            }
            let [check, signal] = values(&unit, "ExecReload")[..] else {
                panic!("{file}: check, then signal");
            };
            assert!(check.ends_with(" --check"), "{file}");
            assert_eq!(signal, "/bin/kill -HUP $MAINPID", "{file}");
        }
    }

    #[test]
    fn there_is_a_task_for_each_computation_and_more() {
        let keys = read("src/config/keys.rs");
        let line = keys
            .lines()
            .find(|line| line.contains("\"server.concurrency\""));
        let largest = line.and_then(|line| line.split("0..=").nth(1)?.split('_').next());
        let largest: u32 = largest.unwrap().parse().unwrap();
        // Threads that look up names, up to 512, the runtime, and the check of a reload.
        let wanted = largest + 512 + 100;
        for file in [UNIT, INSTANCE] {
            let tasks = values(&read(file), "TasksMax").concat();
            assert!(tasks.parse::<u32>().unwrap() >= wanted, "{file}: {wanted}");
        }
    }

    #[test]
    fn an_instance_differs_in_configuration_and_state_only() {
        let instance = read(INSTANCE)
            .replace(", instance %i", "")
            .replace(" --config /etc/fibrpc/%i.toml", "")
            .replace("StateDirectory=fibrpcd/%i", "StateDirectory=fibrpcd");
        let directives = |unit: &str| -> Vec<String> {
            let lines = unit.lines().map(str::to_owned);
            lines.filter(|line| !line.starts_with('#')).collect()
        };
        let instance: Vec<String> = directives(&instance).into_iter().skip(1).collect();
        assert_eq!(instance, directives(&read(UNIT)));
    }

    #[test]
    fn the_user_is_the_one_that_sysusers_makes() {
        let user = values(&read(UNIT), "User").concat();
        let sysusers = read("packaging/systemd/fibrpcd.sysusers");
        let line = sysusers.lines().find(|line| !line.starts_with('#'));
        assert!(line.unwrap().starts_with(&format!("u {user} - ")));
    }

    #[test]
    fn systemd_finds_nothing_wrong_with_units_and_examples() {
        let (folder, units) = folder();
        let drop_ins = folder.path().join("fibrpcd.service.d");
        fs::create_dir(&drop_ins).unwrap();
        for example in EXAMPLES {
            let from = root().join(format!("packaging/systemd/examples/{example}.conf"));
            fs::copy(from, drop_ins.join(format!("{example}.conf"))).unwrap();
        }
        let socket = folder.path().join("fibrpcd-telemetry.socket");
        let from = "packaging/systemd/examples/fibrpcd-telemetry.socket";
        fs::copy(root().join(from), &socket).unwrap();
        let socket = socket.to_str().unwrap();
        let [unit, instance] = units.map(|path| path.to_str().unwrap().to_owned());
        // Without --man: the pages are not installed here. The package test does it with them.
        let args = ["verify", "--man=no", &unit, &instance, socket];
        if let Some(output) = tool("systemd-analyze", &args) {
            assert!(output.status.success(), "{}", text(&output));
            let ours = |line: &&str| line.contains("fibrpcd");
            assert_eq!(text(&output).lines().find(ours), None);
        }
    }

    #[test]
    fn exposure_is_at_most_1_1() {
        let (_folder, units) = folder();
        for unit in units {
            let path = unit.to_str().unwrap();
            let args = ["security", "--offline=true", "--threshold=11", path];
            if let Some(output) = tool("systemd-analyze", &args) {
                assert!(output.status.success(), "{}", text(&output));
            }
        }
    }
}

mod debian {
    use super::*;

    fn manifest() -> toml::Table {
        read("Cargo.toml").parse().unwrap()
    }

    fn metadata() -> toml::Table {
        let manifest = manifest();
        let metadata = &manifest["package"]["metadata"]["deb"];
        metadata.as_table().unwrap().clone()
    }

    #[test]
    fn the_changelog_is_of_this_version() {
        let changelog = read("packaging/deb/changelog");
        let expect = format!("fibrpc ({}-1) ", env!("CARGO_PKG_VERSION"));
        assert!(changelog.starts_with(&expect), "{expect}");
    }

    #[test]
    fn changelog_copyright_and_package_name_one_maintainer() {
        let maintainer = metadata()["maintainer"].as_str().unwrap().to_owned();
        assert!(read("packaging/deb/changelog").contains(&format!(" -- {maintainer}  ")));
        let name = maintainer.split(" <").next().unwrap();
        assert!(read("packaging/deb/copyright").contains(name));
        assert!(read("LICENSE-MIT").contains(name));
    }

    #[test]
    fn everything_that_is_installed_exists() {
        for asset in metadata()["assets"].as_array().unwrap() {
            let source = asset[0].as_str().unwrap();
            if source.starts_with("target/") {
                continue;
            }
            let path = root().join(source.replace("*.conf", "").replace('*', ""));
            assert!(path.exists(), "{source}");
        }
    }

    #[test]
    fn completions_are_made_and_installed_where_each_shell_looks() {
        let assets = metadata()["assets"].to_string();
        let script = read("scripts/deb");
        for (shell, file, installed) in [
            ("bash", "fibrpc.bash", "bash-completion/completions/fibrpc"),
            ("zsh", "_fibrpc", "zsh/vendor-completions/_fibrpc"),
            (
                "fish",
                "fibrpc.fish",
                "fish/vendor_completions.d/fibrpc.fish",
            ),
        ] {
            let line = format!("\"target/completions/{file}\", \"usr/share/{installed}\"");
            assert!(assets.contains(&line), "{line}: {assets}");
            let line = format!("completions {shell} >target/completions/{file}");
            assert!(script.contains(&line), "{line}");
        }
    }

    #[test]
    fn manuals_are_where_their_section_says() {
        let assets = metadata()["assets"].to_string();
        for page in fs::read_dir(root().join("man")).unwrap() {
            let name = page.unwrap().file_name().into_string().unwrap();
            let section = name.rsplit('.').next().unwrap();
            let line = format!("\"man/{name}\", \"usr/share/man/man{section}/\"");
            assert!(assets.contains(&line), "{line}: {assets}");
        }
    }
}
