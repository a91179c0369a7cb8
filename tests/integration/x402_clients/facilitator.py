"""PyPI's stock x402 facilitator behind the usual routes: `python facilitator.py PORT RPC KEY NETWORK`."""

import sys

import uvicorn
from fastapi import FastAPI
from x402.facilitator import x402FacilitatorSync
from x402.mechanisms.evm.exact.facilitator import ExactEvmScheme
from x402.mechanisms.evm.signers import FacilitatorWeb3Signer
from x402.mechanisms.evm.upto.facilitator import UptoEvmScheme
from x402.schemas import SettleRequest, VerifyRequest

port, rpc, key, network = sys.argv[1:]
signer = FacilitatorWeb3Signer(private_key=key, rpc_url=rpc)
facilitator = x402FacilitatorSync()
for scheme in (ExactEvmScheme(signer), UptoEvmScheme(signer)):
    facilitator.register([network], scheme)
app = FastAPI()


@app.get("/supported")
def supported():
    """What it settles."""
    return facilitator.get_supported().model_dump(by_alias=True, exclude_none=True)


# Plain functions: FastAPI runs them in threads, as the library's blocking calls want.
@app.post("/verify")
def verify(asked: VerifyRequest):
    """Whether a payment would settle."""
    found = facilitator.verify(asked.payment_payload, asked.payment_requirements)
    return found.model_dump(by_alias=True, exclude_none=True)


@app.post("/settle")
def settle(asked: SettleRequest):
    """Settle a payment."""
    found = facilitator.settle(asked.payment_payload, asked.payment_requirements)
    return found.model_dump(by_alias=True, exclude_none=True)


uvicorn.run(app, host="127.0.0.1", port=int(port), log_level="warning")
