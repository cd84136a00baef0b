//! Where the endpoint listens, and what if it cannot.

use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::fs::{MetadataExt as _, symlink};
use std::process::Command;

use super::{Endpoint, NOBODY, probe};
use crate::support::ports::Ports;
use crate::support::{Daemon, Notify, Process, SOON, Settings, lacks, until};

#[test]
fn a_stale_socket_is_replaced_and_a_live_one_is_not() {
    let endpoint = Endpoint::new();
    let settings = endpoint.on(Settings::at(NOBODY));
    let mut first = Daemon::start(&settings);
    endpoint.wait_for("/healthz", 200);
    let mode = endpoint.path().metadata().unwrap().mode();
    assert_eq!(mode & 0o777, 0o660, "{mode:o}");
    first.signal("KILL");
    first.wait(SOON);
    assert!(endpoint.path().exists());
    let _second = Daemon::start(&settings);
    endpoint.wait_for("/healthz", 200);
    let third = Daemon::start(&settings);
    let line = third.wait_for_line("cannot listen", SOON);
    assert!(
        line.contains("another process listens there; stop that"),
        "{line}"
    );
    assert!(line.contains("requests are served nevertheless"), "{line}");
    assert_eq!(endpoint.get("/healthz").status, 200);
    drop(third);
    assert_eq!(endpoint.get("/healthz").status, 200);
}

#[test]
fn other_files_stay_as_they_are() {
    let endpoint = Endpoint::new();
    let settings = endpoint.on(Settings::at(NOBODY));
    std::fs::write(endpoint.path(), "precious").unwrap();
    let daemon = Daemon::start(&settings);
    daemon.wait_for_line("a file that is not a socket is there", SOON);
    drop(daemon);
    assert_eq!(std::fs::read(endpoint.path()).unwrap(), b"precious");
    std::fs::remove_file(endpoint.path()).unwrap();
    // A link is not followed.
    symlink("/nowhere/at/all", endpoint.path()).unwrap();
    let daemon = Daemon::start(&settings);
    daemon.wait_for_line("a file that is not a socket is there", SOON);
    drop(daemon);
    assert!(endpoint.path().is_symlink());
}

#[test]
fn a_port_in_use_is_reported_and_taken_when_it_is_free() {
    let port = Ports::<1>::reserve();
    let other = TcpListener::bind((Ipv4Addr::LOCALHOST, port.first())).unwrap();
    let address = format!("127.0.0.1:{}", port.first());
    let settings = Settings::at(NOBODY).set("telemetry.listen", address.as_str());
    let notify = Notify::new();
    let daemon = Daemon::start_notifying(&settings, &notify);
    let line = daemon.wait_for_line("cannot listen", SOON);
    assert!(line.contains(&format!(
        "telemetry: cannot listen at {address}: another process"
    )));
    notify.wait_for_status("; no telemetry: cannot listen at 127.0.0.1:", SOON);
    drop(other);
    daemon.wait_for_line(&format!("telemetry: listening at {address}"), SOON);
    assert_eq!(probe(&settings, "live").0, 0);
    until(SOON, "STATUS is as usual", || {
        let status = notify.last("STATUS")?;
        (!status.contains("telemetry")).then_some(())
    });
}

#[test]
fn all_addresses_are_probed_at_this_machine() {
    let port = Ports::<1>::reserve();
    let settings =
        Settings::at(NOBODY).set("telemetry.listen", format!("0.0.0.0:{}", port.first()));
    let daemon = Daemon::start(&settings);
    daemon.wait_for_line("telemetry: listening", SOON);
    assert_eq!(probe(&settings, "live").0, 0);
}

/// A daemon that is started with a socket, at the first connection to it.
fn activated(socket: &str, settings: &Settings, endpoint: &Endpoint) -> Process {
    let file = endpoint.folder.path().join("fibrpc.toml");
    std::fs::write(&file, settings.text()).unwrap();
    let mut command = Command::new("systemd-socket-activate");
    command.arg("--listen").arg(socket);
    command
        .arg(env!("CARGO_BIN_EXE_fibrpcd"))
        .arg("--config")
        .arg(file);
    Process::start(&mut command, b"")
}

#[test]
fn a_socket_that_systemd_passes_is_used() {
    if lacks("systemd-socket-activate") {
        return;
    }
    let endpoint = Endpoint::new();
    let settings = endpoint.on(Settings::at(NOBODY));
    let socket = endpoint.path();
    let mut daemon = activated(socket.to_str().unwrap(), &settings, &endpoint);
    endpoint.wait_for("/healthz", 200);
    assert_eq!(probe(&settings, "live").0, 0);
    daemon.signal("TERM");
    assert_eq!(daemon.wait(SOON).code(), Some(0));
    assert!(endpoint.path().exists(), "it was not ours to remove");
}

#[test]
fn a_passed_socket_with_another_address_is_an_error() {
    if lacks("systemd-socket-activate") {
        return;
    }
    let endpoint = Endpoint::new();
    let settings = Settings::at(NOBODY).set("telemetry.listen", "unix:/nowhere/else");
    let socket = endpoint.path();
    let daemon = activated(socket.to_str().unwrap(), &settings, &endpoint);
    let _waiting = endpoint.connect();
    let line = daemon.wait_for_line("cannot listen at unix:/nowhere/else", SOON);
    assert!(
        line.contains(&format!(
            "systemd passed a socket for {}",
            endpoint.listen()
        )),
        "{line}"
    );
    drop(daemon);
    std::fs::remove_file(endpoint.path()).unwrap();
    let daemon = activated(socket.to_str().unwrap(), &Settings::at(NOBODY), &endpoint);
    let _waiting = endpoint.connect();
    daemon.wait_for_line("telemetry.listen is not set", SOON);
}
