// The same as flow.py over stock x402 from npm: `node flow.mjs fetch|axios`.

import axios from "axios";
import { createPublicClient, http } from "viem";
import { privateKeyToAccount } from "viem/accounts";
import { wrapAxiosWithPayment } from "@x402/axios";
import { decodePaymentResponseHeader, wrapFetchWithPayment, x402Client } from "@x402/fetch";
import { toClientEvmSigner } from "@x402/evm";
import { BatchSettlementEvmScheme } from "@x402/evm/batch-settlement/client";
import { ExactEvmScheme } from "@x402/evm/exact/client";
import { UptoEvmScheme } from "@x402/evm/upto/client";

const { EVM_PRIVATE_KEY, EVM_RPC_URL: rpcUrl, RESOURCE_SERVER_URL, ENDPOINT_PATH } = process.env;
const account = privateKeyToAccount(EVM_PRIVATE_KEY);
const signer = toClientEvmSigner(account, createPublicClient({ transport: http(rpcUrl) }));
const client = new x402Client()
  .register("eip155:*", new ExactEvmScheme(signer, { rpcUrl }))
  .register("eip155:*", new UptoEvmScheme(signer, { rpcUrl }))
  .register("eip155:*", new BatchSettlementEvmScheme(signer));
const url = new URL(ENDPOINT_PATH, RESOURCE_SERVER_URL).href;

async function byFetch() {
  const response = await wrapFetchWithPayment(fetch, client)(url);
  return [response.status, await response.json(), response.headers.get("payment-response")];
}

async function byAxios() {
  const response = await wrapAxiosWithPayment(axios.create(), client).get(url);
  return [response.status, response.data, response.headers["payment-response"]];
}

try {
  const [status, data, header] = await (process.argv[2] === "axios" ? byAxios() : byFetch());
  const paid = header ? decodePaymentResponseHeader(header) : null;
  console.log(JSON.stringify({ success: status === 200, data, status_code: status, payment_response: paid }));
} catch (error) {
  console.log(JSON.stringify({ success: false, error: error.message }));
}
