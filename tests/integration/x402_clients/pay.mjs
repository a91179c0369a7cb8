// Stock x402 from npm pays: `node pay.mjs ORDERS`. Orders as in pay.py, each with `client`: fetch or axios.

import { readFileSync } from "node:fs";
import axios from "axios";
import { createPublicClient, http } from "viem";
import { privateKeyToAccount } from "viem/accounts";
import { wrapAxiosWithPayment } from "@x402/axios";
import { decodePaymentResponseHeader, wrapFetchWithPayment, x402Client } from "@x402/fetch";
import { toClientEvmSigner } from "@x402/evm";
import { BatchSettlementEvmScheme } from "@x402/evm/batch-settlement/client";
import { ExactEvmScheme } from "@x402/evm/exact/client";
import { UptoEvmScheme } from "@x402/evm/upto/client";

const said = JSON.parse(readFileSync(process.argv[2], "utf8"));
const rpcUrl = said.rpc;
const account = privateKeyToAccount(said.key);
const signer = toClientEvmSigner(account, createPublicClient({ transport: http(rpcUrl) }));

// Its own caps know stablecoins alone, so they are off here.
function clientFor(way) {
  const client = new x402Client().setSpendControls(false);
  if (way === "upto") return client.register("eip155:*", new UptoEvmScheme(signer, { rpcUrl }));
  if (way === "batch-settlement") return client.register("eip155:*", new BatchSettlementEvmScheme(signer));
  const wanted = way === "permit2" ? "permit2" : undefined;
  client.registerPolicy((_version, offers) => offers.filter((one) => one.extra?.assetTransferMethod === wanted));
  return client.register("eip155:*", new ExactEvmScheme(signer, { rpcUrl }));
}

function told(status, body, chunks, first, header) {
  return { status, body, chunks, first, payment: header ? decodePaymentResponseHeader(header) : null };
}

// Reads an answer to its end; `arrived` is told of each piece, as in pay.py.
async function read(stream, order, started) {
  const decoder = new TextDecoder();
  let [body, chunks, first] = ["", 0, 0];
  for await (const part of stream) {
    if (order.arrived) await fetch(order.arrived, { method: "POST" });
    first ||= (performance.now() - started) / 1000;
    body += decoder.decode(part, { stream: true });
    chunks += 1;
  }
  return [body, chunks, first];
}

async function byFetch(pay, order) {
  const init = { method: order.method ?? "GET" };
  if (order.json !== undefined) {
    init.body = JSON.stringify(order.json);
    init.headers = { "content-type": "application/json" };
  }
  const started = performance.now();
  const response = await pay(order.url, init);
  const answer = await read(response.body, order, started);
  return told(response.status, ...answer, response.headers.get("payment-response"));
}

async function byAxios(pay, order) {
  const started = performance.now();
  const response = await pay.request({
    url: order.url,
    method: order.method ?? "GET",
    data: order.json,
    responseType: "stream",
    validateStatus: (status) => status !== 402,
  });
  const answer = await read(response.data, order, started);
  return told(response.status, ...answer, response.headers["payment-response"]);
}

const results = [];
for (const order of said.orders) {
  const client = clientFor(order.way);
  const axiosClient = order.client === "axios";
  const pay = axiosClient ? wrapAxiosWithPayment(axios.create(), client) : wrapFetchWithPayment(fetch, client);
  const done = [];
  for (let times = order.times ?? 1; times > 0; times--) {
    try {
      done.push(await (axiosClient ? byAxios(pay, order) : byFetch(pay, order)));
    } catch (error) {
      const said = error.response ? (await read(error.response.data, {}, 0))[0] : "";
      done.push(told(error.response?.status ?? 0, `${error.message} ${said}`, 0, 0, null));
    }
  }
  results.push(done);
}
// @x402/axios leaves the body of a 402 unread, and with it a connection open that nobody waits for.
process.stdout.write(`${JSON.stringify(results)}\n`, () => process.exit(0));
