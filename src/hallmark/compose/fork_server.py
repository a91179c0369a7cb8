"""The process that the services of one network are forked from, so that what they import is in memory once.

It imports what they share, then waits for work on an inherited SOCK_SEQPACKET socket. One datagram each way:

    to it       JSON `Order`, with the file for the service's output as SCM_RIGHTS
    from it     JSON `Begun` for each order in turn, with a pidfd as SCM_RIGHTS
                JSON `Ended` whenever a service has ended

A service is a fork that runs its module's `main`, in a session of its own. It gets SIGTERM when
this process ends, as this one does when the supervisor ends. This process has one thread, holds no key, opens
no file and keeps no connection but the one to its supervisor: a fork has nothing of another service's.
"""

from __future__ import annotations

import atexit
import contextlib
import gc
import importlib
import os
import select
import signal
import socket
import sys
import threading
import traceback
from collections.abc import Callable
from typing import Final

import msgspec

from hallmark.compose.process import die_with_parent, name_process

PRELOADED: Final = (
    "hallmark.services.log",
    "hallmark.services.fullnode",
    "hallmark.services.node",
    "hallmark.services.gateway",
    "hallmark.services.anchor",
    "hallmark.services.chain",
    "hallmark.services.relay",
    "hallmark.services.issuer",
    "hallmark.services.hub",
    "hallmark.apps.web",
    "hallmark.compose.vault_keeper",
)
PRELOADED_LATE: Final = ("eth_account", "eth_abi.abi", "eth_utils.address")
"""What services import only when they need it, because it takes a second, which no start waits for."""
LIMIT: Final = 1 << 16


class Order(msgspec.Struct, frozen=True):
    """Run `module` with `arguments`, `nice` steps below this process's priority."""

    name: str
    module: str
    arguments: tuple[str, ...]
    nice: int = 0


class Begun(msgspec.Struct, frozen=True, tag="begun"):
    """The order was carried out by process `pid`, whose pidfd comes along; 0: no process could be made."""

    pid: int


class Ended(msgspec.Struct, frozen=True, tag="ended"):
    """A service has ended: its exit code, or minus the number of the signal."""

    pid: int
    code: int


def main() -> None:
    """`python -m hallmark.compose.fork_server FD SUPERVISOR PADDING`: until the supervisor hangs up."""
    channel = socket.socket(fileno=int(sys.argv[1]))
    die_with_parent(int(sys.argv[2]))
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    preload()
    serve(channel)


def preload() -> None:
    """Import what services share, and freeze it."""
    limit = sys.getrecursionlimit()
    for name in PRELOADED:
        entry_of(name)
    for name in PRELOADED_LATE:
        importlib.import_module(name)
    # Some of these raise it a hundredfold: nested JSON would then end a process, not a request.
    sys.setrecursionlimit(limit)
    # What is imported is garbage of nobody: collecting it would copy its pages into every fork.
    gc.collect()
    gc.freeze()


def entry_of(name: str) -> Callable[[], None]:
    """The function `main` of a module, or of a package's `__main__`."""
    module = importlib.import_module(name)
    if hasattr(module, "__path__"):
        module = importlib.import_module(f"{name}.__main__")
    entry: Callable[[], None] = module.main
    return entry


def serve(channel: socket.socket) -> None:
    """Carry out orders and report ends until the other end of `channel` is closed."""
    woken, waker = socket.socketpair()
    woken.setblocking(False)
    waker.setblocking(False)
    signal.set_wakeup_fd(waker.fileno(), warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    while True:
        ready, _, _ = select.select([channel, woken], [], [])
        if woken in ready:
            with contextlib.suppress(BlockingIOError):
                woken.recv(LIMIT)
            for ended in _reaped():
                channel.send(msgspec.json.encode(ended))
        if channel in ready:
            data, files, _, _ = socket.recv_fds(channel, LIMIT, 1)
            if not data:
                return
            order = msgspec.json.decode(data, type=Order)
            pid = _forked(order, files, (channel, woken, waker))
            # Its pidfd goes along: it is opened before anything can have reaped the process.
            handle = [os.pidfd_open(pid)] if pid else []
            socket.send_fds(channel, [msgspec.json.encode(Begun(pid))], handle)
            for file in (*files, *handle):
                os.close(file)


def _reaped() -> list[Ended]:
    found = []
    with contextlib.suppress(ChildProcessError):
        while (status := os.waitpid(-1, os.WNOHANG))[0]:
            found.append(Ended(status[0], os.waitstatus_to_exitcode(status[1])))
    return found


def _forked(order: Order, files: list[int], ours: tuple[socket.socket, ...]) -> int:
    server = os.getpid()
    try:
        pid = os.fork()
    except OSError:
        return 0
    if pid:
        return pid
    code = 1
    try:
        _become(order, files, ours, server)
        entry_of(order.module)()
        code = 0
    except SystemExit as error:
        code = _code_of(error)
    except BaseException:
        traceback.print_exc()
    finally:
        _leave(code)
    raise AssertionError("a service outlived itself")


def _become(order: Order, files: list[int], ours: tuple[socket.socket, ...], server: int) -> None:
    """Turn this fork into the service's process: signals, session, files, name, arguments."""
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    die_with_parent(server)
    os.setsid()
    for one in ours:
        one.close()
    nothing = os.open(os.devnull, os.O_RDWR)
    os.dup2(nothing, 0)
    for target in (1, 2):
        os.dup2(files[0] if files else nothing, target)
    for file in (*files, nothing):
        os.close(file)
    if order.nice:
        os.nice(order.nice)
    name_process(order.name, f"{sys.executable} -m {order.module} {' '.join(order.arguments)}")
    sys.argv = [order.module, *order.arguments]


def _code_of(error: SystemExit) -> int:
    """What the interpreter would exit with."""
    if error.code is None or isinstance(error.code, int):
        return error.code or 0
    print(error.code, file=sys.stderr)
    return 1


def _leave(code: int) -> None:
    """End this fork as the interpreter would: threads, exit handlers, output; never the server's frames."""
    with contextlib.suppress(BaseException):
        threading._shutdown()  # type: ignore[attr-defined]
        atexit._run_exitfuncs()
    with contextlib.suppress(BaseException):
        sys.stdout.flush()
        sys.stderr.flush()
    os._exit(code)


if __name__ == "__main__":
    main()
