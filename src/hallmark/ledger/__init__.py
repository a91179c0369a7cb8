"""The log as everybody can check it: RFC 6962 trees and the C2SP formats around them.

Public API, by module (sizes and indices count leaves; hashes are 32 bytes; times are unix ms):

merkle      leaf_hash(leaf), node_hash(l, r), root(leaf_hashes), EMPTY_ROOT, CompactRange(size, peaks)
            inclusion_proof(index, size, node), consistency_proof(old, new, node), root_at(size, node)
            verify_inclusion(leaf_hash, index, size, proof, root)
            verify_consistency(old, new, proof, *, old_root, new_root)
tree        Tree(load): stage(leaf_hashes) -> (Edge, full tiles), adopt(edge), restore(size, partials),
            root(size=None), inclusion_proof(index, size), consistency_proof(old, new)
note        SigningKey(name, kind, seed).sign(text) / .cosign(text, now) / .vkey, VerifierKey.parse(vkey),
            Note.parse(bytes) / .encode(), NoteSignature, verify_signature(key, text, signature),
            ED25519 = 0x01 (log), COSIGNATURE = 0x04 (witness)
checkpoint  Checkpoint(origin, size, root).encode() / .parse(text), sign(checkpoint, key) -> Note,
            verify_log_signature(note, keys) -> LogSigned
policy      Policy.parse(text) (.logs, .witnesses: Party(name, key, url); .log_keys; .is_met(names)),
            verify_quorum(policy, note) -> VerifiedCheckpoint(checkpoint, signers, times, note),
            cosignatures(policy, log_signed) -> {name: time}
proof       Proof(index, path, note).encode() / .parse(text),
            verify_proof(policy, leaf bytes, text)
            -> VerifiedProof(index, leaf_hash, checkpoint, signers, times)
witness     Witness(key, logs, state, check=None); await .add_checkpoint(body, now) -> signature line,
            check(old_size, new_size, checkpoint) raises to refuse; AddCheckpoint(old_size, proof, note);
            http_reply(error) -> (status, content type, body); WitnessState (protocol), State(size, root)
tiles       TileName(level or None, index, width).path / .parse(path), entry_bundles(start, end),
            encode_bundle(leaves), decode_bundle(bytes)
store       LogStore (protocol) and its parts; sql_store.SQLLogStore, sql_store.SQLWitnessState over
            `hallmark.store.Database`

What is verified has a type of its own that only its verify function can make: LogSigned,
VerifiedCheckpoint, VerifiedProof. Everything else raises core errors with reason codes.
"""
