"""From a plan to running services: every settings file of the network, and the command that reads it."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Final

import msgspec

from hallmark.compose.home import Home
from hallmark.compose.keys import AUTHORITY_KEYS
from hallmark.compose.models import Shipped
from hallmark.compose.plan import NodePlan, Plan, has_issuer, hub_port, issuer_port, relay_port, vault_port
from hallmark.compose.supervisor import Service
from hallmark.compose.trustfile import full_node_name, quorum_of
from hallmark.compose.upstream_keys import key_file
from hallmark.compose.vault_settings import DELAYS, Watched
from hallmark.compose.vault_settings import Settings as VaultSettings
from hallmark.core.document import hex0x
from hallmark.core.money import Asset
from hallmark.http.serve import Listen
from hallmark.services.anchor.settings import Settings as AnchorSettings
from hallmark.services.chain.settings import Settings as ChainSettings
from hallmark.services.chain.toolchain import repository_root
from hallmark.services.fullnode.settings import Settings as FullNodeSettings
from hallmark.services.gateway.settings import Settings as GatewaySettings
from hallmark.services.hub.settings import HubModel
from hallmark.services.hub.settings import Settings as HubSettings
from hallmark.services.issuer.settings import Settings as IssuerSettings
from hallmark.services.log.settings import Quota
from hallmark.services.log.settings import Settings as LogSettings
from hallmark.services.node.sealer import KeyFile
from hallmark.services.node.sealer import Settings as SealerSettings
from hallmark.services.node.settings import ModelFile, Payments
from hallmark.services.node.settings import Settings as NodeSettings
from hallmark.services.relay.settings import Settings as RelaySettings
from hallmark.services.review.settings import Settings as WebSettings
from hallmark.services.review.settings import Webhooks
from hallmark.store import sqlite_url
from hallmark.verification.trust import Trust

SETTLE_S: Final = 60
"""Seconds between two settlements: few enough to watch one."""
TOKEN_UNIT: Final = 100
"""What the smallest token is worth: 0.0001 of development money; the largest is 3.2768."""
POLL_MS: Final = 200
"""How often a node asks the chain, which is on this machine, while a transaction is under way."""

FROM_HERE: Final = Quota(rate=1_000.0, burst=10_000)
"""What one address may send sealed, to the relay and to the gateway: everybody has this machine's."""


class Contracts(msgspec.Struct, frozen=True):
    """The files of compiled contracts, as this network keeps them."""

    anchor: Path
    token: Path
    vault: Path


class Parts(msgspec.Struct, frozen=True):
    """What the settings point at: the trust file's content, tools, image, models, the accounts that need gas,
    and the owners that the log's operator vouches for (20-byte addresses).
    """

    trust: Trust
    policy: str
    anvil: Path
    contracts: Contracts
    image: Path
    models: Mapping[str, Shipped]
    funded: tuple[bytes, ...]
    owners: tuple[bytes, ...]
    assets: Path
    asset: Asset
    names: Mapping[str, str] = MappingProxyType({})


class Wiring:
    """Writes each service's settings and says how to run it."""

    def __init__(self, home: Home, plan: Plan, parts: Parts) -> None:
        self._home = home
        self._plan = plan
        self._parts = parts
        self._log_url = _url(plan.log_port)

    def first(self) -> tuple[Service, ...]:
        """What the founding entries need: chain, log, full nodes."""
        count = len(self._plan.full_nodes)
        return (self._chain(), self._log(), *(self._full_node(n) for n in range(1, count + 1)))

    def later(self) -> tuple[Service, ...]:
        """What needs the founding entries: nodes, gateway, anchoring, the vault's keeper, relay, hub."""
        nodes = (self._node(node) for node in self._plan.nodes)
        issuers = (self._issuer(),) if has_issuer(self._plan) else ()
        later = (self._gateway(), self._anchor(), self._vault(), *issuers, self._web(), self._relay())
        return (*nodes, *later, self._hub())

    def _chain(self) -> Service:
        # The chain's health port stands next to its JSON-RPC port.
        listen = Listen(self._plan.chain_port + 1)
        settings = ChainSettings(
            listen=listen,
            rpc_port=self._plan.chain_port,
            anvil=str(self._parts.anvil),
            state=str(self._home.file("services", "chain", "state.json")),
            chain_id=self._plan.chain_id,
            funded=tuple(hex0x(address) for address in self._parts.funded),
        )
        return self._service("chain", "chain", settings, _url(self._plan.chain_port), _url(listen.port))

    def _log(self) -> Service:
        settings = LogSettings(
            listen=Listen(self._plan.log_port),
            origin=self._plan.origin,
            chain_id=self._plan.chain_id,
            key_file=self._key("log.ed25519"),
            database=self._plan.log_database or self._database("log"),
            policy=self._parts.policy,
            authority=self._parts.trust.authority,
            threshold=self._parts.trust.threshold,
            owners=tuple(hex0x(owner) for owner in self._parts.owners),
        )
        return self._service("log", "log", settings, self._log_url)

    def _full_node(self, number: int) -> Service:
        name, trust = full_node_name(number), self._parts.trust
        port = self._plan.full_nodes[number - 1]
        log_line = next(line for line in self._parts.policy.splitlines() if line.startswith("log "))
        settings = FullNodeSettings(
            listen=Listen(port),
            origin=self._plan.origin,
            chain_id=self._plan.chain_id,
            authority=trust.authority,
            threshold=trust.threshold,
            log_vkey=log_line.split()[1],
            log_url=self._log_url,
            witness_name=name,
            seed_file=self._key(f"{name}.ed25519"),
            key_file=self._key(f"{name}.secp256k1"),
            database=self._database(name),
            artifacts=(str(self._home.dir("artifacts")),),
            artifact_cache=str(self._home.file("services", name, "blob-ids.json")),
        )
        return self._service(name, "fullnode", settings, _url(port))

    def _node(self, node: NodePlan) -> Service:
        models = tuple(
            ModelFile(
                label,
                str(self._parts.models[label].path.with_suffix(".manifest")),
                str(self._parts.models[label].path),
            )
            for label in node.models
        )
        settings = NodeSettings(
            listen=Listen(node.port),
            health=Listen(node.health_port),
            endpoint=f"https://127.0.0.1:{node.port}",
            log_url=self._log_url,
            origin=self._plan.origin,
            chain_id=self._plan.chain_id,
            owner_key_file=self._key(f"{node.name}-owner.secp256k1"),
            database=self._database(node.name),
            models=models,
            image_cache=str(self._home.dir("image")),
            image=str(self._parts.image),
            development_root=self._key("development-root.pem"),
            capacity=node.capacity,
            upstreams=node.upstreams,
            sealer=self._sealer(node),
            mode=node.mode,
            payments=Payments(
                offer=str(self._home.file("services", node.name, "offer.entry")),
                rpc_url=_url(self._plan.chain_port),
                settle_seconds=SETTLE_S,
                lease_seconds=DELAYS.lease,
                withdraw_seconds=DELAYS.withdrawal,
                confirmations=self._plan.confirmations,
                poll_ms=POLL_MS,
                issuer=_url(issuer_port(self._plan)) if has_issuer(self._plan) else "",
            ),
        )
        endpoint = f"https://127.0.0.1:{node.port}"
        return self._service(node.name, "node", settings, endpoint, _url(node.health_port))

    def _sealer(self, node: NodePlan) -> tuple[str, ...]:
        """The program that seals the upstreams' API keys for this node's enclave."""
        if not node.upstreams:
            return ()
        settings = SealerSettings(
            trust_file=str(self._home.file("trust.toml")),
            upstreams={
                label: KeyFile(url, str(key_file(self._home, label))) for label, url in node.upstreams.items()
            },
        )
        data = msgspec.json.format(msgspec.json.encode(settings), indent=2)
        path = self._home.write(data + b"\n", "services", node.name, "sealer.json", mode=0o600)
        return (sys.executable, "-m", "hallmark.services.node.sealer", "--config", str(path))

    def _gateway(self) -> Service:
        settings = GatewaySettings(
            listen=Listen(self._plan.gateway_port),
            log_url=self._log_url,
            trust_file=str(self._home.file("trust.toml")),
            key_file=self._key("gateway.secp256k1"),
            database=self._database("gateway"),
            anchor_url=_url(self._plan.anchor_port),
            rpc_url=_url(self._plan.chain_port),
            confirmations=self._plan.confirmations,
            web_url=_url(self._plan.web_port),
            names=dict(self._parts.names),
            sealed_by_address=FROM_HERE,
        )
        return self._service("gateway", "gateway", settings, _url(self._plan.gateway_port))

    def _anchor(self) -> Service:
        trust = self._parts.trust
        assert trust.anchor is not None
        _, quorum = quorum_of(len(self._plan.full_nodes))
        settings = AnchorSettings(
            listen=Listen(self._plan.anchor_port),
            database=self._database("anchor"),
            origin=self._plan.origin,
            tlog_policy=self._parts.policy,
            log_url=self._log_url,
            full_nodes=tuple(_url(port) for port in self._plan.full_nodes),
            signers=trust.full_nodes,
            threshold=quorum,
            rpc_url=_url(self._plan.chain_port),
            chain_id=self._plan.chain_id,
            contract=trust.anchor.contract,
            contract_file=str(self._parts.contracts.anchor),
            key_file=self._key("anchor.secp256k1"),
            seconds=self._plan.anchor_seconds,
            confirmations=self._plan.confirmations,
        )
        return self._service("anchor", "anchor", settings, _url(self._plan.anchor_port))

    def _vault(self) -> Service:
        owners = zip(self._plan.nodes, self._parts.owners[-len(self._plan.nodes) :], strict=True)
        settings = VaultSettings(
            repository=str(repository_root()),
            listen=Listen(vault_port(self._plan)),
            rpc_url=_url(self._plan.chain_port),
            log_url=self._log_url,
            trust_file=str(self._home.file("trust.toml")),
            token_file=str(self._parts.contracts.token),
            vault_file=str(self._parts.contracts.vault),
            key_file=self._key("vault.secp256k1"),
            authority_files=tuple(self._key(f"authority-{n + 1}.secp256k1") for n in range(AUTHORITY_KEYS)),
            nodes=tuple(Watched(node.name, _url(node.health_port), hex0x(owner)) for node, owner in owners),
        )
        return self._service("vault", "hallmark.compose.vault_keeper", settings, _url(settings.listen.port))

    def _issuer(self) -> Service:
        settings = IssuerSettings(
            listen=Listen(issuer_port(self._plan)),
            database=self._database("issuer"),
            log_url=self._log_url,
            origin=self._plan.origin,
            rpc_url=_url(self._plan.chain_port),
            chain_id=self._plan.chain_id,
            key_file=self._key("issuer.secp256k1"),
            asset=self._parts.asset,
            unit=TOKEN_UNIT,
            pay_after_ms=1_000 * SETTLE_S,
            poll_ms=POLL_MS,
            confirmations=self._plan.confirmations,
        )
        return self._service("issuer", "issuer", settings, _url(settings.listen.port))

    def _web(self) -> Service:
        settings = WebSettings(
            listen=Listen(self._plan.web_port),
            log_url=self._log_url,
            gateway_url=_url(self._plan.gateway_port),
            trust_file=str(self._home.file("trust.toml")),
            key_file=self._key("desk.secp256k1"),
            database=self._database("web"),
            public_url=_url(self._plan.gateway_port),
            anchor_url=_url(self._plan.anchor_port),
            rpc_url=_url(self._plan.chain_port),
            confirmations=self._plan.confirmations,
            relay_url=_url(relay_port(self._plan)),
            hub_url=_url(hub_port(self._plan)),
            assets=str(self._parts.assets),
            names=dict(self._parts.names),
            # Everything of a development network is on this machine, whoever listens to it as well.
            webhooks=Webhooks(allow_loopback_webhooks=True),
        )
        url = _url(self._plan.web_port)
        service = self._service("web", "hallmark.apps.web", settings, url)
        # Pages wait for answers, never the other way round.
        return msgspec.structs.replace(service, nice=5)

    def _relay(self) -> Service:
        """Knows the gateway's address alone: no trust file, nobody's key."""
        settings = RelaySettings(
            listen=Listen(relay_port(self._plan)),
            gateway=_url(self._plan.gateway_port),
            database=self._database("relay"),
            name=f"relay of {self._plan.name}",
            by_address=FROM_HERE,
        )
        return self._service("relay", "relay", settings, _url(settings.listen.port))

    def _hub(self) -> Service:
        """Knows nobody. What is on this machine may put blobs; pages of other sites may not (see its app)."""
        settings = HubSettings(
            listen=Listen(hub_port(self._plan)),
            directory=str(self._home.file("services", "hub")),
            database=self._database("hub"),
            anonymous=True,
            models=self._hub_models(),
            blob_ids=str(repository_root() / "models" / "blob-ids.json"),
        )
        service = self._service("hub", "hub", settings, _url(settings.listen.port))
        return msgspec.structs.replace(service, nice=5)

    def _hub_models(self) -> tuple[HubModel, ...]:
        """The models that ship and are served, each with its card."""
        cards = {label: repository_root() / "models" / label / "README.md" for label in self._parts.models}
        return tuple(
            HubModel(label, str(model.path), str(cards[label]))
            for label, model in self._parts.models.items()
            if label not in self._plan.models and cards[label].is_file()
        )

    def _service(
        self, name: str, module: str, settings: msgspec.Struct, url: str, health: str = ""
    ) -> Service:
        data = msgspec.json.format(msgspec.json.encode(settings), indent=2)
        path = self._home.write(data + b"\n", "services", name, "settings.json", mode=0o600)
        argv = (
            sys.executable,
            "-m",
            module if "." in module else f"hallmark.services.{module}",
            "--config",
            str(path),
        )
        return Service(name, argv, url, (health or url) + "/healthz")

    def _key(self, name: str) -> str:
        return str(self._home.file("keys", name))

    def _database(self, name: str) -> str:
        return sqlite_url(self._home.file("services", name, "store.db"))


def write_manifests(home: Home, models: Sequence[Shipped]) -> None:
    """Put each manifest's exact bytes beside its artifact, for the nodes to load."""
    for model in models:
        home.write(model.manifest.encode(), "artifacts", model.path.with_suffix(".manifest").name)


def _url(port: int) -> str:
    return f"http://127.0.0.1:{port}"
