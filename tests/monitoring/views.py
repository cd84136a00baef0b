"""The dashboard and the alerts as Prometheus sees them at one moment, and what is expected of them."""

import math
import time

RATE = "8s"  # what $__rate_interval stands for


class View:
    """The values of all panels and the firing alerts at one moment."""

    def __init__(self, prometheus, panels):
        self.at = time.time()
        self.panels = {
            title: {ref: prometheus.query(expression, self.at) for ref, expression in queries.items()}
            for title, queries in panels.items()
        }
        firing = prometheus.query('ALERTS{alertstate="firing"}', self.at)
        self.alerts = {(labels["alertname"], labels["instance"]) for labels, _ in firing}

    def all(self, title, ref="A", **labels):
        """The values of a query's series with these labels, without those that are not a number."""
        found = self.panels[title][ref]
        return [
            value
            for series, value in found
            if all(series.get(name) == label for name, label in labels.items()) and not math.isnan(value)
        ]

    def one(self, title, ref="A", **labels):
        """The only such value; not a number, which is neither below nor above anything, if there is none."""
        found = self.all(title, ref, **labels)
        return found[0] if len(found) == 1 else math.nan

    def text(self, title):
        """All values of a panel, for people."""
        shown = []
        for ref, series in self.panels[title].items():
            for labels, value in series:
                if math.isnan(value):
                    continue
                names = [label for name, label in sorted(labels.items()) if name not in ("__name__", "job")]
                shown.append(f"{ref}{{{','.join(name.replace('127.0.0.1', '') for name in names)}}}={value:.4g}")
        return " ".join(shown) or "no value"


def queries_of(dashboard):
    """The expressions of a dashboard's panels, by title and reference, with its variables replaced."""
    panels = {}
    for panel in dashboard["panels"]:
        queries = {}
        for target in panel["targets"]:
            expression = target["expr"].replace("$__rate_interval", RATE).replace("$instance", ".*")
            assert "$" not in expression, expression
            queries[target["refId"]] = expression
        panels[panel["title"]] = queries
    return panels


def at_rest(daemon, threads=1):
    """What each panel shows for this daemon while nothing is wrong: a description and a function of the view."""
    me = {"instance": daemon.instance}

    def rates_of_errors(view):
        return [rate for code in ("INVALID_ARGUMENT", "INTERNAL", "RESOURCE_EXHAUSTED") for rate in view.all("Requests by status", rpc_status_code=code)]

    def ordered(view):
        p50, p90, p99 = (view.one("Latency and queue wait", ref) for ref in "ABC")
        return math.isnan(p50) or 0 <= p50 <= p90 <= p99 < 0.5

    def compute_ordered(view):
        pairs = [[view.one("Compute time", ref, where=where) for ref in "AB"] for where in ("inline", "pool")]
        return all(math.isnan(p50) or 0 <= p50 <= p99 for p50, p99 in pairs)

    def flight(view):
        held, prefetch = (view.one("In flight and prefetch", ref, **me) for ref in "AB")
        return 0 <= held <= 64 and 1 <= prefetch <= 64

    def pool(view):
        running = view.one("Thread pool", "A", state="running", **me)
        waiting = view.one("Thread pool", "A", state="waiting", **me)
        return running <= threads and waiting == 0 and view.one("Thread pool", "B", **me) == threads

    def process(view):
        used, memory = (view.one("Processor time and memory", ref, **me) for ref in "AB")
        return 0 <= used < 4 and 1e6 < memory < 2e9

    return {
        "Requests by status": ("no errors", lambda view: sum(rates_of_errors(view)) == 0),
        "Error ratio": ("0, or no requests", lambda view: sum(view.all("Error ratio", **me)) == 0),
        "Latency and queue wait": ("p50 <= p90 <= p99 < 0.5 s, or no requests", ordered),
        "Compute time": ("p50 <= p99, or no requests", compute_ordered),
        "In flight and prefetch": ("at most 64 in flight, prefetch 1 to 64", flight),
        "Thread pool": (f"{threads} threads, none waits", pool),
        "State": ("3 (consuming)", lambda view: view.one("State", **me) == 3),
        # A new session counts for as long as the window has its beginning: their number depends on the moment.
        "Sessions and failures": ("no failures", lambda view: sum(view.all("Sessions and failures", "B")) == 0),
        "Replies by result": (
            "none returned, refused or resent",
            lambda view: sum(sum(view.all("Replies by result", result=result)) for result in ("returned", "nacked", "resent")) == 0,
        ),
        "Blocked by the broker": ("0", lambda view: view.one("Blocked by the broker", **me) == 0),
        "Redelivered requests": ("0", lambda view: view.one("Redelivered requests", **me) == 0),
        "Isolation and poison": (
            "no isolation, strikes and rejections",
            lambda view: [view.one("Isolation and poison", ref, **me) for ref in "ABC"] == [0, 0, 0],
        ),
        "Certificates": ("none", lambda view: view.all("Certificates", **me) == []),
        "Processor time and memory": ("below 4 processors, 1 MB to 2 GB", process),
    }
