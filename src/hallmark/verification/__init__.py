"""Verification: what full nodes check, and what anyone checks who holds a receipt and a trust file.

- `genesis`: `Genesis`, `ProvenPlace`
- `fold`: `Replica(genesis, verify_evidence).feed(index, leaf) -> tuple[Check, ...]`, `LogMisbehaviour`
- `checks`, `admission`, `disputes`: the checks, one pure function each; `reasons`: their codes
- `objections`: verdicts, faults, and what they make of an entry
- `trust`: the trust file; `dossier`: the saved receipt; `offline`: `verify_dossier`; `findings`, `live`
"""
