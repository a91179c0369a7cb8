"""Starts an enclave as whoever runs this, without root, and prints what its probes found as JSON."""

from __future__ import annotations

import asyncio
import json
import os
from pathlib import Path

from hallmark.services.enclave.runtime import Beacon
from hallmark.services.node import machine
from hallmark.services.node.enclave_start import Starter
from hallmark.testing import enclaves


async def main() -> None:
    """Start, probe, print, stop."""
    launcher = enclaves.launcher(Path(__file__).with_name("probe_app.py"))
    running = await Starter(launcher, enclaves.root(), 60).start(
        enclaves.cargo(),
        epoch=1,
        beacon=Beacon(0, bytes(32)),
        on_message=lambda _message: None,
        on_ended=lambda: None,
    )
    found = json.loads(await enclaves.ask(running, "/probes", str(os.getppid()).encode()))
    found["threads"] = json.loads(await enclaves.ask(running, "/threads"))
    found["insecure"] = machine.insecure_facts(launcher.confinement)
    await running.link.close()
    print(json.dumps(found))


asyncio.run(main())
