"""Preparing a start: tools, image, models, keys, founding entries, trust file, settings. Each step is done
once.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from hallmark import __version__
from hallmark.attestation.emulator import DevelopmentRoot
from hallmark.compose.browser import build_browser
from hallmark.compose.founding import Founding, found
from hallmark.compose.genesis import Author
from hallmark.compose.home import Home
from hallmark.compose.images import image_of
from hallmark.compose.keys import AUTHORITY_THRESHOLD, Keys, load_keys
from hallmark.compose.plan import Offers, Plan, has_issuer, issuer_port, relay_port, with_offers
from hallmark.compose.pricing import WORDS, Money, say_offers, write_offers
from hallmark.compose.supervisor import Service
from hallmark.compose.trustfile import development_trust, quorum_of, tlog_policy, with_declarations
from hallmark.compose.vault_settings import vault_parameters
from hallmark.compose.wiring import Contracts, Parts, Wiring, write_manifests
from hallmark.core.beacon import network_id
from hallmark.core.document import hex0x
from hallmark.core.documents import Measurement
from hallmark.core.errors import HallmarkError, Unavailable
from hallmark.core.hashing import sha256
from hallmark.http.client import Pool
from hallmark.services.chain.contract import Parameters, anchor_address, read_contract
from hallmark.services.chain.token import dev_token_address
from hallmark.services.chain.toolchain import Toolchain, prepare, repository_root
from hallmark.services.chain.vault import vault_address
from hallmark.services.node.forwarder import FOR_GOOD, LogClient, LogProblem
from hallmark.services.node.measure import ImageInfo

Say = Callable[[str], None]
SUBMIT_S = 60.0


class Prepared(msgspec.Struct, frozen=True):
    """A network that is ready to run."""

    plan: Plan
    founding: Founding
    first: tuple[Service, ...]
    later: tuple[Service, ...]


def prepare_network(
    home: Home,
    plan: Plan,
    *,
    offers: Offers | None = None,
    say: Say = lambda _: None,
) -> Prepared:
    """Do whatever is missing; the second time nothing is. `say` hears each step and how long it took.

    The caller holds the home and has claimed the plan's ports.
    """
    with _step(say, "development chain and contracts"):
        tools = prepare(repository_root())
    with _step(say, "scripts of the pages"):
        assets = build_browser(repository_root())
    with _step(say, "enclave image"):
        image = image_of(home, plan)
    offers = offers or Offers()
    plan = with_offers(home, plan, offers)
    keys = load_keys(home, plan)
    root = _development_root(home)
    now = int(time.time() * 1000)
    with _step(say, "models"):
        founding, models = found(home, plan, keys, root=root, measurement=measurement_of(image), now=now)
    contracts = Contracts(*(kept_contract(home, tools, name) for name in ("Anchor", "DevToken", "Vault")))
    address = anchor_contract(plan, keys, contracts.anchor)
    money = money_of(plan, keys, contracts)
    author = Author(network_id(plan.origin), plan.chain_id, now)
    new = say_offers(founding, author, plan, keys, models=models, money=money, chosen=offers.pricing)
    if new:
        say(f"price offers of {', '.join(new)}: {WORDS[plan.pricing]}")
    write_offers(home, plan, keys, founding)
    trust = development_trust(plan, keys, root, founding.measurements(), address)
    trust = with_declarations(trust, founding.entries)
    home.write(trust.to_toml().encode(), "trust.toml")
    write_manifests(home, tuple(models.values()))
    former = former_vaults(home, plan, keys, contracts, money)
    home.write(msgspec.json.encode(_place(home, plan, money, former)), "client.json")
    parts = Parts(
        trust=trust,
        policy=tlog_policy(plan, keys),
        anvil=tools.anvil,
        contracts=contracts,
        image=Path(image.path),
        models=models,
        funded=tuple(
            key.address for key in (keys.anchor, keys.vault, keys.faucet, keys.issuer, *keys.owners)
        ),
        owners=(keys.publisher.address, *(owner.address for owner in keys.owners)),
        assets=assets,
        asset=money.asset(plan.chain_id),
        names={hex0x(key.address): node.name for key, node in zip(keys.owners, plan.nodes, strict=True)},
    )
    wiring = Wiring(home, plan, parts)
    return Prepared(plan, founding, wiring.first(), wiring.later())


def _place(home: Home, plan: Plan, money: Money, former: tuple[bytes, ...]) -> dict[str, object]:
    """What clients on this machine need to know: client.json."""
    return {
        "base_url": f"http://127.0.0.1:{plan.gateway_port}",
        "trust": str(home.file("trust.toml")),
        "relay": f"http://127.0.0.1:{relay_port(plan)}",
        "log": f"http://127.0.0.1:{plan.log_port}",
        "chain": {
            "rpc_url": f"http://127.0.0.1:{plan.chain_port}",
            "chain_id": plan.chain_id,
            "token": hex0x(money.token),
            "vault": hex0x(money.vault),
            "development": True,
            "former": [hex0x(vault) for vault in former],
        },
        **({"issuer": f"http://127.0.0.1:{issuer_port(plan)}"} if has_issuer(plan) else {}),
    }


def measurement_of(image: ImageInfo) -> Measurement:
    """The measurement that a development network's authority approves: this installation's own image."""
    return Measurement(
        name="hallmark-enclave",
        version=__version__,
        evidence="nitro-dev",
        registers={"PCR0": f"0x{image.pcr0}", "PCR1": f"0x{image.pcr1}", "PCR2": f"0x{image.pcr2}"},
        source="built on this machine from this checkout",
    )


def anchor_contract(plan: Plan, keys: Keys, compiled: Path) -> bytes:
    """Where this network's Anchor contract is: a function of its code, its log and its full nodes."""
    _, quorum = quorum_of(len(plan.full_nodes))
    signers = tuple(key.address for key in keys.full_nodes)
    parameters = Parameters(network_id(plan.origin), plan.origin, signers, quorum)
    return anchor_address(read_contract(compiled), parameters)


def money_of(plan: Plan, keys: Keys, contracts: Contracts) -> Money:
    """Where development token and vault are: it follows from their code, the network and its authority."""
    token = dev_token_address(read_contract(contracts.token))
    parameters = vault_parameters(
        network_id(plan.origin), tuple(key.address for key in keys.authority), AUTHORITY_THRESHOLD, token
    )
    return Money(token, vault_address(read_contract(contracts.vault), parameters))


def former_vaults(
    home: Home, plan: Plan, keys: Keys, contracts: Contracts, money: Money
) -> tuple[bytes, ...]:
    """Where the vaults are that this home had before, of the token that it has."""
    codes = sorted(home.dir("contract").glob("Vault-*.json"))
    places = [money_of(plan, keys, msgspec.structs.replace(contracts, vault=code)).vault for code in codes]
    return tuple(place for place in dict.fromkeys(places) if place != money.vault)


async def submit_founding(plan: Plan, founding: Founding, *, patience_s: float = SUBMIT_S) -> None:
    """Hand every founding entry to the log, in order; it admits each once, and each must get its place.

    Retries while the log starts. Raises Unavailable `founding_not_logged` with the log's reason.
    """
    entries = [entry.encode() for entry in founding.entries]
    deadline, pool = time.monotonic() + patience_s, Pool()
    log = LogClient(pool, f"http://127.0.0.1:{plan.log_port}", plan.origin)
    try:
        while True:
            try:
                answers = await log.add(entries)
                problem = next((answer.code for answer in answers if isinstance(answer, LogProblem)), "")
            except HallmarkError as error:
                problem = str(error)
            if not problem:
                return
            if problem in FOR_GOOD or time.monotonic() > deadline:
                break
            await asyncio.sleep(0.1)
    finally:
        await pool.aclose()
    raise Unavailable("founding_not_logged", "The log does not take the founding entries.", problem)


def kept_contract(home: Home, tools: Toolchain, name: str) -> Path:
    """A compiled contract as it was at the first start: its address depends on every byte of it.

    One with another interface than this build speaks gives way, so there is a new contract at a new address;
    the old one goes on with what it holds, and its file stays as `NAME-DIGEST.json`.
    """
    path, built = home.file("contract", f"{name}.json"), (tools.contracts / f"{name}.json").read_bytes()
    kept = path.read_bytes() if path.exists() else b""
    if not kept or _interface(kept) != _interface(built):
        if kept:
            home.write(kept, "contract", f"{name}-{sha256(kept).hex()[:16]}.json")
        home.write(built, "contract", path.name)
    return path


def _interface(compiled: bytes) -> object:
    return msgspec.json.decode(compiled)["abi"]


def _development_root(home: Home) -> DevelopmentRoot:
    path = home.file("keys", "development-root.pem")
    if not path.exists():
        made = DevelopmentRoot.create(int(time.time() * 1000))
        home.write_secret(made.to_pem(), "keys", "development-root.pem")
    return DevelopmentRoot.from_pem(path.read_bytes())


@contextmanager
def _step(say: Say, what: str) -> Iterator[None]:
    started = time.monotonic()
    yield
    took = time.monotonic() - started
    if took > 0.5:
        say(f"{what}: {took:.1f} s")
