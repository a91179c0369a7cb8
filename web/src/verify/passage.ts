/** A route ticket with its candidates (verification/receipts.py, route_findings.py): signed, valid, naming this node. */
import { hex0x, same, unhex, utf8 } from "./bytes.ts";
import { Candidates, digestOf, readDocument, type RouteRecord } from "./documents.ts";
import { SIGNATURE_SIZE } from "./entries.ts";
import { attempted } from "./errors.ts";
import { failure, required, type Examination } from "./examination.ts";
import { recoverStatement } from "./keys.ts";
import { structHash, Ticket, unpack } from "./typed.ts";

/** The clock skew that is allowed, ms. */
const SKEW = 60_000n;

/**
 * The gateway behind a route record (undefined: not shown), and how many candidates its ticket offered. Raises what does
 * not hold.
 */
export function passage(exam: Examination, record?: RouteRecord): { gateway: Uint8Array; offered: number } {
  const { receipt, trust, dossier } = exam;
  const bytes = exam.ticketBytes();
  const cut = Math.max(bytes.length - SIGNATURE_SIZE, 0);
  const ticket = attempted(() => unpack(Ticket, bytes.subarray(0, cut)));
  if (!ticket || (record && hex0x(structHash(ticket)) !== record.ticket)) throw failure("ticket_mismatch");
  const gateway = ticket.bytes("gateway");
  required(same(ticket.bytes("network"), receipt.bytes("network")), "wrong_network");
  const signer = attempted(() => recoverStatement(ticket, trust.chain_id, bytes.subarray(cut)));
  required(signer !== undefined && same(signer, gateway), "ticket_unsigned");
  required(trust.gateways.includes(hex0x(gateway)), "gateway_not_registered");
  const started = receipt.number("started");
  required(ticket.number("issued") <= started + SKEW, "ticket_expired");
  required(started <= ticket.number("expires") + SKEW, "ticket_expired");
  const data = utf8(dossier.documents.candidates ?? "");
  const committed = same(digestOf(Candidates, data), ticket.bytes("candidates"));
  const offered = committed ? attempted(() => readDocument(Candidates, data)) : undefined;
  if (dossier.documents.candidates === null) return { gateway, offered: 0 };
  if (!offered) throw failure("candidates_mismatch");
  const nodes = new Map(offered.candidates.map(({ node, bundle }) => [hex0x(unhex(node)), hex0x(unhex(bundle))]));
  const named = nodes.get(hex0x(receipt.bytes("node")));
  required(named !== undefined, "node_not_candidate");
  required(named === hex0x(receipt.bytes("bundle")), "candidate_bundle");
  return { gateway, offered: nodes.size };
}
