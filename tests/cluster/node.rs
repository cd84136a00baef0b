//! One node: a process group in namespaces of its own, which can be killed, frozen, stopped and started again.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::time::Duration;

use crate::network;
use crate::support::process::send_signal;
use crate::support::{Process, until};

/// What starting and stopping a node may take on a busy machine.
const LIMIT: Duration = Duration::from_secs(90);

/// One of the three.
pub struct Node {
    index: usize,
    tree: PathBuf,
    data: PathBuf,
    process: Mutex<Option<Process>>,
}

impl Node {
    /// Prepares a node that keeps what it writes in a folder of `state`; it does not run yet.
    pub fn new(index: usize, tree: &Path, state: &Path) -> Self {
        let data = state.join(network::name(index));
        std::fs::create_dir_all(data.join("log")).expect("the state is writable");
        std::fs::create_dir_all(data.join("data")).expect("the state is writable");
        let write = |name: &str, text: &str| {
            std::fs::write(data.join(name), text).expect("the state is writable");
        };
        let all = 0..network::NODES;
        let host = |node| format!("{} {}\n", network::address(node), network::name(node));
        let hosts: String = all.clone().map(host).collect();
        write("hosts", &format!("127.0.0.1 localhost\n{hosts}"));
        let peer = |node| {
            let number = node + 1;
            let name = network::name(node);
            format!("cluster_formation.classic_config.nodes.{number} = rabbit@{name}\n")
        };
        let peers: String = all.map(peer).collect();
        write("rabbitmq.conf", &format!("{CONFIGURATION}{peers}"));
        write("rabbitmq-env.conf", "");
        write("enabled_plugins", "[].\n");
        write("inside.sh", include_str!("inside.sh"));
        write(".erlang.cookie", "fibrpc-cluster");
        let private = std::os::unix::fs::PermissionsExt::from_mode(0o400);
        std::fs::set_permissions(data.join(".erlang.cookie"), private).expect("it is ours");
        Self {
            index,
            tree: tree.to_owned(),
            data,
            process: Mutex::new(None),
        }
    }

    /// Starts it; returns at once.
    pub fn start(&self) {
        let mut process = self.process.lock().unwrap();
        assert!(process.is_none(), "{} runs already", self.name());
        let mut command = Command::new("ip");
        command
            .args(["netns", "exec", &self.name(), "unshare", "--uts"])
            .arg(concat!(
                env!("CARGO_MANIFEST_DIR"),
                "/tests/cluster/node.sh"
            ))
            .arg(self.name())
            .arg(&self.tree)
            .arg(&self.data);
        *process = Some(Process::start(&mut command, b""));
    }

    /// Waits until it has started and knows all nodes that are named here.
    pub fn wait_until_up(&self, nodes: usize) {
        let up = format!(
            "(catch rabbit:is_running()) =:= true andalso length(nodes()) + 1 >= {nodes} \
             andalso rabbit_maintenance:is_being_drained_local_read(node()) =:= false"
        );
        until(LIMIT, &format!("{} to start", self.name()), || {
            let listens =
                std::net::TcpStream::connect_timeout(&network::amqp(self.index), LIMIT).is_ok();
            std::thread::sleep(Duration::from_millis(100));
            (listens && self.try_eval(&up).is_some_and(|value| value == "true")).then_some(())
        });
    }

    /// Whether its processes are there.
    pub fn is_running(&self) -> bool {
        let mut process = self.process.lock().unwrap();
        process.as_mut().is_some_and(Process::is_running)
    }

    /// `kill -9`, of all of it.
    pub fn kill(&self) {
        self.signal("KILL");
        self.wait_for_end();
    }

    /// `rabbitmqctl stop`.
    pub fn stop(&self) {
        self.tool("rabbitmqctl", &["stop"]);
        self.wait_for_end();
    }

    /// `rabbitmq-upgrade drain`: the node closes its connections and gives up what it leads.
    pub fn drain(&self) {
        // It fails if a connection that it is about to close ends by itself.
        until(LIMIT, "a drain that meets no connection at its end", || {
            self.inside(&["rabbitmq-upgrade", "-q", "drain"]).ok()
        });
    }

    /// SIGSTOP: its sockets stay open and nothing answers.
    pub fn freeze(&self) {
        self.signal("STOP");
    }

    /// Undoes [`Node::freeze`].
    pub fn thaw(&self) {
        self.signal("CONT");
    }

    /// Runs `rabbitmqctl` or its like, and returns what it prints.
    pub fn tool(&self, tool: &str, arguments: &[&str]) -> String {
        let mut all = vec![tool, "-q"];
        all.extend(arguments);
        self.inside(&all)
            .unwrap_or_else(|said| panic!("{} {arguments:?} on {}: {said}", tool, self.name()))
    }

    /// The value of an Erlang expression, if the node is up and there is no exception.
    pub fn try_eval(&self, expression: &str) -> Option<String> {
        let tagged = format!("{{value, begin {expression} end}}");
        let said = self.inside(&["eval", &tagged]).ok()?;
        let value = said.trim().strip_prefix("{value,")?;
        Some(value.strip_suffix('}')?.to_owned())
    }

    fn name(&self) -> String {
        network::name(self.index)
    }

    /// Runs inside.sh in the namespaces and the tree of the node.
    fn inside(&self, arguments: &[&str]) -> Result<String, String> {
        let pid = {
            let process = self.process.lock().unwrap();
            process.as_ref().ok_or("it does not run")?.pid().to_string()
        };
        let output = Command::new("nsenter")
            .args(["--target", &pid, "--mount", "--uts", "--net", "--root"])
            .args(["--wd", "timeout", "60", "sh"])
            .arg("/var/lib/rabbitmq/inside.sh")
            .args(arguments)
            .stdin(Stdio::null())
            .output()
            .expect("nsenter starts");
        let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
        if output.status.success() {
            Ok(stdout)
        } else {
            let stderr = String::from_utf8_lossy(&output.stderr);
            Err(format!("{}: {stdout}{stderr}", output.status))
        }
    }

    fn signal(&self, name: &str) {
        let process = self.process.lock().unwrap();
        let group = process.as_ref().expect("it runs").pid();
        send_signal(name, &format!("-{group}"));
    }

    fn wait_for_end(&self) {
        let process = self.process.lock().unwrap().take();
        process.expect("it ran").wait(LIMIT);
    }
}

const CONFIGURATION: &str = "\
loopback_users = none
vm_memory_high_watermark.absolute = 1GiB
disk_free_limit.absolute = 1MB
raft.wal_max_size_bytes = 32000000
log.file.level = info
cluster_formation.peer_discovery_backend = classic_config
";
