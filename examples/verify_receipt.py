"""Check a saved receipt by hand. Usage: python verify_receipt.py r.json trust.toml.
Nothing of Hallmark is imported. Each step says what it shows; the first that does not hold ends the program.
docs/verify-by-hand.md walks through it.
"""
# ruff: noqa: E731

import base64
import hashlib
import json
import re
import sys
import tomllib
from pathlib import Path

import cbor2
from coincurve import PublicKey
from Crypto.Hash import keccak
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, utils

RECEIPT = """uint8 version,bytes32 network,address node,bytes32 bundle,uint64 sequence,bytes32 previous,
bytes32 request,bytes32 response,uint8 mode,bytes32 artifact,bytes32 manifest,bytes32 upstream,
bytes32 parameters,bytes32 route,bytes32 inputs,bytes32 payment,uint128 charged,uint64 tokensIn,
uint64 tokensOut,uint64 beaconSize,bytes32 beaconRoot,uint64 started,uint64 finished,bytes32 policy,
bytes32 clientNonce""".replace("\n", "")
SIZE = {"uint8": 1, "uint64": 8, "uint128": 16, "address": 20, "bytes32": 32}
sha = lambda *parts: hashlib.sha256(b"".join(parts)).digest()
keccak256 = lambda *parts: keccak.new(digest_bits=256, data=b"".join(parts)).digest()
unhex = lambda text: bytes.fromhex(re.fullmatch("0x((?:[0-9a-f]{2})*)", text)[1])
unbase64 = lambda text: base64.b64decode(text, validate=True)


def require(holds, what):
    """Go on only if it holds."""
    if not holds:
        sys.exit(f"DOES NOT HOLD: {what}")


def check_receipt(d, trust):
    """1. The node's key signed this receipt (EIP-712) for this network, and its id is the struct hash."""
    r, fields = d["receipt"], [field.split() for field in RECEIPT.split(",")]
    require(list(r) == [name for _, name in fields], "the receipt has its fields, in order")
    words = [r[n].to_bytes(32, "big") if k[0] == "u" else unhex(r[n]).rjust(32, b"\0") for k, n in fields]
    struct = keccak256(keccak256(f"Receipt({RECEIPT})".encode()), *words)
    domain_type = keccak256(b"EIP712Domain(string name,string version,uint256 chainId)")
    named = keccak256(b"Hallmark") + keccak256(b"1") + trust["chain_id"].to_bytes(32, "big")
    domain = keccak256(domain_type, named)
    signature, digest = unhex(d["signature"]), keccak256(b"\x19\x01", domain, struct)
    raw = signature[:64] + bytes([signature[64] - 27])
    key = PublicKey.from_signature_and_message(raw, digest, hasher=None).format(compressed=False)
    require(keccak256(key[1:])[12:] == unhex(r["node"]), "the node signed the receipt")
    require(d["id"] == "0x" + struct.hex() and d["chain_id"] == trust["chain_id"], "the id is the receipt's")
    network = sha(b"hallmark/network/v1\0", trust["origin"].encode())
    require(network == unhex(r["network"]) == unhex(d["network"]), "the receipt belongs to this network")
    packed = b"".join(word[-SIZE[kind] :] for (kind, _), word in zip(fields, words, strict=True))
    return r, b"\1\10" + packed + b"\1" + signature


def check_documents(d, r):
    """2. Request, response and every document are the ones that the receipt commits to."""
    docs, salts, path = d["documents"], d["salts"], d["request"]["path"].encode()
    sent = (len(path).to_bytes(2, "big"), path, d["request"]["body"].encode())
    request = sha(b"hallmark/request/v1\0", unhex(salts["request"]), *sent)
    response = sha(b"hallmark/response/v1\0", unhex(salts["response"]), d["response"]["body"].encode())
    require((request, response) == (unhex(r["request"]), unhex(r["response"])), "request and response")
    bundle, manifest = json.loads(docs["bundle"]), json.loads(docs["manifest"])
    for name in ("bundle", "configuration", "manifest", "parameters", "route"):
        tag = f"hallmark/{'key-bundle' if name == 'bundle' else name}/v1\0".encode()
        digest = bundle[name] if name == "configuration" else r[name]
        require(sha(tag, docs[name].encode()) == unhex(digest), f"the {name} document")
    require(json.loads(docs["configuration"])["insecure"] == d["insecure"] == [], "no check was switched off")
    require(bundle["signing_key"] == r["node"] and bundle["mode"] == r["mode"], "the bundle is the node's")
    require(manifest["artifact"] == r["artifact"] in bundle["artifacts"], "the artifact is the manifest's")
    require(r["inputs"] == "0x" + sha().hex() and not docs["inputs"], "no outside inputs")
    return manifest, json.loads(docs["route"])


def check_evidence(d, r, trust, registration):
    """3. Evidence under an accepted root names an accepted image, and binds this bundle and a checkpoint."""
    raw = unbase64(d["evidence"])
    require(registration[:2] == b"\1\1" and registration[35:55] == unhex(r["node"]), "its registration")
    require(registration[75:139] == unhex(r["bundle"]) + sha(raw), "it is of this bundle and evidence")
    kind, start = raw[1 : 1 + raw[0]].decode(), 5 + raw[0]
    protected, _, payload, signature = cbor2.loads(raw[start:-4])  # Nitro has no collateral behind it
    doc = cbor2.loads(payload)
    require(f"0x{sha(doc['cabundle'][0]).hex()}" in trust["attestation"]["roots"][kind], "an accepted root")
    chain = [x509.load_der_x509_certificate(c) for c in (*doc["cabundle"], doc["certificate"])]
    for issuer, certificate in zip([chain[0], *chain], chain, strict=False):
        certificate.verify_directly_issued_by(issuer)
        since, until = certificate.not_valid_before_utc, certificate.not_valid_after_utc
        require(since.timestamp() <= doc["timestamp"] / 1000 <= until.timestamp(), "a valid certificate")
    halves = (int.from_bytes(signature[at : at + 48], "big") for at in (0, 48))
    signed = cbor2.dumps(["Signature1", protected, b"", payload])  # COSE_Sign1, RFC 9052 section 4.4
    chain[-1].public_key().verify(utils.encode_dss_signature(*halves), signed, ec.ECDSA(hashes.SHA384()))
    pcrs = {f"PCR{index}": "0x" + value.hex() for index, value in doc["pcrs"].items()}
    images = [m for m in trust["measurement"] if m["registers"].items() <= pcrs.items()]
    require(images and images[0]["evidence"] == kind, "an accepted image")
    bundle = b"hallmark/key-bundle/v1\0" + d["documents"]["bundle"].encode()
    require(doc["user_data"] == hashlib.sha512(bundle).digest(), "the evidence binds the bundle")
    require(doc["nonce"] == sha(b"hallmark/nonce/v1\0", registration[139:179]), "it answers a checkpoint")
    require(d["entry"]["admitted"] - doc["timestamp"] <= trust["attestation"]["max_age"], "fresh evidence")
    return f"image {images[0]['name']}, {'SIMULATED hardware' if kind == 'nitro-dev' else kind}"


def check_place(part, trust):
    """4. The entry stands in a checkpoint that the log signed and a quorum of full nodes cosigned."""
    head, body, lines = part["proof"].split("\n\n")
    (_, index, *path), (origin, size, root) = head.split("\n"), body.split("\n")
    node = sha(b"\0", part["admitted"].to_bytes(8, "big"), unbase64(part["bytes"]))
    at, last = part["index"], int(size) - 1
    for sibling in map(unbase64, path):  # RFC 9162 section 2.1.3.2
        node = sha(b"\1", sibling, node) if at % 2 or at == last else sha(b"\1", node, sibling)
        while at == last and at % 2 == 0 and at:
            at, last = at // 2, last // 2
        at, last = at // 2, last // 2
    require(node == unbase64(root) and not last and index == f"index {part['index']}", "it is in the log")
    policy = [line.split() for line in trust["tlog_policy"].splitlines()]
    vkeys = [words[1 if words[0] == "log" else 2] for words in policy if words[0] in ("log", "witness")]
    keys, found = {vkey.split("+")[0]: unbase64(vkey.split("+", 2)[2]) for vkey in vkeys}, set()
    for line in lines.strip().split("\n"):
        name, encoded = line.removeprefix("\u2014 ").split(" ")
        require(name in keys, f"a signature by a party of the trust file: {name}")
        kind, data, message = keys[name][0], unbase64(encoded), (body + "\n").encode()
        require(data[:4] == sha(name.encode(), b"\n", keys[name])[:4], f"the key id of {name}")
        if kind == 4:  # cosignature/v1: u64be time, then a signature over time and checkpoint
            time, data = int.from_bytes(data[4:12], "big"), data[8:]
            message = f"cosignature/v1\ntime {time}\n".encode() + message
        ed25519.Ed25519PublicKey.from_public_bytes(keys[name][1:]).verify(data[4:], message)
        found.add((kind, name))
    cosigned, quorum = len(found) - 1, next(int(w[2]) for w in policy if w[0] == "group")
    require((1, origin) in found and cosigned >= quorum, "a quorum cosigned")
    return unbase64(part["bytes"]), f"{cosigned} full nodes (quorum {quorum}) at size {size}"


saved, trusted = (Path(name).read_text(encoding="utf-8") for name in sys.argv[1:3])
once = lambda pairs: require(len(dict(pairs)) == len(pairs), "every member stands once") or dict(pairs)
d, trust = json.loads(saved, object_pairs_hook=once), tomllib.loads(trusted)
r, signed = check_receipt(d, trust)
manifest, route = check_documents(d, r)
(entry, who), registration = check_place(d["entry"], trust), check_place(d["registration"], trust)[0]
texts = (d["documents"]["route"], d["documents"]["candidates"] or "")
beside = [*(text.encode() for text in texts), unhex(d["ticket"] or "0x")]
signed += b"\3" + b"".join(len(part).to_bytes(4, "big") + part for part in beside)
require(entry == signed, "the log entry is this receipt")
print(f"receipt  {d['id']}, signed by node {r['node']}\nran      {check_evidence(d, r, trust, registration)}")
print(f"model    {manifest['label']} {manifest['version']}, artifact {r['artifact']}")
print(f"route    {route['path']}: prompt seen by {', '.join(route['saw_prompt'])}\nproved   checked by {who}")
print("None of this says that the answer is good, or what was objected to or revoked later.")
