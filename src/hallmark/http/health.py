"""Health of a service: whether it does its job, not whether it runs; and if not why, since when, what to do.

A service observes facts and a pure function of its own makes them a `Health`. The next step stands here, one
per reason, so that `/healthz`, `hallmark status`, metrics and pages all say the same. A test holds this table
against docs/operate.md.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Final

import msgspec
from prometheus_client.core import GaugeMetricFamily, Metric

SERVING: Final = ("ready", "degraded")
_CODE: Final = re.compile(r"[a-z][a-z0-9_]{0,63}")
RESTORE: Final = "Restore the newest copy of the log's store: it is older than what a quorum saw."
READ_LOG: Final = "Read the end of the service's log.jsonl; it says what failed."
RUN_FULL_NODES: Final = "Get enough full nodes running: a quorum of them must answer and cosign."
KEEP_EVIDENCE: Final = "Keep this store: it holds the evidence against the log. Nothing is cosigned any more."

STEPS: Final[Mapping[str, str]] = {
    # every service
    "store_full": "Make room on the disk. Nothing is half written; the next write sets it right.",
    "no_answer": "It runs and does not answer: see whether it was stopped or has no processor time.",
    "limits_out_of_order": (
        "Raise answer_s or idle_s of the gateway above what its nodes allow, or lower limits.request_ms."
    ),
    "clock_skew": "Set the clocks of both machines by one time source (NTP).",
    "log_unreachable": "Get the log running, or the network between here and it.",
    # log
    "log_standby": "Nothing: another process holds the lease.",
    "log_unconfirmed": RUN_FULL_NODES,
    "quorum_missing": "See which full nodes refuse or are silent, and mend those: a quorum must cosign.",
    "log_behind_witness": RESTORE,
    "log_forked": RESTORE,
    "log_rolled_back": RESTORE,
    # full node
    "reading_own_copy": "Wait: it verifies its own copy again.",
    "log_time_ahead": "Set both clocks by one time source; if the log's was ahead, wait until that is past.",
    "objections_pending": "See why the log does not take this full node's verdicts.",
    "objections_impossible": "Register this full node's key with the network's authority.",
    "leaves_unavailable": "Get the log, or the copy that this full node reads from, to serve its entries.",
    "leaves_mismatch": "The log serves other entries than it signed: compare it with another full node.",
    "judging_failed": "Nothing is held up: the entry counts as failed. Report newest_bug of /status.",
    "not_asked": "Put this full node's key and URL into the log's policy, and see that the log reaches it.",
    # gateway
    "following_log": "Wait: it checks the log from its beginning.",
    "log_root_differs": "Ask the operators: the log serves entries that its quorum did not cosign.",
    "no_node": "Start a node that serves this network, and see that its registration gets into the log.",
    "no_node_answers": "Get a node running, or the network between the gateway and the nodes.",
    "no_node_eligible": "See GET /v1/hallmark/network for each node's reason.",
    "answers_failing": "See the requests that failed on /network, and get the providers or nodes to answer.",
    # issuer
    "issuer_starting": "Wait: it puts its keys into the log. If it stays so, see that log and chain answer.",
    # facilitator
    "facilitator_starting": "Wait: it looks at its chain. If it stays so, see that the endpoint answers.",
    "other_chain": "Set chain_id to the endpoint's, or rpc_url to an endpoint of that chain.",
    "signer_unfunded": "Send gas money to the service's account; it settles nothing until then.",
    # node
    "enclave": "Wait: the enclave starts. If it stays so, read the end of the node's log.jsonl.",
    "registration": "Wait until the log takes the registration; if it stays so, look at the log's health.",
    "enclave_died": "Nothing: a new enclave with new keys follows. If it repeats, read the node's log.jsonl.",
    "sealing_keys_over": "Nothing: its sealing keys run out, and an enclave with new ones follows.",
    "enclave_silent": "The enclave runs and does not answer its host: end its process, and a new one starts.",
    "registration_objected": "Read `told`: it has the full nodes' reason, and what helps.",
    "outbox_refused": "Read the refusals in the node's log.jsonl: some of its receipts are not in the log.",
    "outbox_waiting": "Get the log to take entries again: receipts wait on this node's disk.",
    "settlement_late": "Get the chain or gas to the node before the vault's settlement window closes.",
    # anchoring, chain
    "anvil_starting": "Wait: the development chain starts.",
    "anvil_restarting": "Wait: the development chain starts again.",
    "chain_not_seen": "Get the chain running.",
    "chain_unreachable": "Get the chain running.",
    "anchoring_behind": "See anchoring's log.jsonl: the newest checkpoints are not on the chain.",
    "chain_silent": "The chain makes no blocks: see whether its process was stopped.",
    # relay
    "relay_directory": "Wait: the relay asks its gateway for the nodes. If it stays so, start the gateway.",
    "relay_gateway_away": "Get the gateway running, or the way to it: capsules go by the last directory.",
    # storage node, hub on storage nodes
    "slivers_not_mended": "Get more storage nodes of the committee running; this one tries again by itself.",
    "storage_nodes_suspect": "See GET /v1/storage-nodes for which and why, and mend or replace those nodes.",
    # vault
    "vault_deploying": "Wait: development money and vault are put on the chain.",
    "vault_registering": "Wait: nodes' keys are put into the vault once their registrations are witnessed.",
    "settlement_key_refused": "See the vault's log.jsonl: a node's key is not in the vault, and so not paid.",
    # web
    "desk_catching_up": "Wait: the desk reads the log.",
    "behind_log": "See whether this process has processor time: it has not read what a quorum covers.",
}


class Health(msgspec.Struct, frozen=True):
    """State of a service: "starting", "ready", "degraded", "refusing", "failed" or "stopping"; when it is not
    ready a reason code, since when (unix ms, 0: not known), what was observed in words, and the next step.
    """

    state: str
    reason: str = ""
    since: int = 0
    told: str = ""

    @property
    def step(self) -> str:
        """What to do, in words; empty when ready."""
        if self.state in ("ready", "stopping"):
            return ""
        return KEEP_EVIDENCE if self.state == "refusing" else STEPS.get(self.reason, READ_LOG)

    def to_json(self) -> dict[str, object]:
        """As `/healthz` shows it."""
        return {**msgspec.structs.asdict(self), "next": self.step}


def ready() -> Health:
    """Health of a service that has nothing to wait for."""
    return Health("ready")


def unless(problem: str, health: Health) -> Health:
    """`health`, but degraded by `problem` (a reason code, empty for none) where it would be ready."""
    return Health("degraded", problem) if problem and health.state == "ready" else health


def lasted(ms: int) -> str:
    """A length of time in words of health: "37 s", "62 min"."""
    seconds = max(ms, 0) // 1000
    return f"{seconds} s" if seconds < 600 else f"{seconds // 60} min"


def code_of(text: str, otherwise: str) -> str:
    """`text` if it is a reason code, else `otherwise`: what others send becomes no label and no word."""
    return text if _CODE.fullmatch(text) else otherwise


class Behind:
    """Since when something has been behind: told a goal and how far it is, it remembers the first goal not
    yet reached. Steady progress starts it anew each time that goal is reached; so does an idle network.
    """

    def __init__(self) -> None:
        self._goal = 0
        self._at = 0

    def see(self, goal: int, done: int, now: int) -> None:
        """At `now` (ms of any clock) the goal was `goal`, and `done` of it was done."""
        if done >= goal:
            self._goal = self._at = 0
        elif not self._goal or done >= self._goal or now < self._at:
            self._goal, self._at = goal, now

    def lasts(self, now: int) -> int:
        """For how many ms the oldest goal has not been reached; 0 when there is none."""
        return max(now - self._at, 0) if self._goal else 0


class Since:
    """Remembers since when a service is as it is, where what it observed does not say so itself."""

    def __init__(self, clock: Callable[[], int] = lambda: time.time_ns() // 1_000_000) -> None:
        self._clock = clock
        self._known = ("", "")
        self._at = 0

    def stamped(self, health: Health) -> Health:
        """`health` with a `since`: its own, else when this state and reason were first seen."""
        known = (health.state, health.reason)
        if known != self._known:
            self._known, self._at = known, self._clock()
        return health if health.since else msgspec.structs.replace(health, since=self._at)


class HealthMetric:
    """Prometheus collector: `hallmark_health{state,reason}` is 1 for what holds now, and since when."""

    def __init__(self, read: Callable[[], Health]) -> None:
        self._read = read

    def collect(self) -> Iterable[Metric]:
        """Read the health at a scrape."""
        health = self._read()
        now = GaugeMetricFamily(
            "hallmark_health", "1 for the state and reason that hold now.", labels=("state", "reason")
        )
        now.add_metric((health.state, code_of(health.reason, "") or "none"), 1)
        yield now
        yield GaugeMetricFamily(
            "hallmark_health_since_seconds", "Unix time since which they hold.", value=health.since / 1000
        )
