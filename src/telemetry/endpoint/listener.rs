//! The endpoint's listener: bound here, or passed by systemd. Owns the file of a local socket that it has made.

use crate::config::Listen;
use socket2::{Domain, SockAddr, Socket, Type};
use std::fs::{self, Permissions};
use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use tokio::net::{TcpListener, UnixListener};

/// How many connections wait to be accepted. At the pace of the thread, the last of them is accepted after half a second.
const BACKLOG: i32 = 256;

/// Who may connect to a local socket: the user and the group of the service.
const MODE: u32 = 0o660;

/// What is listened with.
#[derive(Debug)]
pub(super) enum Listener {
    Tcp(TcpListener),
    /// With the file that is removed at the end, if it was made here.
    Unix(
        UnixListener,
        #[allow(dead_code, reason = "kept until the end")] Option<SocketFile>,
    ),
}

/// The listening sockets that systemd has passed to this process.
#[derive(Debug, Default)]
pub(crate) struct Passed(Vec<Socket>);

impl Passed {
    /// Takes them. To be called before the first thread is started, since it changes the environment.
    pub(crate) fn take() -> Self {
        // Without a process id the number may be meant for another process.
        if std::env::var_os("LISTEN_PID").is_none() {
            return Self::default();
        }
        let mut passed = listenfd::ListenFd::from_env();
        let mut sockets = Vec::new();
        for index in 0..passed.len() {
            // Others than listeners are left alone.
            if let Ok(Some(tcp)) = passed.take_tcp_listener(index) {
                sockets.push(tcp.into());
            } else if let Ok(Some(unix)) = passed.take_unix_listener(index) {
                sockets.push(unix.into());
            }
        }
        Self(sockets)
    }

    /// Whether there are none.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The one for this address.
    fn find(&mut self, at: &Listen) -> Option<Socket> {
        let is_it = |socket: &Socket| socket.local_addr().is_ok_and(|address| shows(&address, at));
        let index = self.0.iter().position(is_it)?;
        Some(self.0.swap_remove(index))
    }

    /// Their addresses, for people.
    fn shown(&self) -> String {
        let addresses = self.0.iter().filter_map(|socket| socket.local_addr().ok());
        let shown: Vec<_> = addresses
            .map(|address| listen(&address).to_string())
            .collect();
        shown.join(", ")
    }
}

/// An address as it would be configured.
fn listen(address: &SockAddr) -> Listen {
    match (address.as_socket(), address.as_pathname()) {
        (Some(address), _) => Listen::Tcp(address),
        (None, Some(path)) => Listen::Unix(path.to_owned()),
        (None, None) => Listen::Off,
    }
}

fn shows(address: &SockAddr, at: &Listen) -> bool {
    listen(address) == *at
}

impl Listener {
    /// Listens at this address. The error says what is wrong, and what to do.
    pub(super) fn bind(at: &Listen, passed: &mut Passed) -> Result<Self, String> {
        if let Some(socket) = passed.find(at) {
            return Self::of(at, socket, None)
                .map_err(|error| format!("the socket that systemd passed: {error}"));
        }
        if !passed.is_empty() {
            return Err(format!(
                "systemd passed a socket for {}; set telemetry.listen to that, or ListenStream= of the socket unit to this",
                passed.shown()
            ));
        }
        match at {
            Listen::Off => Err("no address is configured; set telemetry.listen".into()),
            Listen::Tcp(address) => {
                let socket = bind_tcp(*address).map_err(|error| explain(&error))?;
                Self::of(at, socket, None).map_err(|error| explain(&error))
            }
            Listen::Unix(path) => {
                let (socket, file) = bind_unix(path)?;
                Self::of(at, socket, Some(file)).map_err(|error| explain(&error))
            }
        }
    }

    fn of(at: &Listen, socket: Socket, file: Option<SocketFile>) -> io::Result<Self> {
        socket.set_nonblocking(true)?;
        Ok(match at {
            Listen::Unix(_) => Self::Unix(UnixListener::from_std(socket.into())?, file),
            Listen::Tcp(_) | Listen::Off => Self::Tcp(TcpListener::from_std(socket.into())?),
        })
    }
}

/// Why it was not possible to listen, and what to do.
fn explain(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::AddrInUse => {
            "another process listens there; stop that, or choose another address".into()
        }
        io::ErrorKind::AddrNotAvailable => {
            "this machine does not have that address; choose one of its own".into()
        }
        io::ErrorKind::PermissionDenied => {
            "permission denied; choose a port above 1023, or a socket that systemd passes".into()
        }
        _ => format!("{error}; choose another address"),
    }
}

fn bind_tcp(address: SocketAddr) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
    // Otherwise the connections of a predecessor would keep the port for a minute.
    socket.set_reuse_address(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket)
}

fn bind_unix(path: &Path) -> Result<(Socket, SocketFile), String> {
    let bound = || -> io::Result<Socket> {
        let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
        socket.bind(&SockAddr::unix(path)?)?;
        Ok(socket)
    };
    let socket = match bound() {
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
            remove_stale(path)?;
            bound()
        }
        other => other,
    };
    let socket = socket.map_err(|error| explain_unix(&error, path))?;
    let file = SocketFile::of(path).map_err(|error| explain_unix(&error, path))?;
    // Nobody can connect before it listens, so nobody does with other permissions.
    fs::set_permissions(path, Permissions::from_mode(MODE))
        .and_then(|()| socket.listen(BACKLOG))
        .map_err(|error| explain_unix(&error, path))?;
    Ok((socket, file))
}

fn explain_unix(error: &io::Error, path: &Path) -> String {
    let folder = path.parent().unwrap_or(path).display();
    match error.kind() {
        io::ErrorKind::NotFound => {
            format!("no folder {folder}; create it, or set RuntimeDirectory= in the unit")
        }
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
            format!(
                "cannot write to {folder}; set RuntimeDirectory= in the unit, or choose another path"
            )
        }
        io::ErrorKind::AddrInUse => explain(error),
        _ => format!("{error}; choose another path"),
    }
}

/// Removes the socket of a process that has died.
fn remove_stale(path: &Path) -> Result<(), String> {
    let metadata = fs::symlink_metadata(path).map_err(|error| explain_unix(&error, path))?;
    if !metadata.file_type().is_socket() {
        return Err(
            "a file that is not a socket is there; remove it, or choose another path".into(),
        );
    }
    let probe = || -> io::Result<()> {
        let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
        // A full backlog is an error, and is not waited for.
        socket.set_nonblocking(true)?;
        socket.connect(&SockAddr::unix(path)?)
    };
    match probe() {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
            fs::remove_file(path).map_err(|error| explain_unix(&error, path))
        }
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            Err("the socket of another user is there; remove it, or choose another path".into())
        }
        _ => Err("another process listens there; stop that, or choose another path".into()),
    }
}

/// The file of a local socket. Dropping it removes the file, unless it is another one by then.
#[derive(Debug)]
pub(super) struct SocketFile {
    path: PathBuf,
    id: (u64, u64),
}

impl SocketFile {
    fn of(path: &Path) -> io::Result<Self> {
        let id = id(path)?;
        Ok(Self {
            path: path.to_owned(),
            id,
        })
    }
}

fn id(path: &Path) -> io::Result<(u64, u64)> {
    let metadata = fs::symlink_metadata(path)?;
    Ok((metadata.dev(), metadata.ino()))
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        if id(&self.path).is_ok_and(|now| now == self.id) {
            // If that fails, the next process finds a stale socket and replaces it.
            let _ = fs::remove_file(&self.path);
        }
    }
}
