"""Attempts to get out of the sandbox, from inside it. Every probe must raise OSError (or find nothing).

As the application of a test image it tries everything twice: while the enclave loads (first filter, Landlock)
and while it serves (second filter). As a script, outside any sandbox, it is the control: there a probe that
cannot succeed would prove nothing.

x86-64 system call numbers; `probe_table` says what each probe means.
"""

# ruff: noqa: D103 - the table names the probes

from __future__ import annotations

import ctypes
import errno
import fcntl
import json
import mmap
import os
import resource
import socket
import struct
import sys
import threading
from collections.abc import Callable
from typing import Any

_libc = ctypes.CDLL(None, use_errno=True)
TARGET = 1
"""A process outside: the test replaces it by one that it started."""

CONTROL_MAY_FAIL = {
    # What even root outside may be refused, by kernel configuration or as the probe is harmless by design.
    "perf_event_open", "io_uring_setup", "userfaultfd", "kexec_load", "init_module", "iopl", "swapon", "bpf",
    "keyctl", "add_key", "socket_vsock", "fsopen", "syslog", "fanotify_init", "pivot_root", "change_program",
    "settimeofday_bad", "clock_settime_bad", "tiocsti", "connect_inherited", "bind_inherited", "listen",
    "accept4", "write_app", "raise_nofile", "second_filter", "unlink",
}  # fmt: skip


def call(number: int, *arguments: Any) -> int:
    """A raw system call; raises OSError with its errno."""
    values = [ctypes.c_long(a) if isinstance(a, int) else a for a in arguments]
    values += [ctypes.c_long(0)] * (6 - len(values))
    result = int(_libc.syscall(ctypes.c_long(number), *values))
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    return result


def sys_call(number: int, *arguments: Any) -> Callable[[], object]:
    return lambda: call(number, *arguments)


def open_for(path: str, flags: int) -> Callable[[], object]:
    return lambda: os.close(os.open(path, flags, 0o600))


def vm_readv() -> None:
    buffer = ctypes.create_string_buffer(8)
    vector = struct.pack("QQ", ctypes.addressof(buffer), 8)
    try:
        call(310, TARGET, vector, 1, vector, 1, 0)
    except OSError as error:
        if error.errno != errno.EFAULT:  # EFAULT: permission was given, the address was bad
            raise


def open_socket(family: int, kind: int = socket.SOCK_STREAM) -> Callable[[], object]:
    return lambda: os.close(call(41, family, kind, 0))


def exec_at() -> None:
    fd = os.open("/usr/bin/python3", os.O_PATH)
    argv = (ctypes.c_char_p * 3)(b"python3", b"-V", None)
    try:
        call(322, fd, b"", argv, None, 0x1000)
    finally:
        os.close(fd)


def execute() -> None:
    argv = (ctypes.c_char_p * 3)(b"python3", b"-V", None)
    call(59, b"/usr/bin/python3", argv, None)


def fork() -> None:
    pid = call(56, 17, 0, 0, 0, 0)  # clone(SIGCHLD)
    if pid == 0:
        os._exit(0)
    os.waitpid(pid, 0)


def map_executable() -> None:
    mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC).close()


def protect_executable() -> None:
    area = mmap.mmap(-1, 4096)
    call(10, ctypes.addressof(ctypes.c_char.from_buffer(area)), 4096, 5)


def raise_limit(which: int) -> Callable[[], object]:
    def probe() -> None:
        _, hard = resource.getrlimit(which)
        resource.setrlimit(which, (hard + 1, hard + 1) if hard != resource.RLIM_INFINITY else (hard, hard))

    return probe


def dumpable() -> None:
    call(157, 4, 1)  # prctl(PR_SET_DUMPABLE, 1)


def tiocsti() -> None:
    fcntl.ioctl(0, 0x5412, b"x")


def list_root() -> None:
    if not os.listdir("/root"):
        raise OSError(errno.ENOENT, "nothing there")


def listing(path: str) -> Callable[[], object]:
    return lambda: os.listdir(path)


def open_memory() -> None:
    with open(f"/proc/{TARGET}/mem", "rb"):
        pass


def inherited(number: int) -> Callable[[], object]:
    address = struct.pack("H", socket.AF_UNIX) + b"/run/hallmark-probe\0"
    return lambda: call(number, 3, address, len(address))


def write_new(path: str) -> Callable[[], object]:
    return open_for(path, os.O_WRONLY | os.O_CREAT)


def mount_tmpfs() -> None:
    call(165, b"none", b"/mnt", b"tmpfs", 0, None)


def bpf_map() -> None:
    attributes = struct.pack("IIII", 2, 4, 8, 1).ljust(120, b"\0")
    os.close(call(321, 0, attributes, 120))


def perf_open() -> None:
    attributes = struct.pack("IIQ", 1, 112, 0).ljust(112, b"\0")
    os.close(call(298, attributes, 0, -1, -1, 0))


def signal_outside() -> None:
    os.kill(TARGET, 0)


TMP = "/tmp/hallmark-probe"

PROBES: dict[str, Callable[[], object]] = {
    "socket_inet": open_socket(socket.AF_INET),
    "socket_inet_dgram": open_socket(socket.AF_INET, socket.SOCK_DGRAM),
    "socket_inet6": open_socket(socket.AF_INET6),
    "socket_netlink": open_socket(socket.AF_NETLINK, socket.SOCK_RAW),
    "socket_packet": open_socket(17, socket.SOCK_RAW),
    "socket_vsock": open_socket(40),
    "socket_unix": open_socket(socket.AF_UNIX),
    "connect_inherited": inherited(42),
    "bind_inherited": inherited(49),
    "listen": sys_call(50, 3, 1),
    "accept4": sys_call(288, 3, 0, 0, 0),
    "execve": execute,
    "execveat": exec_at,
    "fork": fork,
    "clone3": sys_call(435, b"\0" * 64, 64),
    "mount": mount_tmpfs,
    "umount": sys_call(166, b"/mnt", 2),
    "pivot_root": sys_call(155, b"/usr", b"/usr/nowhere"),
    "chroot": sys_call(161, b"/"),
    "unshare_user": sys_call(272, 0x10000000),
    "unshare_net": sys_call(272, 0x40000000),
    "fsopen": sys_call(430, b"tmpfs", 0),
    "open_tree": sys_call(428, -100, b"/", 1),
    "ptrace_traceme": sys_call(101, 0, 0, 0, 0),
    "ptrace_seize": lambda: call(101, 0x4206, TARGET, 0, 0),
    "process_vm_readv": vm_readv,
    "pidfd_open": lambda: os.close(call(434, TARGET, 0)),
    "kill_outside": signal_outside,
    "open_proc_mem": open_memory,
    "open_passwd": open_for("/etc/passwd", os.O_RDONLY),
    "open_shadow": open_for("/etc/shadow", os.O_RDONLY),
    "list_root_home": list_root,
    "list_proc": listing("/proc/1"),
    "list_sys": listing("/sys/kernel"),
    "list_top": listing("/"),
    "write_top": write_new("/hallmark-probe"),
    "write_usr": write_new("/usr/hallmark-probe"),
    "write_app": write_new("/app/hallmark-probe"),
    "write_dev": write_new("/dev/hallmark-probe"),
    "change_program": open_for("/usr/bin/python3", os.O_RDWR | os.O_APPEND),
    "make_directory": lambda: os.mkdir("/usr/hallmark-probe-d"),
    "symlink": lambda: os.symlink("/", TMP + "-l"),
    "mknod_device": lambda: os.mknod(TMP + "-n", 0o600 | 0o020000, os.makedev(1, 1)),
    "mknod_fifo": lambda: os.mkfifo(TMP + "-f"),
    "setuid": sys_call(105, 1),
    "setresuid": sys_call(117, 1, 1, 1),
    "setgid": sys_call(106, 1),
    "setgroups": sys_call(116, 0, 0),
    "capset": sys_call(126, struct.pack("Ii", 0x20080522, 0), struct.pack("6I", 0, 0, 0, 0, 0, 0)),
    "sethostname": sys_call(170, b"probe", 5),
    "settimeofday_bad": sys_call(164, struct.pack("qq", 1, 2_000_000), 0),
    "clock_settime_bad": sys_call(227, 1, struct.pack("qq", 1, 0)),
    "raise_nofile": raise_limit(resource.RLIMIT_NOFILE),
    "raise_core": raise_limit(resource.RLIMIT_CORE),
    "bpf": bpf_map,
    "keyctl": sys_call(250, 0, -3, 0),
    "add_key": sys_call(248, b"user", b"probe", b"x", 1, -2),
    "io_uring_setup": lambda: os.close(call(425, 4, ctypes.create_string_buffer(120))),
    "perf_event_open": perf_open,
    "userfaultfd": sys_call(323, 0),
    "memfd_create": lambda: os.close(call(319, b"probe", 0)),
    "shmget": sys_call(29, 0, 4096, 0o1600),
    "msgget": sys_call(68, 0, 0o1600),
    "inotify_init": lambda: os.close(call(294, 0)),
    "fanotify_init": lambda: os.close(call(300, 0, 0)),
    "name_to_handle_at": sys_call(303, -100, b"/", struct.pack("Ii", 128, 0).ljust(136, b"\0"),
                                  struct.pack("i", 0), 0),
    "kexec_load": sys_call(246, 0, 0, 0, 0),
    "init_module": sys_call(175, b"", 0, b""),
    "syslog": sys_call(103, 10, 0, 0),
    "iopl": sys_call(172, 3),
    "swapon": sys_call(167, b"/nowhere", 0),
    "personality_exec": sys_call(135, 0x0040000),
    "tiocsti": tiocsti,
}  # fmt: skip
"""Denied while loading and while serving."""

SERVING_ONLY: dict[str, Callable[[], object]] = {
    "socketpair": lambda: [end.close() for end in socket.socketpair()],
    "write_tmp": write_new(TMP),
    "map_executable": map_executable,
    "protect_executable": protect_executable,
    "dumpable": dumpable,
    "second_filter": sys_call(317, 1, 0, 0),
    "lower_nofile": lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64)),
    "unlink": lambda: os.unlink("/tmp/hallmark-kept"),
}
"""Needed while loading (a library, a key file), denied afterwards."""


def attempt(probe: Callable[[], object]) -> str:
    """How it went: `allowed`, or the name of the errno that denied it."""
    try:
        probe()
    except OSError as error:
        return errno.errorcode.get(error.errno or 0, str(error.errno))
    except ValueError as error:  # the resource module's word for EPERM
        return "EPERM" if "not allowed" in str(error) or "exceed" in str(error) else str(error)
    except Exception as error:
        return f"{type(error).__name__}: {error}"  # neither allowed nor denied: the test fails on it
    return "allowed"


def describe_engines(configuration: Any, models: Any) -> str:
    """The engine line of the key bundle."""
    return "probes"


def create_app(runtime: Any) -> Any:
    """Probe while loading, and serve what was found together with the probes while serving."""
    with open("/tmp/hallmark-kept", "w") as kept:
        kept.write("x")
    loading = {name: attempt(probe) for name, probe in PROBES.items()}
    filled = fill_tmp()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        body = b""
        while True:
            message = await receive()
            body += message.get("body", b"")
            if not message.get("more_body"):
                break
        answer = json.dumps(_act(scope["path"], body, loading, filled)).encode()
        headers = [(b"content-length", str(len(answer)).encode())]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": answer})

    return app


def _act(path: str, body: bytes, loading: dict[str, str], filled: int) -> Any:
    global TARGET
    TARGET = int(body or b"1")
    if path == "/probes":
        serving = {name: attempt(probe) for name, probe in (PROBES | SERVING_ONLY).items()}
        return {"loading": loading, "serving": serving, "filled": filled, "facts": facts()}
    if path.startswith("/probe/"):
        return attempt((PROBES | SERVING_ONLY)[path.removeprefix("/probe/")])
    if path == "/threads":
        return bomb_threads()
    if path == "/files":
        return bomb_files()
    if path == "/memory":
        return bomb_memory(int(body))
    if path == "/x32":
        call(0x40000000 + 39)
        return "allowed"
    return None


def facts() -> dict[str, Any]:
    """What the process can see of itself."""
    return {
        "uid": os.getuid(), "gid": os.getgid(), "pid": os.getpid(), "host": os.uname().nodename,
        "environment": dict(os.environ), "core": resource.getrlimit(resource.RLIMIT_CORE),
        "dumpable": int(_libc.prctl(3, 0, 0, 0, 0)), "descriptors": descriptors(),
    }  # fmt: skip


def descriptors() -> dict[int, str]:
    """Every open descriptor below 64 and what it is."""
    kinds = {
        0o140000: "socket",
        0o020000: "character",
        0o100000: "file",
        0o040000: "directory",
        0o010000: "pipe",
    }
    found = {}
    for number in range(64):
        try:
            status = os.fstat(number)
            mode = status.st_mode
        except OSError:
            continue
        found[number] = kinds.get(mode & 0o170000, "anonymous")
        if found[number] == "file":
            flags = fcntl.fcntl(number, fcntl.F_GETFL)
            found[number] = f"file of {status.st_size} bytes, flags {flags:o}, links {status.st_nlink}"
    return found


def bomb_threads() -> int:
    """Threads until no more start; how many there were."""
    stop = threading.Event()
    started: list[threading.Thread] = []
    try:
        while len(started) < 5000:
            thread = threading.Thread(target=stop.wait, daemon=True)
            thread.start()
            started.append(thread)
    except RuntimeError:
        pass
    finally:
        stop.set()
    return len(started)


def bomb_files() -> int:
    """Descriptors until no more open; how many there were."""
    opened: list[int] = []
    try:
        while len(opened) < 100_000:
            opened.append(os.open("/dev/null", os.O_RDONLY))
    except OSError:
        pass
    for number in opened:
        os.close(number)
    return len(opened)


def bomb_memory(limit: int) -> int:
    """Touch memory up to `limit` bytes; how much there was, if the process lives to tell."""
    held: list[bytearray] = []
    size = 16 << 20
    try:
        while len(held) * size < limit:
            held.append(bytearray(os.urandom(1)) * size)
    except MemoryError:
        pass
    return len(held) * size


def fill_tmp() -> int:
    """Bytes that /tmp takes."""
    written = 0
    try:
        with open("/tmp/hallmark-fill", "wb", buffering=0) as out:
            while written < 4 << 30:
                written += out.write(bytes(1 << 20))
    except OSError:
        pass
    os.unlink("/tmp/hallmark-fill")
    return written


def main() -> None:
    """The control: each probe in a child of its own, outside the sandbox; prints name to outcome."""
    global TARGET
    TARGET = int(sys.argv[1])
    outcomes = {}
    for name, probe in (PROBES | SERVING_ONLY).items():
        reading, writing = os.pipe()
        pid = os.fork()
        if pid == 0:
            os.dup2(writing, 1)
            if name in ("execve", "execveat"):
                os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
            outcome = attempt(probe)
            os.write(writing, outcome.encode())
            os._exit(0)
        os.close(writing)
        said = b""
        while part := os.read(reading, 100):
            said += part
        os.close(reading)
        os.waitpid(pid, 0)
        outcomes[name] = "allowed" if said.startswith(b"Python ") else said.decode()
        for leftover in ("-l", "-n", "-f", ""):
            if os.path.lexists(TMP + leftover):
                os.unlink(TMP + leftover)
        for leftover in ("/hallmark-probe", "/usr/hallmark-probe", "/dev/hallmark-probe"):
            if os.path.lexists(leftover):
                os.unlink(leftover)
        if os.path.isdir("/usr/hallmark-probe-d"):
            os.rmdir("/usr/hallmark-probe-d")
    print(json.dumps(outcomes))


if __name__ == "__main__":
    main()
