"""The relay put together: directory, limits, app, health, metrics."""

from __future__ import annotations

import asyncio
import contextlib
import os
import ssl
from collections.abc import Callable
from typing import Final

from hallmark.core.errors import HallmarkError, InvalidInput, Unavailable
from hallmark.http.client import Pool, Timeouts
from hallmark.http.health import unless
from hallmark.http.limits import Limits
from hallmark.http.serve import serve
from hallmark.services.relay.app import Admission, Relay, RelayDoor, RelayHeaders
from hallmark.services.relay.directory import Directory
from hallmark.services.relay.forward import Forwarder
from hallmark.services.relay.settings import Settings
from hallmark.services.relay.sources import Sources
from hallmark.services.relay.spent import Spent
from hallmark.services.relay.tokens import TokenCheck
from hallmark.store.raw import RawDatabase
from hallmark.telemetry.logs import get_logger
from hallmark.telemetry.metrics import Metrics

PROXY: Final = "hallmark-relay"
"""How Proxy-Status names a relay: the same for all of them."""
HEAD: Final = 16 * 1024
FORGET_S: Final = 600.0


class RelayService:
    """A relay's parts. `service` is the ASGI app; `run` must run beside it; then `aclose`."""

    def __init__(
        self, settings: Settings, database: RawDatabase, *, random: Callable[[int], bytes] = os.urandom
    ) -> None:
        self.settings, self.database = settings, database
        self._pool = Pool(
            per_origin=settings.by_node,
            timeouts=Timeouts(connect=5.0, head=settings.answer_s, idle=settings.idle_s, pool=5.0),
        )
        self.directory = Directory(self._pool, settings.gateway, settings.refresh_s)
        check = TokenCheck(settings.tokens) if settings.tokens is not None else None
        self.sources = Sources(
            settings.by_address,
            settings.forget_s,
            random,
            at_once=settings.at_once,
            by_address=settings.at_once_by_address,
        )
        self.admission = Admission(self.sources, check, Spent(database))
        self.metrics = Metrics()
        timeouts = Timeouts(connect=5.0, head=settings.answer_s, idle=settings.idle_s, pool=5.0)
        forwarder = Forwarder(self._pool, PROXY, settings.answer, timeouts)
        relay = Relay(
            settings,
            self.directory,
            forwarder,
            self.admission,
            self.metrics,
            health=lambda: self.service.health(),
        )
        self.metrics.gauge("relay_under_way", "Capsules under way.", lambda: self.sources.under_way)
        self.metrics.gauge("relay_hashes", "Hashes of addresses in memory.", lambda: len(self.sources))
        self.metrics.gauge("relay_nodes", "Nodes that take capsules.", lambda: len(self.directory.nodes))
        self.service = RelayDoor(
            relay,
            health=lambda: unless(database.problem, self.directory.health),
            registry=self.metrics.registry,
            limits=Limits(body=settings.capsule, head=HEAD, body_s=settings.body_s, stuck_s=settings.stuck_s),
            around=lambda app: RelayHeaders(app, PROXY),
        )

    async def run(self) -> None:
        """Keep the directory fresh and forget what is over, until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self.directory.run())
            if self.admission.check is not None:
                group.create_task(self._forget())

    async def _forget(self) -> None:
        while True:
            with contextlib.suppress(HallmarkError):
                await self.admission.forget()
            await asyncio.sleep(FORGET_S)

    async def introduction(self) -> str:
        """What the relay is, for whoever starts it, after one look at the gateway.

        Raises Unavailable `relay_gateway_refuses`, `relay_gateway_unreadable` where that is no gateway.
        """
        settings, directory = self.settings, self.directory
        await directory.fetch()
        problem = directory.health.told
        if problem in ("relay_gateway_refuses", "relay_gateway_unreadable"):
            raise Unavailable(
                problem, f"{settings.gateway} does not answer as a Hallmark gateway.", "Is the address right?"
            )
        tls = "https" if settings.certificate else "http"
        where = f"{tls}://{settings.listen.host}:{settings.listen.port}"
        first = f"Relay {settings.name!r} takes sealed requests at {where}/v1/relay"
        if directory.fetched:
            nodes = len(directory.nodes)
            first += (
                f"\n  for network 0x{directory.network.hex()} of {settings.gateway}: {nodes} nodes take them"
            )
        else:
            first += f"\n  for {settings.gateway}, which does not answer yet ({problem}); it keeps asking"
        counted = "by token" if settings.tokens else f"by address, as hashes for {settings.forget_s} s"
        return (
            f"{first}\n  counted {counted}; content, and who asked which node when, are never kept\n"
            "  SIGTERM or Ctrl-C stops it when what is under way has ended"
        )

    async def aclose(self) -> None:
        """Close connections and store."""
        self.sources.forget()
        await self._pool.aclose()
        self.database.close()


def certificate(settings: Settings) -> ssl.SSLContext | None:
    """The context of the certificate that the settings name; None without one. Raises InvalidInput
    `relay_certificate`.
    """
    if not settings.certificate and not settings.certificate_key:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        context.load_cert_chain(settings.certificate, settings.certificate_key or None)
    except (OSError, ValueError) as error:  # ssl.SSLError is an OSError
        raise InvalidInput(
            "relay_certificate",
            "The certificate or its key cannot be read.",
            "Name two PEM files that belong together: the chain, and a key without a password.",
        ) from error
    return context


async def serve_relay(settings: Settings, say: Callable[[str], None] | None = None) -> None:
    """Serve until SIGTERM. Raises InvalidInput `relay_certificate`, `relay_token_key`, and what the store
    raises.
    """
    tls = certificate(settings)
    relay = RelayService(settings, RawDatabase(settings.database))
    get_logger().info("relay_started", port=settings.listen.port)
    try:
        if say is not None:
            say(await relay.introduction())
        await serve(relay.service, settings.listen, tasks=(relay.run(),), tls=tls)
    except OSError as error:
        raise Unavailable(
            "relay_port",
            f"The relay cannot listen on {settings.listen.host} port {settings.listen.port}.",
            "Another program listens there, or only root may: ss -ltnp shows it.",
        ) from error
    finally:
        await relay.aclose()
