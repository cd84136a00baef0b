//! This machine is short of a resource: the message does not blame the file or name involved, and the daemon recovers
//! by itself.

use std::process::Command;

use crate::support::{Broker, Daemon, SOON, Settings};

fn limit_files(daemon: &Daemon, limit: &str) {
    let limit = format!("--nofile={limit}:1024");
    let status = Command::new("prlimit")
        .args(["-p", &daemon.pid().to_string(), &limit])
        .status();
    assert!(status.unwrap().success());
}

#[test]
fn a_shortage_of_descriptors_is_no_fault_of_a_file() {
    let broker = Broker::shared();
    let vhost = broker.vhost();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("pw");
    std::fs::write(&file, "guest").unwrap();
    let private = std::os::unix::fs::PermissionsExt::from_mode(0o600);
    std::fs::set_permissions(&file, private).unwrap();
    let url = broker.url(&vhost).replace("guest:guest", "guest");
    let settings = Settings::at(&url).set("broker.password_file", file.to_str().unwrap());
    let daemon = Daemon::start_consuming(broker, &vhost, &settings);
    let (line, _) = daemon.wait_for_line_from(0, "connected to", SOON);
    limit_files(&daemon, "8");
    broker.close_connections(&vhost);
    let (line, text) = daemon.wait_for_line_from(line, "too many open files", SOON);
    assert!(text.contains("LimitNOFILE="), "{text}");
    assert!(!text.contains("check the path"), "{text}");
    limit_files(&daemon, "1024");
    daemon.wait_for_line_from(line, "connected to", SOON);
}

/// The resolver says that the name is not known.
#[test]
fn a_shortage_of_descriptors_is_no_fault_of_a_name() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("c.toml");
    std::fs::write(&file, "broker.url = \"amqp://localhost:1\"\n").unwrap();
    let mut told = 0;
    for limit in 8..12 {
        let script = format!("ulimit -n {limit}; exec \"$0\" --config \"$1\" 30");
        let output = Command::new("sh")
            .args(["-c", &script, env!("CARGO_BIN_EXE_fibrpc")])
            .arg(&file)
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(
            !text.contains("not known; check broker.url"),
            "{limit}: {text}"
        );
        if text.contains("broker") && text.contains("too many open files") {
            assert!(text.contains("ulimit -n"), "{limit}: {text}");
            assert_eq!(output.status.code(), Some(71), "{limit}: {text}");
            told += 1;
        }
    }
    assert!(told > 0, "no limit had an effect");
}
