"""What upstream's end-to-end client does, over stock x402 from PyPI: one GET, paid for when it has to be.

EVM_PRIVATE_KEY, EVM_RPC_URL, RESOURCE_SERVER_URL and ENDPOINT_PATH say who pays and where; the last line that
is printed is JSON with `success`. Nothing is set but the schemes: the client's own spending caps hold.
"""

import asyncio
import json
import os

import httpx
from eth_account import Account
from x402 import x402Client
from x402.http import decode_payment_response_header
from x402.http.clients import x402_httpx_transport
from x402.mechanisms.evm.batch_settlement.client import BatchSettlementEvmScheme
from x402.mechanisms.evm.exact import register_exact_evm_client
from x402.mechanisms.evm.signers import EthAccountSignerWithRPC
from x402.mechanisms.evm.upto.client import UptoEvmScheme


async def main():
    """The request."""
    account = Account.from_key(os.environ["EVM_PRIVATE_KEY"])
    signer = EthAccountSignerWithRPC(account, rpc_url=os.environ["EVM_RPC_URL"])
    client = x402Client()
    register_exact_evm_client(client, signer)
    client.register("eip155:*", UptoEvmScheme(signer))
    client.register("eip155:*", BatchSettlementEvmScheme(signer))
    server = os.environ["RESOURCE_SERVER_URL"]
    transport = x402_httpx_transport(client)
    async with httpx.AsyncClient(base_url=server, transport=transport, timeout=60) as http:
        response = await http.get(os.environ["ENDPOINT_PATH"])
    header = response.headers.get("payment-response")
    paid = (
        decode_payment_response_header(header).model_dump(by_alias=True, exclude_none=True)
        if header
        else None
    )
    return {
        "success": response.status_code == 200,
        "data": response.json(),
        "status_code": response.status_code,
        "payment_response": paid,
    }


try:
    print(json.dumps(asyncio.run(main())))
except Exception as error:
    print(json.dumps({"success": False, "error": f"{type(error).__name__}: {error}"}))
