"""Check a receipt or an answer by hand: python verify_receipt.py FILE trust.toml [request.json].

FILE is any file that Hallmark hands out: what `--save` wrote, the explorer's file or PDF, a gateway's reply
about a receipt, or an answer as it came (JSON or event stream), with the request's exact body beside it.
Nothing of Hallmark is imported. docs/verify-by-hand.md walks through it and lists what it leaves out.

Exit code 0: all four steps hold, on everything; 3: what is in the file holds, and what is not in it is said;
1: something does not hold; 2: this is not a file to check.
"""
# ruff: noqa: E731

import base64
import hashlib
import json
import re
import sys
import tomllib
import zlib
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
ZERO = "0x" + "00" * 32
PATHS = ("/v1/chat/completions", "/v1/completions", "/v1/embeddings", "/v1/hallmark/infer")
PATHS += ("/v1/images/generations",)  # not /v1/images/edits: its body is a form, and no text
sha = lambda *parts: hashlib.sha256(b"".join(parts)).digest()
keccak256 = lambda *parts: keccak.new(digest_bits=256, data=b"".join(parts)).digest()
unhex = lambda text: bytes.fromhex(re.fullmatch("0x((?:[0-9a-f]{2})*)", text)[1])
unbase64 = lambda text: base64.b64decode(text, validate=True)
missing = []


class DoesNotHold(Exception):
    """What was claimed is not so."""


def require(holds, what):
    """Go on only if it holds."""
    if not holds:
        raise DoesNotHold(what)


def there(value, what):
    """Whether something is in the file; if not, that is said at the end."""
    if value in (None, "", b""):
        missing.append(what)
    return value not in (None, "", b"")


def check_receipt(d, trust):
    """1. The node's key signed this receipt (EIP-712) for this network, and its id is the struct hash."""
    r, fields = d["receipt"], [field.split() for field in RECEIPT.split(",")]
    require(list(r) == [name for _, name in fields], "the receipt has its fields, in order")
    words = [r[n].to_bytes(32, "big") if k[0] == "u" else unhex(r[n]).rjust(32, b"\0") for k, n in fields]
    struct = keccak256(keccak256(f"Receipt({RECEIPT})".encode()), *words)
    kind = keccak256(b"EIP712Domain(string name,string version,uint256 chainId)")
    domain = keccak256(kind, keccak256(b"Hallmark"), keccak256(b"1"), trust["chain_id"].to_bytes(32, "big"))
    signature, digest = unhex(d["signature"]), keccak256(b"\x19\x01", domain, struct)
    raw = signature[:64] + bytes([signature[64] - 27])
    key = PublicKey.from_signature_and_message(raw, digest, hasher=None).format(compressed=False)
    require(keccak256(key[1:])[12:] == unhex(r["node"]), "the node signed the receipt")
    require(d["id"] == "0x" + struct.hex() and d["chain_id"] == trust["chain_id"], "the id is the receipt's")
    network = sha(b"hallmark/network/v1\0", trust["origin"].encode())
    require(network == unhex(r["network"]) == unhex(d["network"]), "the receipt belongs to this network")
    packed = b"".join(word[-SIZE[kind] :] for (kind, _), word in zip(fields, words, strict=True))
    return r, b"\1\10" + packed + b"\1" + signature


def check_exchange(d, r):
    """2a. Request and answer are the ones whose salted digests the receipt holds."""
    salts, request, response = d.get("salts") or {}, d.get("request"), d.get("response")
    if there(request, "the request, to be compared") and there(salts.get("request"), "the request's salt"):
        salt, body = unhex(salts["request"]), request["body"].encode()
        paths = [p.encode() for p in (PATHS if request["path"] is None else (request["path"],))]
        sent = [sha(b"hallmark/request/v1\0", salt, len(p).to_bytes(2, "big"), p, body) for p in paths]
        require(unhex(r["request"]) in sent, "the request is the one that was signed, byte for byte")
    if there(response, "the answer, to be compared") and there(salts.get("response"), "the answer's salt"):
        came = sha(b"hallmark/response/v1\0", unhex(salts["response"]), response["body"].encode())
        require(came == unhex(r["response"]), "the answer is the one that was signed, byte for byte")


def check_documents(d, r):
    """2b. Every document is the one that the receipt, or its bundle, commits to."""
    docs = d["documents"]
    bundle = json.loads(docs["bundle"])
    for name in ("bundle", "configuration", "manifest", "parameters", "payment", "route", "upstream"):
        digest = bundle[name] if name == "configuration" else r[name]
        text = docs.get(name)
        if digest == ZERO:
            require(not text, f"no {name} document belongs to it")
        elif there(text, f"the {name} document"):
            tag = f"hallmark/{'key-bundle' if name == 'bundle' else name}/v1\0".encode()
            require(sha(tag, text.encode()) == unhex(digest), f"the {name} document")
    if docs.get("configuration"):  # a receipt that came by a lookup repeats nothing: its list is empty
        off = json.loads(docs["configuration"])["insecure"]
        require(off == [] and d.get("insecure", []) == [], "no check was switched off")
    require(bundle["signing_key"] == r["node"] and bundle["mode"] in (0, 1), "the bundle is the node's")
    require(r["mode"] in (bundle["mode"], 2), "the mode is one that what confines the node allows")
    records = [sha(b"\0", text.encode()) for text in docs.get("inputs") or ()]
    if r["inputs"] == "0x" + sha().hex() or there(records or None, "the records of outside inputs"):
        require(merkle(records) == unhex(r["inputs"]), "the records of outside inputs")
    require((r["artifact"] == ZERO) != (r["upstream"] == ZERO), "it names an artifact or a provider")
    if r["artifact"] == ZERO:
        require(r["mode"] != 2, "a provider's answer is never replay")
        said = json.loads(docs["upstream"]) if docs.get("upstream") else {}
        return f"a provider's, {said.get('url', 'named in the record')}: asserted, measured by nobody"
    manifest = json.loads(docs["manifest"]) if docs.get("manifest") else {"artifact": r["artifact"]}
    require(manifest["artifact"] == r["artifact"] in bundle["artifacts"], "the artifact is the manifest's")
    if r["mode"] == 2:  # docs/modes.md; that anybody ran it again is shown by nothing here
        require(manifest.get("format", "integer-exact") == "integer-exact", "the manifest allows the mode")
        traced = not docs.get("parameters") or "trace_root" in json.loads(docs["parameters"])
        require(traced, "the parameters name a trace")
    return f"{manifest.get('label', '?')} {manifest.get('version', '?')}, artifact {r['artifact']}"


def merkle(nodes):
    """RFC 9162 section 2.1.1: the root over leaf hashes."""
    if len(nodes) < 2:
        return nodes[0] if nodes else sha()
    half = 1 << (len(nodes) - 1).bit_length() - 1
    return sha(b"\1", merkle(nodes[:half]), merkle(nodes[half:]))


def check_evidence(d, r, trust, registration):
    """3. Evidence under an accepted root names an accepted image, and binds this bundle and a checkpoint."""
    raw = unbase64(d["evidence"])
    require(registration[:2] == b"\1\1" and registration[35:55] == unhex(r["node"]), "its registration")
    require(registration[75:139] == unhex(r["bundle"]) + sha(raw), "it is of this bundle and evidence")
    kind, start = raw[1 : 1 + raw[0]].decode(), 5 + raw[0]
    require(kind in ("nitro", "nitro-dev"), f"evidence that this program can read (it is {kind})")
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


def read(data, request):
    """A file that was handed out, as the members of a saved receipt; see this program's first lines."""
    once = lambda pairs: require(len(dict(pairs)) == len(pairs), "every member stands once") or dict(pairs)
    load = lambda text: json.loads(text, object_pairs_hook=once)
    if data.startswith(b"%PDF-"):  # the explorer's PDF has the receipt attached (ISO 32000-2, 7.3.8)
        parts = map(inflated, re.split(rb"stream\r?\n", data))
        data = next((part for part in parts if b'"hallmark.dossier/1"' in part[:200]), b"")
    if re.match(rb"\s*\{", data) and b'"hallmark.dossier/1"' in data[:200]:
        return load(data)
    before, mark, after = data.rpartition(b',"hallmark":')
    start = before.rfind(b"\n\n") + 2 if b"\n\n" in before else 0
    if before[start:].startswith(b"data: "):  # a stream: all events but the receipt's and [DONE] are signed
        event, rest = (mark + after).split(b"\n\n", 1)
        require(rest.endswith(b"data: [DONE]\n\n"), "the stream ended with [DONE]")
        answer, said = before[:start] + rest.removesuffix(b"data: [DONE]\n\n"), event[len(mark) : -1]
    else:  # a JSON answer: all of it but its last member is signed
        answer, said = before + b"}", after.rstrip()[:-1]
    d = load(said)
    sent = {"path": d.get("path"), "body": request.decode()} if request is not None else None
    return d | {"response": {"body": answer.decode()}, "request": sent}


def inflated(part):
    """What a part of a PDF inflates to, at most 64 MiB; itself if it is not deflated."""
    try:
        return zlib.decompressobj().decompress(part, 64 << 20)
    except zlib.error:
        return part.removesuffix(b"\nend")


def check(d, trust):
    """All four steps on what is there."""
    r, signed = check_receipt(d, trust)
    check_exchange(d, r)
    model, route = check_documents(d, r), json.loads(d["documents"]["route"])
    print(f"receipt  {d['id']}, signed by node {r['node']}")
    entry, register = d.get("entry") or {}, d.get("registration") or {}
    who = ran = None
    if there(entry.get("proof"), "the proof that the receipt stands in the log"):
        data, who = check_place(entry, trust)
        texts = (d["documents"]["route"], d["documents"].get("candidates") or "")
        beside = [*(text.encode() for text in texts), unhex(d.get("ticket") or "0x")]
        if r["payment"] != ZERO:
            record, by_payer = d["documents"].get("payment") or "", d.get("payment_authorization") or ""
            beside += [record.encode(), unbase64(by_payer)]
        signed += bytes([len(beside)]) + b"".join(len(part).to_bytes(4, "big") + part for part in beside)
        require(data == signed, "the log entry is this receipt")
    if there(register.get("proof"), "the node's registration in the log") and there(who, "its log time"):
        registration = check_place(register, trust)[0]
        if there(d.get("evidence"), "evidence for measured code"):
            ran = check_evidence(d, r, trust, registration)
    print(f"ran      {ran or 'NOT SHOWN: whoever holds the key that signed'}\nmodel    {model}")
    print(f"route    {route['path']}: prompt seen by {', '.join(route['saw_prompt'])}")
    print(f"proved   {'checked by ' + who if who else 'NOT SHOWN'}")


def main(names):
    """Check the files of this name; the exit code."""
    missing.clear()
    try:
        data, trusted, *request = (Path(name).read_bytes() for name in names[:3])
        trust = tomllib.loads(trusted.decode())
        d = read(data, request[0] if request else None)
        require(isinstance(d.get("receipt"), dict), "a receipt is in the file")
    except DoesNotHold as error:
        print(f"DOES NOT HOLD: {error}", file=sys.stderr)
        return 1
    except Exception as error:
        print(f"This is not a file to check ({type(error).__name__}).\n{__doc__}", file=sys.stderr)
        return 2
    try:
        check(d, trust)
    except Exception as error:  # a part that cannot be read is not what was signed, whatever stumbles over it
        what = str(error) if isinstance(error, DoesNotHold) else f"a part of it ({type(error).__name__})"
        print(f"DOES NOT HOLD: {what}", file=sys.stderr)
        return 1
    print("".join(f"not in the file: {what}\n" for what in missing), end="")
    print("None of this says that the answer is good, or what was objected to or revoked later.")
    return 3 if missing else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
