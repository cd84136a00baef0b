"""Takes live daemons through everything that the dashboard and the alerts are about, under a real Prometheus.

  main.py ROOT FOLDER    the repository with its debug build, and a new folder for everything that is written

In each phase, all panels show what is right at that moment, and exactly the expected alerts fire; after it, all of them
resolve. The alerts are the mixin's, rendered with short times. `a` is the daemon that suffers. `b` has a queue of its own on
the same broker, and shows that the expressions keep daemons apart. Prints a table of all values. Standard library only.
"""

import json
import pathlib
import signal
import sys
import time
import traceback

from processes import Broker, Caller, Certificates, Daemon, Failed, Prometheus, Proxy, end, free_ports, run, until
from views import RATE, View, at_rest, queries_of

# The same source with times that a test can wait for.
CONFIG = {
    "notConsumingFor": "3s",
    "errorRatioWindow": RATE,
    "errorRatioFor": "2s",
    "latencySeconds": 0.25,
    "latencyWindow": RATE,
    "latencyFor": "2s",
    "poolSaturatedFor": "3s",
    "blockedFor": "3s",
    "sessionFailuresWindow": "12s",
    "eventWindow": "16s",
}
ALERTS = {
    "FibrpcNotConsuming",
    "FibrpcErrorRatio",
    "FibrpcHighLatency",
    "FibrpcPoolSaturated",
    "FibrpcBlocked",
    "FibrpcSessionsFailing",
    "FibrpcPoison",
    "FibrpcDrainAbandoned",
    "FibrpcCertificateExpiry",
    "FibrpcReloadRefused",
}
MEDIUM = "1000000"  # about a tenth of a second of computation
ENDLESS = "400000000"  # longer than any phase takes
DEADLY = ("77", b"5527939700884757")  # a request, and its reply, at which the proxy ends the session


class Test:
    def __init__(self, root, folder):
        self.folder = folder
        self.programs = root / "target" / "debug"
        monitoring = root / "packaging" / "monitoring"
        rendered = folder / "rendered"
        rendered.mkdir()
        config = ("--tla-code", f"config={json.dumps(CONFIG)}")
        run("jsonnet", "--string", "--multi", rendered, *config, monitoring / "render.jsonnet")
        self.panels = queries_of(json.loads((rendered / "dashboard.json").read_text()))
        self.rules = rendered / "alerts.yaml"
        self.script = root / "scripts" / "private-broker"
        self.rows = []
        self.seen = set()
        self.with_values = set()
        self.broker = self.prometheus = self.caller = None
        self.daemons = []

    def start(self):
        port, _, _, tls_port, web, proxy, a, b = free_ports(8)
        self.certificates = Certificates(self.folder / "certificates")
        self.certificates.issue(days=5)
        self.broker = Broker(self.script, self.folder / "broker", port, tls_port, self.certificates)
        self.proxy = Proxy(proxy, port)
        self.proxy_url = self.broker.url.replace(f":{port}/", f":{proxy}/")
        settings = {
            "broker.url": self.broker.url,
            "broker.reconnect.initial": "250ms",
            "broker.reconnect.max": "500ms",
            "server.concurrency": 1,
            "server.max_n": 1_000_000_000,
            "server.max_reply_bytes": "500MiB",
            "server.drain_timeout": "8s",
        }
        program = self.programs / "fibrpcd"
        self.a = Daemon(program, self.folder / "a", a, settings)
        self.b = Daemon(program, self.folder / "b", b, {**settings, "queue.name": "other_queue"})
        self.daemons = [self.a, self.b]
        for daemon in self.daemons:
            daemon.start()
        self.caller = Caller(self.programs / "fibrpc", self.broker.url, self.folder / "calls.log")
        targets = [daemon.instance for daemon in self.daemons]
        self.prometheus = Prometheus(self.folder / "prometheus", web, targets, self.rules)
        self.phase("start")

    def stop(self):
        if self.caller:
            self.caller.end()
        for daemon in self.daemons:
            end(daemon.process)
        if self.prometheus:
            end(self.prometheus.process)
        if self.broker:
            self.broker.kill()

    # What is expected.

    def phase(self, name, alerts=(), also=(), **expected):
        """Waits until all panels and alerts are as expected at one moment. `alerts` are those of `a`, `also` those of `b`."""
        wanted = {(alert, self.a.instance) for alert in alerts} | {(alert, self.b.instance) for alert in also}
        checks = {**at_rest(self.a), **expected}
        assert checks.keys() == self.panels.keys(), checks.keys() ^ self.panels.keys()
        nearest = []

        def all_right():
            view = View(self.prometheus, self.panels)
            wrong = [
                f"{title}: expected {text}, found {view.text(title)}"
                for title, (text, holds) in checks.items()
                if not holds(view)
            ]
            if view.alerts != wanted:
                wrong.append(f"alerts: expected {sorted(wanted)}, found {sorted(view.alerts)}")
            if not nearest or len(wrong) <= len(nearest):
                nearest[:] = wrong
            return None if wrong else view

        began = time.monotonic()
        try:
            view = until(f"phase {name}", all_right)
        except Failed as failed:
            raise Failed("\n  ".join([str(failed), *nearest])) from None
        for title, (text, _) in checks.items():
            self.rows.append((name, title, text, view.text(title)))
        for alert in sorted(ALERTS):
            firing = ", ".join("ab"[instance == self.b.instance] for found, instance in sorted(view.alerts) if found == alert)
            self.rows.append((name, alert, "fires" if (alert, self.a.instance) in wanted else "does not fire", firing or "-"))
        self.seen |= {alert for alert, _ in view.alerts}
        self.with_values |= {(title, ref) for title in self.panels for ref in self.panels[title] if view.all(title, ref)}
        self.check_annotations()
        print(f"{name}: as expected after {time.monotonic() - began:.1f} s; firing: {', '.join(sorted(alerts)) or 'nothing'}", flush=True)

    def check_annotations(self):
        for alert in self.prometheus.get("alerts")["alerts"]:
            for text in alert["annotations"].values():
                if not text or "error" in text.lower().replace("error ratio", "") and "template" in text or "<no value>" in text:
                    raise Failed(f"annotation of {alert['labels']}: {text}")

    # The phases.

    def load(self):
        """100 requests per second, one in fifty of them computed on the pool."""
        mix = "30:49,300000:1"
        self.caller.start("bench", "--rate", "100", "--duration", "10m", "--n", mix, "--quiet")
        a = {"instance": self.a.instance}
        self.phase(
            "load",
            **{
                "Requests by status": (
                    "OK at 90 to 110 per second, no errors",
                    lambda view: 90 < view.one("Requests by status", rpc_status_code="OK") < 110
                    and sum(view.all("Requests by status")) == view.one("Requests by status", rpc_status_code="OK"),
                ),
                "Error ratio": ("0", lambda view: view.one("Error ratio", **a) == 0),
                "Latency and queue wait": (
                    "0 < p50 <= p90 <= p99 < 250 ms, p50 < 50 ms",
                    lambda view: 0 < (p50 := view.one("Latency and queue wait", "A")) < 0.05
                    and p50 <= view.one("Latency and queue wait", "B") <= view.one("Latency and queue wait", "C") < 0.25,
                ),
                "Compute time": (
                    "inline below 10 ms, the pool takes longer",
                    lambda view: 0 < (inline := view.one("Compute time", "A", where="inline")) < 0.01
                    and inline < view.one("Compute time", "A", where="pool")
                    and view.one("Compute time", "B", where="pool") >= view.one("Compute time", "A", where="pool"),
                ),
                "Thread pool": ("one thread", lambda view: view.one("Thread pool", "B", **a) == 1),
                "Replies by result": (
                    "confirmed at 90 to 110 per second, no others",
                    lambda view: 90 < view.one("Replies by result", result="confirmed") < 110
                    and sum(view.all("Replies by result")) == view.one("Replies by result", result="confirmed"),
                ),
                "Processor time and memory": (
                    "more processor time than b",
                    lambda view: view.one("Processor time and memory", "A", **a)
                    > view.one("Processor time and memory", "A", instance=self.b.instance)
                    >= 0,
                ),
            },
        )
        self.caller.end()
        self.caller.start("30")
        wait = ("less than a second", lambda view: 0 <= view.one("Latency and queue wait", "D", source="caller") < 1)
        self.phase("one call", **{"Latency and queue wait": wait})

    def saturation(self):
        """More large requests than the only thread can compute at once, and invalid ones, for which the daemon is not responsible."""
        a = {"instance": self.a.instance}
        load = ("--in-flight", "4", "--timeout", "1m", "--duration", "10m")
        self.caller.start("bench", "--n", MEDIUM, *load, "--quiet")
        self.caller.repeat("call", "rpc_queue", "no number")
        self.phase(
            "saturation",
            ["FibrpcPoolSaturated", "FibrpcHighLatency"],
            **{
                "Requests by status": (
                    "INVALID_ARGUMENT and OK",
                    lambda view: view.one("Requests by status", rpc_status_code="INVALID_ARGUMENT") > 0
                    and view.one("Requests by status", rpc_status_code="OK") > 0,
                ),
                "Error ratio": ("0", lambda view: view.one("Error ratio", **a) == 0),
                "Latency and queue wait": ("p99 above 0.25 s", lambda view: view.one("Latency and queue wait", "C") > 0.25),
                "Compute time": ("pool p50 above 10 ms", lambda view: view.one("Compute time", "A", where="pool") > 0.01),
                "In flight and prefetch": (
                    "at least 2 in flight",
                    lambda view: 2 <= view.one("In flight and prefetch", "A", **a) <= view.one("In flight and prefetch", "B", **a),
                ),
                "Thread pool": (
                    "the only thread is busy, at least one computation waits, for some time",
                    lambda view: view.one("Thread pool", "A", state="running", **a) == 1 == view.one("Thread pool", "B", **a)
                    and view.one("Thread pool", "A", state="waiting", **a) >= 1
                    and view.one("Thread pool", "C", **a) > 0,
                ),
            },
        )
        self.caller.end()
        self.phase("after saturation")

    def alarm(self):
        """The broker is short of memory while a reply is to be sent."""
        a = {"instance": self.a.instance}
        self.caller.start("bench", "--in-flight", "4", "--n", MEDIUM, "--duration", "10m", "--timeout", "10m", "--quiet")
        until("requests are in work", lambda: self.now("In flight and prefetch") >= 1)
        self.broker.ctl("set_vm_memory_high_watermark", "absolute", "1")
        self.phase(
            "alarm",
            ["FibrpcBlocked"],
            **{
                "State": ("4 (blocked)", lambda view: view.one("State", **a) == 4),
                "In flight and prefetch": ("at least 1 in flight", lambda view: view.one("In flight and prefetch", "A", **a) >= 1),
                "Blocked by the broker": ("0.5 to 1.2", lambda view: 0.5 < view.one("Blocked by the broker", **a) < 1.2),
                "Latency and queue wait": (
                    "none, since there are no replies",
                    lambda view: not [1 for ref in "ABC" if view.all("Latency and queue wait", ref)],
                ),
            },
        )
        self.broker.ctl("set_vm_memory_high_watermark", "absolute", "1GiB")
        until("replies again", lambda: self.now("State") == 3)
        self.caller.end()
        self.phase("after the alarm")

    def refused(self):
        """A request keeps the only thread busy for an estimated 1.5 s, so that others are refused: they would not begin in time.

        Their time is a fifth of a second, and the second that a daemon adds for clocks that differ.
        """
        a = {"instance": self.a.instance}
        self.caller.start(ENDLESS, "--timeout", "10m")
        until("the request is in work", lambda: self.now("In flight and prefetch") == 1)
        refused = self.caller.repeat(MEDIUM, "--timeout", "200ms")
        self.phase(
            "refused requests",
            ["FibrpcErrorRatio"],
            **{
                "Requests by status": (
                    "RESOURCE_EXHAUSTED, no others",
                    lambda view: view.one("Requests by status", rpc_status_code="RESOURCE_EXHAUSTED") > 0
                    and sum(view.all("Requests by status")) == view.one("Requests by status", rpc_status_code="RESOURCE_EXHAUSTED"),
                ),
                "Error ratio": ("1", lambda view: view.one("Error ratio", **a) == 1),
                "In flight and prefetch": ("at least 1 in flight", lambda view: view.one("In flight and prefetch", "A", **a) >= 1),
                "Thread pool": (
                    "the only thread is busy, none waits, for some time",
                    lambda view: view.one("Thread pool", "A", state="running", **a) == 1 == view.one("Thread pool", "B", **a)
                    and view.one("Thread pool", "A", state="waiting", **a) == 0
                    and view.one("Thread pool", "C", **a) > 1,
                ),
            },
        )
        self.caller.end(refused)
        self.phase("after the refused requests")

    def outage(self):
        """The broker stops while that request is in work, and starts again."""
        a = {"instance": self.a.instance}
        self.broker.ctl("stop_app")
        both = ["FibrpcNotConsuming", "FibrpcSessionsFailing"]
        self.phase(
            "outage",
            both,
            also=both,
            **{
                "In flight and prefetch": (
                    "prefetch 0, nothing in flight",
                    lambda view: [view.one("In flight and prefetch", ref, **a) for ref in "AB"] == [0, 0],
                ),
                "Thread pool": ("no threads without a session", lambda view: view.one("Thread pool", "B", **a) == 0),
                "State": ("1 or 2 (connecting or waiting)", lambda view: view.one("State", **a) in (1, 2)),
                "Sessions and failures": (
                    "no sessions, more than three failures",
                    lambda view: view.one("Sessions and failures", "A", **a) == 0
                    and sum(view.all("Sessions and failures", "B")) > 3,
                ),
                "Isolation and poison": (
                    "no strikes and rejections",
                    lambda view: [view.one("Isolation and poison", ref, **a) for ref in "BC"] == [0, 0],
                ),
            },
        )
        self.broker.ctl("start_app")
        self.phase(
            "broker is back",
            ["FibrpcSessionsFailing"],
            also=["FibrpcSessionsFailing"],
            **{
                "In flight and prefetch": ("1 in flight", lambda view: view.one("In flight and prefetch", "A", **a) == 1),
                "Sessions and failures": (
                    "one session",
                    lambda view: 0.5 < view.one("Sessions and failures", "A", **a) < 1.5,
                ),
                "Redelivered requests": ("above 0", lambda view: view.one("Redelivered requests", **a) > 0),
                "Isolation and poison": (
                    "no strikes and rejections",
                    lambda view: [view.one("Isolation and poison", ref, **a) for ref in "BC"] == [0, 0],
                ),
            },
        )

    def drain(self):
        """The daemon stops before it has finished a request, and is started again."""
        a = {"instance": self.a.instance}
        isolated = {
            "Isolation and poison": (
                "no strikes and rejections",
                lambda view: [view.one("Isolation and poison", ref, **a) for ref in "BC"] == [0, 0],
            )
        }
        self.phase("request in work", **isolated)
        self.a.signal(signal.SIGTERM)
        self.phase(
            "drain",
            ["FibrpcNotConsuming"],
            **isolated,
            **{
                "State": ("5 (draining)", lambda view: view.one("State", **a) == 5),
                "In flight and prefetch": ("1 in flight", lambda view: view.one("In flight and prefetch", "A", **a) == 1),
            },
        )
        status = self.a.exit_status()
        if status != 75:
            raise Failed(f"exit status {status} and not 75")
        self.caller.end()
        # A gauge ends with the process, a rate when its window has passed. These windows had passed before it ended.
        gauges = ("State", "In flight and prefetch", "Thread pool", "Certificates")
        rates = ("Error ratio", "Blocked by the broker", "Redelivered requests", "Isolation and poison", "Sessions and failures")
        self.phase(
            "stopped",
            ["FibrpcNotConsuming"],
            **{title: self.without_value(title) for title in gauges},
            **{title: self.zero_or_none(title) for title in rates},
            **{
                "Processor time and memory": (
                    "no memory of a",
                    lambda view: view.all("Processor time and memory", "B", **a) == [],
                ),
            },
        )
        self.broker.ctl("purge_queue", "rpc_queue")
        self.a.start()
        self.phase("started again", ["FibrpcDrainAbandoned"])
        self.phase("after the drain")

    def zero_or_none(self, title):
        """That all values of `a` in the panel are 0, if there are any."""
        a = self.a.instance
        return ("0 or no value of a", lambda view: not [1 for ref in self.panels[title] if any(view.all(title, ref, instance=a))])

    def without_value(self, title):
        """That the panel has no value of `a`."""
        a = self.a.instance
        refs = self.panels[title]
        return (
            "no value of a",
            lambda view: not [1 for ref in refs for labels, _ in view.panels[title][ref] if labels.get("instance") == a],
        )

    def reload(self):
        """A good configuration, a wrong one, and the old one again."""
        a = {"instance": self.a.instance}
        self.a.reload(**{"server.concurrency": 3})
        three = {"Thread pool": ("three threads", lambda view: view.one("Thread pool", "B", **a) == 3)}
        self.phase("reload", **three)
        self.a.reload(**{"server.concurrency": -1})
        self.phase("refused reload", ["FibrpcReloadRefused"], **three)
        self.a.reload(**{"server.concurrency": 1})
        self.phase("after the refused reload")

    def poison(self):
        """A request whose reply ends each session."""
        a = {"instance": self.a.instance}
        self.a.reload(**{"broker.url": self.proxy_url})
        until("a session behind the proxy", lambda: self.a.logged(f"connected to {self.proxy_url.split('@')[1].split('/')[0]}"))
        self.phase("behind a proxy")
        number, self.proxy.deadly = DEADLY
        self.caller.start(number, "--timeout", "10m")
        self.phase(
            "poison",
            ["FibrpcPoison", "FibrpcSessionsFailing"],
            **{
                "Sessions and failures": (
                    "four failures of the protocol, four sessions or more",
                    lambda view: 3.5 < view.one("Sessions and failures", "B", cause="protocol") < 6
                    and 3.5 < view.one("Sessions and failures", "A", **a) < 8,
                ),
                "Redelivered requests": ("above 0", lambda view: view.one("Redelivered requests", **a) > 0),
                "Isolation and poison": (
                    "isolation, three strikes, one rejection",
                    lambda view: view.one("Isolation and poison", "A", **a) >= 1
                    and 2.5 < view.one("Isolation and poison", "B", **a) < 4
                    and 0.5 < view.one("Isolation and poison", "C", **a) < 1.5,
                ),
            },
        )
        self.caller.end()
        self.proxy.deadly = None
        self.caller.start("30")  # the next one that settles ends the isolation
        self.phase("after the poison")

    def certificate(self):
        """The broker's certificate is valid for five days, and is renewed."""
        a = {"instance": self.a.instance}

        def days(low, high):
            return lambda view: low < view.one("Certificates", which="broker", **a) < high

        self.broker.listen_with_tls()
        self.a.reload(**{"broker.url": self.broker.tls_url, "broker.tls.ca_file": str(self.certificates.ca)})
        self.phase("certificate", ["FibrpcCertificateExpiry"], Certificates=("4.9 to 5 days for the broker's", days(4.9, 5)))
        self.certificates.issue(days=300)
        self.broker.eval("ssl:clear_pem_cache()")
        self.broker.ctl("close_all_connections", "test")
        self.phase(
            "renewed certificate",
            **{
                "Certificates": ("299.9 to 300 days for the broker's", days(299.9, 300)),
                "Isolation and poison": (
                    "no strikes and rejections",
                    lambda view: [view.one("Isolation and poison", ref, **a) for ref in "BC"] == [0, 0],
                ),
            },
        )

    def now(self, title):
        """The first value of a panel for `a`, at this moment."""
        return View(self.prometheus, {title: self.panels[title]}).one(title, instance=self.a.instance)

    def all(self):
        self.start()
        for part in (self.load, self.saturation, self.alarm, self.refused, self.outage, self.drain, self.reload, self.poison, self.certificate):
            part()
        if self.seen != ALERTS:
            raise Failed(f"never fired: {ALERTS - self.seen}; not known: {self.seen - ALERTS}")
        queries = {(title, ref) for title in self.panels for ref in self.panels[title]}
        if queries != self.with_values:
            raise Failed(f"never had a value: {sorted(queries - self.with_values)}")

    def print_table(self):
        print(f"\n{'phase':26} {'panel or alert':28} {'expected':62} value")
        for phase, title, expected, value in self.rows:
            print(f"{phase:26} {title:28} {expected:62} {value}")


def main():
    root, folder = (pathlib.Path(argument).resolve() for argument in sys.argv[1:])
    test = Test(root, folder)
    failed = None
    try:
        test.all()
    except (Failed, AssertionError, OSError, KeyError) as error:
        failed = error
        if not isinstance(error, Failed):
            traceback.print_exc()
    finally:
        test.stop()
    test.print_table()
    if failed:
        print(f"FAILED: {failed}", file=sys.stderr)
        sys.exit(1)


main()
