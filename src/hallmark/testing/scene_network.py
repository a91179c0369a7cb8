"""Parties and finished requests for the network page of a scene."""

from __future__ import annotations

from hallmark.http.health import Health
from hallmark.services.explorer.health_probe import party
from hallmark.services.explorer.network_views import Lately, Observed, Party
from hallmark.telemetry.parts import ObservedPart
from hallmark.testing import scene_parts as parts


def parties(now: int) -> tuple[Party, ...]:
    """Parties that are ready, degraded and silent."""
    refusing = Health("degraded", "log_time_ahead", now - 60_000, "It has refused every checkpoint for 60 s.")
    silent = Health("silent", "no_answer", now - 12_000)
    return (
        party("log", "log", Health("ready", "", now - 3_600_000), heard=now),
        party("a.hallmark.test", "full node", refusing, heard=now),
        party("d.hallmark.test", "full node", silent, heard=now - 14_000),
        party(
            "node-1",
            "node",
            Health("answers"),
            heard=now - 3_000,
            by="the gateway",
            link=f"/explore/nodes/{parts.node_key()}",
        ),
        party("node that never answered", "node", Health("silent", "no_answer"), heard=0, by="the gateway"),
    )


def observed(now: int, hours: int) -> Observed:
    """Sixty parts: some without data, some without a request, some with failures."""
    step = hours * 60_000
    points = tuple(
        ObservedPart(now - (60 - n) * step, 0)
        if n < 12
        else ObservedPart(now - (60 - n) * step, hours, n % 7 * 3, int(n % 11 == 0), n % 7, 2, 2, 20, 7)
        for n in range(60)
    )
    return Observed("this gateway", Lately(5, 412, 3), hours, points)
