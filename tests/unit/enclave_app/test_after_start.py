"""In a fresh process: nothing is loaded after start, and bits do not depend on the environment."""

from __future__ import annotations

import os
import subprocess
import sys

PROGRAM = """
import asyncio, hashlib, json, pathlib, sys, tempfile, threading
from hallmark.services.enclave.app import create_app
from hallmark.testing import tiny_models
from hallmark.testing.runtime import MemoryRuntime, model_of
from hallmark.testing.upstream import FakeUpstream, json_answer

def executable():
    return {line.split()[-1] for line in open("/proc/self/maps") if " r-xp " in line and "/" in line}

server = FakeUpstream(json_answer(b'{"id":"1","choices":[]}'))
runtime = MemoryRuntime(
    {
        "tiny": model_of("tiny", tiny_models.language_artifact(), "onnxruntime-genai"),
        "scores": model_of("scores", tiny_models.tensor_artifact(), "onnx"),
    },
    upstreams={"up": "http://up.invalid/v1"},
    dialer=server.dial,
)
with tempfile.TemporaryDirectory() as scratch:
    app = create_app(runtime, scratch=pathlib.Path(scratch))
before, threads, modules = executable(), threading.active_count(), set(sys.modules)
opened, answers = [], hashlib.sha256()
sys.addaudithook(lambda event, args: opened.append(str(args[0])) if event == "open" else None)

async def post(path, body):
    sent = json.dumps(body).encode()
    messages = iter([{"type": "http.request", "body": sent, "more_body": False}])
    async def receive():
        for message in messages:
            return message
        await asyncio.Event().wait()
    async def send(message):
        answers.update(message.get("body", b"").split(b'"hallmark"')[0])
    await app({"type": "http", "path": path, "method": "POST", "headers": []}, receive, send)

async def main():
    user = [{"role": "user", "content": "hello"}]
    for n in range(8):
        for body in ({}, {"stream": True}, {"temperature": 2, "seed": n, "max_tokens": 40}):
            await post("/v1/chat/completions", {"model": "tiny", "messages": user} | body)
    await post("/v1/completions", {"model": "tiny", "prompt": "zz", "max_tokens": 60})
    await post("/v1/hallmark/infer", {"model": "scores", "inputs": {"x": [[0.1, 0.2, 0.3, 0.4]] * 5}})
    await post("/v1/hallmark/infer", {"model": "scores", "inputs": {"x": 1}})
    await post("/v1/chat/completions", {"model": "up", "messages": user})
    await post("/v1/nothing", {})

asyncio.run(main())
late = [name for name in opened if name.endswith((".so", ".py", ".pyc"))]
print(json.dumps({
    "mapped": sorted(executable() - before), "threads": threading.active_count() - threads,
    "modules": sorted(set(sys.modules) - modules), "opened": late,
    "signed": len(runtime.signed), "answers": answers.hexdigest(),
}))
"""


def run(threads: str) -> str:
    """The program's report, in a process with this many threads offered to every library."""
    environment = dict(
        os.environ, OMP_NUM_THREADS=threads, OPENBLAS_NUM_THREADS=threads, PYTHONHASHSEED=threads
    )
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True, env=environment
    )
    return done.stdout


def test_nothing_is_loaded_after_start_and_answers_are_equal_over_processes() -> None:
    """After create_app no library, module or thread is added by any kind of request; two processes with other
    thread settings give equal bytes.
    """
    first, second = run("1"), run("4")
    assert '"mapped": []' in first
    assert '"threads": 0' in first
    assert '"modules": []' in first
    assert '"opened": []' in first
    assert '"signed": 27' in first
    assert first == second
