"""The two system-call filters of an enclave, as allow lists in BPF (libseccomp).

`starting_program` is installed by bwrap before the interpreter is executed. `serving_program` is stored in
the image and installed from inside once libraries, keys and models are loaded; filters add up, so from then
on only what both allow is possible. What is not listed fails with EPERM; `clone3` fails with ENOSYS so that
the C library falls back to `clone`, whose flags a filter can read; another architecture's calls kill.
"""

from __future__ import annotations

import errno
import functools
import tempfile
from typing import Final

import pyseccomp

_BOTH: Final = tuple(
    """
read readv pread64 preadv write writev pwrite64 pwritev close lseek fstat newfstatat stat lstat statx access
faccessat faccessat2 readlink readlinkat getdents64 getcwd munmap mremap madvise brk msync
rt_sigaction rt_sigprocmask rt_sigreturn rt_sigtimedwait sigaltstack futex futex_waitv set_robust_list
get_robust_list rseq set_tid_address gettid getpid getppid getuid geteuid getgid getegid getresuid getresgid
sched_yield sched_getaffinity sched_setaffinity sched_getparam sched_getscheduler sched_get_priority_max
sched_get_priority_min getcpu sysinfo uname getrlimit getrusage clock_gettime clock_getres clock_nanosleep
nanosleep gettimeofday time times getrandom restart_syscall membarrier
epoll_create1 epoll_ctl epoll_wait epoll_pwait epoll_pwait2 eventfd2 pipe2 poll ppoll select pselect6
dup dup2 dup3 fcntl sendmsg recvmsg sendto recvfrom shutdown getsockname getpeername getsockopt setsockopt
exit exit_group
""".split()  # noqa: SIM905 - a list of 110 literals would not be readable
)

_STARTING_ONLY: Final = tuple(
    """
execve arch_prctl mmap mprotect open openat prctl prlimit64 seccomp
landlock_create_ruleset landlock_add_rule landlock_restrict_self
unlink unlinkat mkdir mkdirat rmdir rename renameat2 ftruncate fallocate fsync chmod fchmod umask tgkill
""".split()  # noqa: SIM905
)

CLONE_THREAD: Final = 0x00010000
CLONE_NAMESPACES: Final = 0x7E020000
PROT_EXEC: Final = 4
WRITING: Final = 0o1 | 0o2 | 0o100 | 0o1000 | 0o20000000  # O_WRONLY O_RDWR O_CREAT O_TRUNC O_TMPFILE
IOCTLS: Final = (0x5421, 0x541B, 0x5451, 0x5450, 0x5401)  # FIONBIO FIONREAD FIOCLEX FIONCLEX TCGETS
AF_VSOCK: Final = 40
NSM_IOCTL: Final = 0xC0200A00
PRCTLS_SERVING: Final = (15, 16, 3, 0x53564D41)  # PR_SET_NAME PR_GET_NAME PR_GET_DUMPABLE PR_SET_VMA


@functools.cache
def starting_program() -> bytes:
    """BPF that holds from before the interpreter starts: no namespaces, no sockets, no new processes."""
    filters = _new_filter()
    for name in _BOTH + _STARTING_ONLY:
        _allow(filters, name)
    af_unix = 1
    _allow(filters, "socketpair", pyseccomp.Arg(0, pyseccomp.EQ, af_unix))
    return _export(filters)


@functools.cache
def serving_program(*, vsock: bool = False) -> bytes:
    """BPF that holds while serving: also no program, no executable mapping, no file opened for writing.

    With `vsock` (on Nitro, where descriptors cannot be passed in) AF_VSOCK sockets and the security module's
    ioctl are allowed as well.
    """
    filters = _new_filter()
    for name in _BOTH:
        _allow(filters, name)
    for name in ("mmap", "mprotect"):
        _allow(filters, name, pyseccomp.Arg(2, pyseccomp.MASKED_EQ, PROT_EXEC, 0))
    _allow(filters, "open", pyseccomp.Arg(1, pyseccomp.MASKED_EQ, WRITING, 0))
    _allow(filters, "openat", pyseccomp.Arg(2, pyseccomp.MASKED_EQ, WRITING, 0))
    _allow(filters, "prlimit64", pyseccomp.Arg(2, pyseccomp.EQ, 0))
    for option in PRCTLS_SERVING:
        _allow(filters, "prctl", pyseccomp.Arg(0, pyseccomp.EQ, option))
    if vsock:
        _allow(filters, "socket", pyseccomp.Arg(0, pyseccomp.EQ, AF_VSOCK))
        for name in ("connect", "accept4"):
            _allow(filters, name)
        _allow(filters, "ioctl", pyseccomp.Arg(1, pyseccomp.EQ, NSM_IOCTL))
    return _export(filters)


def _new_filter() -> pyseccomp.SyscallFilter:
    filters = pyseccomp.SyscallFilter(pyseccomp.ERRNO(errno.EPERM))
    filters.set_attr(pyseccomp.Attr.CTL_OPTIMIZE, 2)
    filters.add_rule(pyseccomp.ERRNO(errno.ENOSYS), "clone3")
    _allow(
        filters, "clone", pyseccomp.Arg(0, pyseccomp.MASKED_EQ, CLONE_THREAD | CLONE_NAMESPACES, CLONE_THREAD)
    )
    for request in IOCTLS:
        _allow(filters, "ioctl", pyseccomp.Arg(1, pyseccomp.EQ, request))
    return filters


def _allow(filters: pyseccomp.SyscallFilter, name: str, *arguments: pyseccomp.Arg) -> None:
    """Allow a call where this architecture (and this libseccomp) has it; an unknown one stays refused."""
    if pyseccomp.resolve_syscall(pyseccomp.system_arch(), name) >= 0:
        filters.add_rule(pyseccomp.ALLOW, name, *arguments)


def _export(filters: pyseccomp.SyscallFilter) -> bytes:
    with tempfile.TemporaryFile() as out:
        filters.export_bpf(out)
        out.seek(0)
        return out.read()
