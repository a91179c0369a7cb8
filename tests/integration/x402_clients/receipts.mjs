// @x402/extensions reads what a 402 and its PAYMENT-RESPONSE sign: `node receipts.mjs FILE`, where FILE is JSON with
// both headers and the payer. Prints who signed each offer and the receipt, and whether they belong together.

import { readFileSync } from "node:fs";
import { decodePaymentRequiredHeader } from "@x402/core/http";
import {
  decodeSignedOffers,
  extractOffersFromPaymentRequired,
  extractReceiptFromResponse,
  findAcceptsObjectFromSignedOffer,
  verifyOfferSignatureEIP712,
  verifyReceiptMatchesOffer,
  verifyReceiptSignatureEIP712,
} from "@x402/extensions/offer-receipt";

const said = JSON.parse(readFileSync(process.argv[2], "utf8"));
const required = decodePaymentRequiredHeader(said.required);
const offers = extractOffersFromPaymentRequired(required);
const signers = [];
for (const offer of offers) signers.push((await verifyOfferSignatureEIP712(offer)).signer);
const receipt = extractReceiptFromResponse(new Response(null, { headers: { "PAYMENT-RESPONSE": said.response } }));
const signed = await verifyReceiptSignatureEIP712(receipt);
const decoded = decodeSignedOffers(offers);
console.log(
  JSON.stringify({
    signers: [...signers, signed.signer].map((one) => one.toLowerCase()),
    schemes: decoded.map((one) => findAcceptsObjectFromSignedOffer(one, required.accepts)?.scheme),
    matches: decoded.map((one) => verifyReceiptMatchesOffer(receipt, one, [said.payer])),
    receipt: signed.payload,
  }),
);
