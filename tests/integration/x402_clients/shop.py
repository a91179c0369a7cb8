"""Stock x402 middleware from PyPI in front of four pages: `python shop.py SETTINGS` serves until stopped.

Settings: `port`, `facilitator`, `secret` (its key for us), `payTo`, `asset`, `network`, `extra`, `price`,
`charged`. `POST /claim` claims, pays out and gives back what channels hold.
"""

import json
import sys
from pathlib import Path

import uvicorn
from fastapi import FastAPI, Response
from x402 import x402ResourceServer
from x402.http import FacilitatorConfig, HTTPFacilitatorClient
from x402.http.facilitator_client_base import CreateHeadersAuthProvider
from x402.http.middleware.fastapi import payment_middleware, set_settlement_overrides
from x402.http.types import PaymentOption, RouteConfig
from x402.mechanisms.evm.batch_settlement.server import BatchSettlementEvmScheme
from x402.mechanisms.evm.batch_settlement.server.channel_manager import BatchSettlementChannelManager
from x402.mechanisms.evm.batch_settlement.server.channel_manager_common import ChannelManagerConfig
from x402.mechanisms.evm.exact.server import ExactEvmScheme
from x402.mechanisms.evm.upto.server import UptoEvmScheme

SETTINGS = json.loads(Path(sys.argv[1]).read_text())
NETWORK = SETTINGS["network"]
BEARER = {"Authorization": f"Bearer {SETTINGS['secret']}"}

facilitator = HTTPFacilitatorClient(
    FacilitatorConfig(
        url=SETTINGS["facilitator"],
        auth_provider=CreateHeadersAuthProvider(
            lambda: {"verify": BEARER, "settle": BEARER, "supported": BEARER}
        ),
    )
)
channels = BatchSettlementEvmScheme(SETTINGS["payTo"])
server = x402ResourceServer(facilitator)
for scheme in (ExactEvmScheme(), UptoEvmScheme(), channels):
    server.register(NETWORK, scheme)


def costs(scheme, **extra):
    """A route's price in one way."""
    price = {
        "amount": SETTINGS["price"],
        "asset": SETTINGS["asset"],
        "extra": {**SETTINGS["extra"], **extra},
    }
    option = PaymentOption(scheme=scheme, pay_to=SETTINGS["payTo"], price=price, network=NETWORK)
    return RouteConfig(accepts=[option])


ROUTES = {
    "GET /exact": costs("exact"),
    "GET /permit2": costs("exact", assetTransferMethod="permit2"),
    "GET /upto": costs("upto", assetTransferMethod="permit2"),
    "GET /batch": costs("batch-settlement"),
}
app = FastAPI()
app.middleware("http")(payment_middleware(ROUTES, server))


@app.get("/free")
@app.get("/exact")
@app.get("/permit2")
async def whole():
    """What is paid for whole, or not at all."""
    return {"answer": 42}


@app.get("/upto")
@app.get("/batch")
async def metered(response: Response):
    """What costs less than was signed for."""
    set_settlement_overrides(response, {"amount": SETTINGS["charged"]})
    return {"answer": 42}


@app.post("/claim")
async def claim():
    """Take what was earned, and give back the rest."""
    manager = BatchSettlementChannelManager(
        ChannelManagerConfig(
            scheme=channels,
            facilitator=facilitator,
            receiver=SETTINGS["payTo"],
            token=SETTINGS["asset"],
            network=NETWORK,
        )
    )
    done = await manager.claim_and_settle()
    return {"claims": len(done["claims"]), "refunds": len(await manager.refund())}


uvicorn.run(app, host="127.0.0.1", port=SETTINGS["port"], log_level="warning")
