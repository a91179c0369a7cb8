// Stock x402 middleware from npm in front of four pages: `node shop.mjs SETTINGS`. Settings as in shop.py.

import { readFileSync } from "node:fs";
import express from "express";
import { HTTPFacilitatorClient } from "@x402/core/server";
import { paymentMiddleware, setSettlementOverrides, x402ResourceServer } from "@x402/express";
import { BatchSettlementChannelManager, BatchSettlementEvmScheme } from "@x402/evm/batch-settlement/server";
import { ExactEvmScheme } from "@x402/evm/exact/server";
import { UptoEvmScheme } from "@x402/evm/upto/server";

const settings = JSON.parse(readFileSync(process.argv[2], "utf8"));
const { network, payTo, asset } = settings;
const bearer = { Authorization: `Bearer ${settings.secret}` };
const facilitator = new HTTPFacilitatorClient({
  url: settings.facilitator,
  createAuthHeaders: async () => ({ verify: bearer, settle: bearer, supported: bearer }),
});
const channels = new BatchSettlementEvmScheme(payTo);
const server = new x402ResourceServer(facilitator)
  .register(network, new ExactEvmScheme())
  .register(network, new UptoEvmScheme())
  .register(network, channels);

const costs = (scheme, extra = {}) => ({
  accepts: [{ scheme, payTo, network, price: { amount: settings.price, asset, extra: { ...settings.extra, ...extra } } }],
});
const routes = {
  "GET /exact": costs("exact"),
  "GET /permit2": costs("exact", { assetTransferMethod: "permit2" }),
  "GET /upto": costs("upto", { assetTransferMethod: "permit2" }),
  "GET /batch": costs("batch-settlement"),
};

const app = express();
app.use(paymentMiddleware(routes, server));
for (const path of ["/exact", "/permit2"]) app.get(path, (_request, response) => response.json({ answer: 42 }));
for (const path of ["/upto", "/batch"]) {
  app.get(path, (_request, response) => {
    setSettlementOverrides(response, { amount: settings.charged });
    response.json({ answer: 42 });
  });
}
app.post("/claim", async (_request, response, next) => {
  try {
    const manager = new BatchSettlementChannelManager({ scheme: channels, facilitator, receiver: payTo, token: asset, network });
    const done = await manager.claimAndSettle();
    response.json({ claims: done.claims.length, refunds: (await manager.refund()).length });
  } catch (error) {
    next(error);
  }
});
app.listen(settings.port, "127.0.0.1");
