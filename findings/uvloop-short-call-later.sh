#!/usr/bin/env bash
# uvloop 0.23.0: `loop.call_later` with less than half a millisecond to wait is rounded to no wait at all, and then returns
# a plain `Handle`, which has no `when()`, where asyncio and uvloop's own longer waits return a `TimerHandle`. Code that asks
# a pending timer when it is due works for hours and fails in the one run whose rest of a wait was that short.
#
# Seen:
#   asyncio 0.0004 s: when() yes
#   uvloop  0.0006 s: when() yes
#   uvloop  0.0004 s: when() no
set -euo pipefail
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q --disable-pip-version-check uvloop==0.23.0
"$folder/venv/bin/python" - <<'PY'
import asyncio
import sys

import uvloop


def has_when(loop: asyncio.AbstractEventLoop, seconds: float) -> bool:
    handle = loop.call_later(seconds, print)
    found = hasattr(handle, "when")
    handle.cancel()
    loop.close()
    return found


seen = [
    ("asyncio", 0.0004, has_when(asyncio.new_event_loop(), 0.0004)),
    ("uvloop ", 0.0006, has_when(uvloop.new_event_loop(), 0.0006)),
    ("uvloop ", 0.0004, has_when(uvloop.new_event_loop(), 0.0004)),
]
for name, seconds, found in seen:
    print(f"{name} {seconds} s: when() {'yes' if found else 'no'}")
sys.exit(0 if [found for *_, found in seen] == [True, True, False] else 1)
PY
