"""What one answer costs in processor time, by service.

    python bench/cost.py --home DIR [--answers N] [--json FILE]

Asks a running network one question at a time, streamed, with pauses, and reads the processor time of each of
its processes from /proc before and after, less what they use when nobody asks.
"""

from __future__ import annotations

import argparse
import json
import os
import time
import urllib.request
from collections import Counter
from pathlib import Path

TICK_MS = 1000 / os.sysconf("SC_CLK_TCK")
QUESTION = {
    "model": "pydoc",
    "stream": True,
    "messages": [{"role": "user", "content": "What does os.mkfifo do?"}],
}


def spent(home: str) -> Counter[str]:
    """Processor milliseconds so far, by service."""
    total: Counter[str] = Counter()
    for process in Path("/proc").glob("[0-9]*"):
        try:
            command = (process / "cmdline").read_text().replace("\0", " ")
            fields = (process / "stat").read_text().rsplit(")", 1)[1].split()
        except OSError:
            continue
        if "/app/enclave.py" in command and "bwrap" not in command:
            total["enclave"] += (int(fields[11]) + int(fields[12])) * TICK_MS
        elif f"{home}/services/" in command and "-m hallmark." in command:
            # hallmark.services.log is the log, hallmark.apps.web the pages
            name = command.split("-m hallmark.")[1].split()[0].split(".")[-1]
            total[name] += (int(fields[11]) + int(fields[12])) * TICK_MS
    return total


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--home", required=True)
    parser.add_argument("--answers", type=int, default=200)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    home = str(Path(args.home).expanduser().absolute())
    url = json.loads(Path(home, "client.json").read_text())["base_url"] + "/v1/chat/completions"
    body = json.dumps(QUESTION).encode()
    before = spent(home)
    time.sleep(10)
    idle = {name: (value - before[name]) / 10 for name, value in spent(home).items()}
    before, began = spent(home), time.time()
    for _ in range(args.answers):
        request = urllib.request.Request(url, body, {"content-type": "application/json"})
        urllib.request.urlopen(request).read()
        time.sleep(0.05)
    time.sleep(2)
    took = time.time() - began
    cost = {n: (v - before[n] - idle[n] * took) / args.answers for n, v in spent(home).items()}
    for name, value in sorted(cost.items(), key=lambda item: -item[1]):
        print(f"{name:<10}{value:8.2f} ms an answer")
    print(f"{'all':<10}{sum(cost.values()):8.2f} ms an answer   load {os.getloadavg()[0]:.1f}")
    if args.json:
        args.json.write_text(json.dumps({"answers": args.answers, "ms": cost}, indent=1))


if __name__ == "__main__":
    main()
