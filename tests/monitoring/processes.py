"""What the test runs: a broker, daemons, Prometheus, and a proxy that ends sessions. Everything listens on loopback.

Each process is ended by its id. Standard library only.
"""

import json
import os
import signal
import socket
import subprocess
import threading
import time
import urllib.parse
import urllib.request

LIMIT = 60  # seconds for any condition; what is expected takes at most half of that on two busy cores


class Failed(Exception):
    """The test failed, for this reason."""


def until(what, condition, limit=LIMIT):
    """Polls until the condition returns something true, and returns that."""
    end = time.monotonic() + limit
    while True:
        result = condition()
        if result:
            return result
        if time.monotonic() > end:
            raise Failed(f"not within {limit} s: {what}")
        time.sleep(0.1)


def free_ports(count):
    """That many successive free ports, below those that the system gives to clients."""
    for base in range(21000 + os.getpid() % 5000, 32000, count):
        if all(is_free(port) for port in range(base, base + count)):
            return list(range(base, base + count))
    raise Failed("no free ports")


def is_free(port):
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def run(*command, **options):
    """Runs a command to its end; its output if it succeeded."""
    done = subprocess.run(command, capture_output=True, text=True, **options)
    if done.returncode != 0:
        raise Failed(f"{' '.join(map(str, command))}: {done.stdout}{done.stderr}")
    return done.stdout


def end(process):
    """Ends a process that was started here, if it still runs."""
    if process and process.poll() is None:
        process.terminate()
        try:
            process.wait(LIMIT)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


class Certificates:
    """An authority, and certificates for the broker that it issues."""

    def __init__(self, folder):
        self.folder = folder
        folder.mkdir()
        self.ca = folder / "ca.pem"
        self.certificate = folder / "broker.pem"
        self.key = folder / "broker.key"
        run(
            "openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
            "-keyout", folder / "ca.key", "-out", self.ca, "-days", "3650", "-subj", "/CN=test authority",
        )  # fmt: skip

    def issue(self, days):
        """Replaces the broker's certificate by one that is valid for so many days."""
        request, new = self.folder / "broker.csr", self.folder / "new.pem"
        names = self.folder / "names"
        names.write_text("subjectAltName=IP:127.0.0.1\n")
        if not self.key.exists():
            run(
                "openssl", "req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                "-keyout", self.key, "-out", request, "-subj", "/CN=127.0.0.1",
            )  # fmt: skip
        run(
            "openssl", "x509", "-req", "-in", request, "-CA", self.ca, "-CAkey", self.folder / "ca.key",
            "-CAcreateserial", "-days", str(days), "-extfile", names, "-out", new,
        )  # fmt: skip
        new.rename(self.certificate)


class Broker:
    """A private RabbitMQ node, which can also listen with TLS."""

    def __init__(self, script, folder, port, tls_port, certificates):
        self.script, self.folder = script, folder
        self.url = f"amqp://guest:guest@127.0.0.1:{port}/%2f"
        self.tls_url = f"amqps://guest:guest@127.0.0.1:{tls_port}/%2f"
        folder.mkdir()
        self.tls_port, self.certificates = tls_port, certificates
        run(script, "start", folder, str(port))

    def ctl(self, *words):
        return run(self.script, "ctl", self.folder, "-q", *words)

    def eval(self, expression):
        return run(self.script, "eval", self.folder, expression)

    def listen_with_tls(self):
        files = f'{{certfile, "{self.certificates.certificate}"}}, {{keyfile, "{self.certificates.key}"}}'
        self.eval(f'rabbit_networking:start_ssl_listener({{"127.0.0.1", {self.tls_port}}}, [{files}], 1)')

    def kill(self):
        run(self.script, "kill", self.folder)


class Daemon:
    """One fibrpcd, with a configuration file and a state directory of its own."""

    def __init__(self, program, folder, telemetry, settings):
        self.program, self.folder, self.telemetry = program, folder, telemetry
        self.instance = f"127.0.0.1:{telemetry}"
        self.file = folder / "fibrpc.toml"
        (folder / "state").mkdir(parents=True)
        self.settings = settings
        self.process = None
        self.write()

    def write(self, **changes):
        """Writes the configuration: those settings, changed. Names have two underscores between their parts."""
        self.settings = {**self.settings, **changes}
        lines = [f"telemetry.listen = \"{self.instance}\""]
        lines += [f"{key.replace('__', '.')} = {json.dumps(value)}" for key, value in self.settings.items()]
        self.file.write_text("\n".join(lines) + "\n")

    def start(self):
        log = open(self.folder / "log", "a")
        environment = {**os.environ, "STATE_DIRECTORY": str(self.folder / "state")}
        command = [self.program, "--config", self.file, "--log-target", "stderr"]
        self.process = subprocess.Popen(command, stderr=log, env=environment)

    def signal(self, number):
        self.process.send_signal(number)

    def reload(self, **changes):
        self.write(**changes)
        self.signal(signal.SIGHUP)

    def exit_status(self):
        """Waits until the daemon has stopped."""
        return self.process.wait(LIMIT)

    def logged(self, text):
        return text in (self.folder / "log").read_text()


class Caller:
    """The client program, as calls in the background."""

    def __init__(self, program, url, log):
        self.program, self.url, self.log = program, url, log
        self.running = []

    def repeat(self, *words):
        """Calls again and again."""
        return self.begin("/bin/sh", "-c", 'while :; do "$@"; done', "sh", self.program, *words)

    def start(self, *words):
        return self.begin(self.program, *words)

    def begin(self, *command):
        environment = {**os.environ, "FIBRPC_BROKER__URL": self.url}
        quiet, log = subprocess.DEVNULL, open(self.log, "a")
        process = subprocess.Popen(command, env=environment, stdout=quiet, stderr=log, stdin=quiet)
        self.running.append(process)
        return process

    def end(self, *some):
        """Ends these calls, or all that still run."""
        for process in some or self.running:
            end(process)
        self.running = [process for process in self.running if some and process not in some]


class Prometheus:
    """A server that scrapes and evaluates twice per second."""

    def __init__(self, folder, port, targets, rules):
        self.address = f"http://127.0.0.1:{port}/api/v1/"
        folder.mkdir()
        configuration = {
            "global": {"scrape_interval": "500ms", "scrape_timeout": "500ms", "evaluation_interval": "500ms"},
            "rule_files": [str(rules)],
            "scrape_configs": [{"job_name": "fibrpcd", "static_configs": [{"targets": targets}]}],
        }
        file = folder / "prometheus.yml"
        file.write_text(json.dumps(configuration))
        run("promtool", "check", "config", file)
        command = ["prometheus", f"--config.file={file}", f"--storage.tsdb.path={folder / 'data'}"]
        command += [f"--web.listen-address=127.0.0.1:{port}", "--log.level=warn"]
        self.process = subprocess.Popen(command, stderr=open(folder / "log", "w"), stdout=subprocess.DEVNULL)
        until("Prometheus is ready", self.is_ready)

    def is_ready(self):
        try:
            return self.get("query", query="1")
        except OSError:
            return None

    def get(self, path, **parameters):
        with urllib.request.urlopen(self.address + path + "?" + urllib.parse.urlencode(parameters)) as reply:
            return json.load(reply)["data"]

    def query(self, expression, at):
        """The samples of an expression: pairs of labels and a number."""
        result = self.get("query", query=expression, time=at)["result"]
        return [(sample["metric"], float(sample["value"][1])) for sample in result]


class Proxy:
    """Passes bytes between a daemon and the broker. A connection on which the daemon sends `deadly` gets garbage, and is cut."""

    def __init__(self, port, broker):
        self.broker, self.deadly = broker, None
        self.listener = socket.create_server(("127.0.0.1", port))
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            near, _ = self.listener.accept()
            try:
                far = socket.create_connection(("127.0.0.1", self.broker))
            except OSError:
                near.close()
                continue
            threading.Thread(target=self.pump, args=(near, far, True), daemon=True).start()
            threading.Thread(target=self.pump, args=(far, near, False), daemon=True).start()

    def pump(self, source, sink, from_daemon):
        try:
            while data := source.recv(65536):
                if from_daemon and self.deadly and self.deadly in data:
                    source.sendall(b"\xff" * 64)
                    break
                sink.sendall(data)
        except OSError:
            pass
        for side in (source, sink):
            try:
                side.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
