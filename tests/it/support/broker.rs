//! Private RabbitMQ nodes, by `scripts/private-broker`.
//!
//! [`Broker::shared`] is one node for all tests; a test gets its own [`Broker::vhost`]. A test that
//! breaks the node borrows the spare one, [`Broker::exclusive`], repairs what it broke, and gives it back.

use std::ops::Deref;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{LazyLock, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::certificates::{Authority, Identity};
use super::ports::Ports;
use super::process::send_signal;
use super::{SOON, guard, until, wire};

/// The script that knows how to run a node.
pub const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/private-broker");

/// What a start may take on a busy machine.
const START_LIMIT: Duration = Duration::from_secs(90);

static SHARED: LazyLock<Broker> = LazyLock::new(Broker::start_new);
static SPARE: Mutex<Option<Broker>> = Mutex::new(None);

/// One private node.
pub struct Broker {
    folder: PathBuf,
    ports: Ports<3>,
    server: Mutex<Option<Child>>,
    vhosts: AtomicUsize,
}

impl Broker {
    /// The node that all tests share. Do not break it.
    pub fn shared() -> &'static Self {
        &SHARED
    }

    /// A fresh node that one test at a time may break: after what the last one did to it, with the last
    /// one's queues to recover, a node may take minutes to start again.
    pub fn exclusive() -> Exclusive {
        let mut spare = SPARE.lock().unwrap_or_else(PoisonError::into_inner);
        *spare = None;
        *spare = Some(Self::start_new());
        Exclusive(spare)
    }

    /// The AMQP port, the same after each start.
    pub fn port(&self) -> u16 {
        self.ports.first()
    }

    /// A new virtual host in which `guest` may do everything.
    pub fn vhost(&self) -> String {
        let name = format!("test-{}", self.vhosts.fetch_add(1, Ordering::Relaxed));
        self.eval(&format!(
            r#"rabbit_vhost:add(<<"{name}">>, <<"tests">>),
            rabbit_auth_backend_internal:set_permissions(
                <<"guest">>, <<"{name}">>, <<".*">>, <<".*">>, <<".*">>, <<"tests">>)"#
        ));
        name
    }

    /// A new user, whose password is the name, with permissions (configure, write, read) on a virtual host.
    pub fn user(&self, vhost: &str, permissions: [&str; 3]) -> String {
        let name = format!("{vhost}-{}", self.vhosts.fetch_add(1, Ordering::Relaxed));
        let permissions = permissions.map(|pattern| format!("<<\"{pattern}\">>"));
        self.eval(&format!(
            r#"rabbit_auth_backend_internal:add_user(<<"{name}">>, <<"{name}">>, <<"tests">>),
            rabbit_auth_backend_internal:set_permissions(
                <<"{name}">>, <<"{vhost}">>, {}, <<"tests">>)"#,
            permissions.join(", ")
        ));
        name
    }

    /// Opens one more port, for TLS; it stays open as long as the node runs.
    pub fn listen_with_tls(&self, identity: &Identity, clients: Option<&Authority>) -> Ports<1> {
        let ports = Ports::reserve();
        let port = ports.first();
        let file = |name: &str, text: &str| {
            let file = self.folder.join(format!("{port}-{name}.pem"));
            std::fs::write(&file, text).expect("the node's folder is writable");
            file.display().to_string()
        };
        let certificate = file("certificate", &identity.certificate);
        let key = file("key", &identity.key);
        let clients = clients.map_or_else(String::new, |authority| {
            let file = file("clients", authority.certificate());
            format!(r#", {{cacertfile, "{file}"}}, {{verify, verify_peer}}, {{fail_if_no_peer_cert, true}}"#)
        });
        self.eval(&format!(
            r#"rabbit_networking:start_ssl_listener({{"127.0.0.1", {port}}},
                [{{certfile, "{certificate}"}}, {{keyfile, "{key}"}}{clients}], 1)"#
        ));
        ports
    }

    /// Gives the port another certificate, for connections that begin after this.
    pub fn change_certificate(&self, port: &Ports<1>, identity: &Identity) {
        for (name, text) in [
            ("certificate", &identity.certificate),
            ("key", &identity.key),
        ] {
            let file = self.folder.join(format!("{}-{name}.pem", port.first()));
            std::fs::write(&file, text).expect("the node's folder is writable");
        }
        self.eval("ssl:clear_pem_cache()");
    }

    /// Lets clients log in with their certificates, as the user of the certificate's name. Exclusive nodes only.
    pub fn allow_external_login(&self) {
        // Whether certificates are verified is looked up in these options, and not in the port's.
        self.eval(
            r#"[Folder] = filelib:wildcard(
                code:lib_dir(rabbit) ++ "/../rabbitmq_auth_mechanism_ssl-*/ebin"),
            true = code:add_path(Folder),
            ok = application:load(rabbitmq_auth_mechanism_ssl),
            ok = application:set_env(rabbit, ssl_options, [{verify, verify_peer}]),
            ok = application:set_env(rabbit, auth_mechanisms, ['PLAIN', 'EXTERNAL']),
            rabbit_registry:register(auth_mechanism, <<"EXTERNAL">>, rabbit_auth_mechanism_ssl)"#,
        );
    }

    /// Where to find a virtual host, as `guest`.
    pub fn url(&self, vhost: &str) -> String {
        let vhost = vhost.replace('/', "%2f");
        format!("amqp://guest:guest@127.0.0.1:{}/{vhost}", self.port())
    }

    /// `rabbitmqctl`, which takes half a second; panics if it fails.
    pub fn ctl(&self, arguments: &[&str]) -> String {
        self.script("ctl", arguments)
    }

    /// The value of an Erlang expression in the node, in a few milliseconds; panics on an exception.
    pub fn eval(&self, expression: &str) -> String {
        let tagged = format!("{{value, begin {expression} end}}");
        let printed = self.script("eval", &[&tagged]);
        let value = printed.trim().strip_prefix("{value,");
        let value = value.and_then(|rest| rest.strip_suffix('}'));
        value
            .unwrap_or_else(|| panic!("{expression}\nsays: {printed:?}"))
            .to_owned()
    }

    /// Closes every connection to a virtual host from the broker's side; returns how many there were.
    pub fn close_connections(&self, vhost: &str) -> usize {
        // One that is ending already need not be closed.
        let count = self.eval(&format!(
            r#"length([Pid || [{{pid, Pid}}, {{vhost, <<"{vhost}">>}}]
                <- rabbit_networking:connection_info_all([pid, vhost]),
                (catch rabbit_networking:close_connection(Pid, "closed by a test")) =:= ok])"#
        ));
        count.parse().expect("a number")
    }

    /// Raises or clears the memory alarm: connections that publish are blocked. Exclusive nodes only.
    pub fn memory_alarm(&self, on: bool) {
        self.eval(if on {
            "rabbit_alarm:set_alarm({{resource_limit, memory, node()}, []})"
        } else {
            "rabbit_alarm:clear_alarm({resource_limit, memory, node()})"
        });
    }

    /// Whether the node's processes run.
    pub fn is_running(&self) -> bool {
        let mut server = self.server.lock().unwrap();
        let running = |child: &mut Child| matches!(child.try_wait(), Ok(None));
        server.as_mut().is_some_and(running)
    }

    /// Kills the node as a power failure would.
    pub fn kill(&self) {
        if let Some(mut child) = self.server.lock().unwrap().take() {
            send_signal("KILL", &format!("-{}", child.id()));
            child.wait().expect("it is our child");
            guard::group_ended(child.id());
        }
    }

    /// Stops the node in order.
    pub fn stop(&self) {
        if let Some(mut child) = self.server.lock().unwrap().take() {
            send_signal("TERM", &child.id().to_string());
            until(START_LIMIT, "the broker's end", || {
                child.try_wait().expect("it is our child")
            });
            guard::group_ended(child.id());
        }
    }

    /// Starts the node, again with the data it had, and waits until it answers.
    pub fn start(&self) {
        assert!(!self.is_running(), "the broker runs already");
        let mut child = Command::new(SCRIPT)
            .arg("run")
            .arg(&self.folder)
            .arg(self.port().to_string())
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("scripts/private-broker starts");
        guard::watch_group(child.id());
        until(START_LIMIT, "the broker's start", || {
            if let Some(status) = child.try_wait().expect("it is our child") {
                panic!("the broker ended: {status}\n{}", self.logs());
            }
            wire::Client::connect(self.port(), "/").ok()
        });
        // Locked only now: a panic above must not poison the lock, which the destructor needs.
        *self.server.lock().unwrap() = Some(child);
        self.wait_for_end_of_boot();
    }

    /// A node accepts connections before that. RabbitMQ 4.0 then drops replies by direct reply-to, since it does not count itself
    /// among the nodes that run; and a start that finds the last one still booting does nothing, and says that all is well.
    fn wait_for_end_of_boot(&self) {
        until(START_LIMIT, "the end of the boot", || {
            (self.eval("whereis(rabbit_boot)") == "undefined").then_some(())
        });
    }

    /// `rabbitmqctl stop_app`: the node stays, RabbitMQ in it stops.
    pub fn stop_app(&self) {
        self.wait_for_end_of_boot();
        self.eval("rabbit:stop()");
    }

    /// Undoes [`Broker::stop_app`] and waits until the node answers.
    pub fn start_app(&self) {
        let said = self.eval("rabbit:start()");
        let end = Instant::now() + START_LIMIT;
        while wire::Client::connect(self.port(), "/").is_err() {
            assert!(
                Instant::now() < end,
                "started ({said}), and does not answer:\n{}",
                self.logs()
            );
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Freezes the node: its sockets stay open and nothing answers.
    pub fn suspend(&self) {
        self.signal_group("STOP");
    }

    /// Undoes [`Broker::suspend`].
    pub fn resume(&self) {
        self.signal_group("CONT");
    }

    /// Keeps the leader of a quorum queue from answering for `busy`, and then has it answer for `idle`, `times` times.
    /// Returns at once.
    pub fn keep_leader_busy(
        &self,
        vhost: &str,
        queue: &str,
        [busy, idle]: [Duration; 2],
        times: u32,
    ) {
        let [busy, idle] = [busy, idle].map(|time| time.as_millis());
        self.eval(&format!(
            "spawn(fun() -> Leader = whereis('{vhost}_{queue}'), true = is_pid(Leader), \
             [begin sys:suspend(Leader), timer:sleep({busy}), sys:resume(Leader), timer:sleep({idle}) end \
             || _ <- lists:seq(1, {times})] end), ok"
        ));
    }

    fn signal_group(&self, name: &str) {
        let server = self.server.lock().unwrap();
        let leader = server.as_ref().expect("the broker runs").id();
        send_signal(name, &format!("-{leader}"));
    }

    fn start_new() -> Self {
        let parent = Path::new(env!("CARGO_TARGET_TMPDIR"));
        let folder = tempfile::Builder::new()
            .prefix("broker-")
            .tempdir_in(parent);
        let folder = folder.expect("a temporary folder").keep();
        guard::watch_broker(&folder);
        let broker = Self {
            folder,
            ports: Ports::reserve(),
            server: Mutex::new(None),
            vhosts: AtomicUsize::new(0),
        };
        broker.start();
        broker
    }

    fn script(&self, command: &str, arguments: &[&str]) -> String {
        let output = Command::new(SCRIPT)
            .arg(command)
            .arg(&self.folder)
            .args(arguments)
            .stdin(Stdio::null())
            .output()
            .expect("scripts/private-broker starts");
        let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
        let stderr = String::from_utf8_lossy(&output.stderr);
        let status = output.status;
        assert!(
            status.success(),
            "{command} {arguments:?}: {status}\n{stdout}{stderr}"
        );
        stdout
    }

    fn logs(&self) -> String {
        let files = std::fs::read_dir(self.folder.join("log"));
        let files = files.into_iter().flatten().flatten();
        files
            .filter_map(|file| std::fs::read_to_string(file.path()).ok())
            .collect()
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        self.kill();
        let _ = Command::new(SCRIPT).arg("kill").arg(&self.folder).status();
    }
}

/// The spare node, borrowed.
pub struct Exclusive(MutexGuard<'static, Option<Broker>>);

impl Deref for Exclusive {
    type Target = Broker;

    fn deref(&self) -> &Broker {
        self.0.as_ref().expect("there from the start to the drop")
    }
}
