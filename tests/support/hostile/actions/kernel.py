"""Actions 31, 32, 40 and 43 to 71: what the kernel offers besides files and the network."""

from __future__ import annotations

import ctypes
import mmap
import os
import signal
import struct
import time

from attacks.world import World, action

_CLONE_NEWUSER = 0x1000_0000
_PR_SET_PDEATHSIG = 1
_PR_SET_DUMPABLE = 4
_MNT_DETACH = 2
_AT_FDCWD = -100
_PROCESS_KEYRING = -2
_TIOCSTI = 0x5412


@action
def chroot_escape(world: World) -> None:
    os.chroot(world["tmp"])


@action
def open_by_handle(world: World) -> None:
    """Handle of inode 2 of whatever file system: who may use it needs no path."""
    handle = struct.pack("=IiIIII", 8, 1, 2, 0, 0, 0)
    world.call("open_by_handle_at", _AT_FDCWD, handle, 0)


@action
def clear_pdeathsig(world: World) -> None:
    world.call("prctl", _PR_SET_PDEATHSIG, 0, 0, 0, 0)


@action
def set_dumpable(world: World) -> None:
    world.call("prctl", _PR_SET_DUMPABLE, 1, 0, 0, 0)


@action
def setuid0(world: World) -> None:
    os.setuid(0)


@action
def nice_up(world: World) -> None:
    os.setpriority(os.PRIO_PROCESS, 0, -5)


@action
def sched_fifo(world: World) -> None:
    os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))


@action
def unshare_userns(world: World) -> None:
    world.call("unshare", _CLONE_NEWUSER)


@action
def clone_newuser(world: World) -> None:
    pid = world.call("clone", _CLONE_NEWUSER | signal.SIGCHLD, 0, 0, 0, 0)
    if not pid:
        os._exit(0)
    os.waitpid(pid, 0)


@action
def clone3_newuser(world: World) -> None:
    arguments = struct.pack("=11Q", _CLONE_NEWUSER, 0, 0, 0, signal.SIGCHLD, 0, 0, 0, 0, 0, 0)
    pid = world.call("clone3", arguments, len(arguments))
    if not pid:
        os._exit(0)
    os.waitpid(pid, 0)


@action
def mount_tmpfs(world: World) -> None:
    world.call("mount", b"x", os.fsencode(world["tmp"]), b"tmpfs", 0, None)


@action
def umount_any(world: World) -> None:
    world.call("umount2", os.fsencode(world["tmp"]), _MNT_DETACH)


@action
def fsopen_new(world: World) -> None:
    os.close(world.call("fsopen", b"tmpfs", 0))


@action
def bpf_prog(world: World) -> None:
    """BPF_MAP_CREATE: an array of one word."""
    attribute = struct.pack("=5I", 2, 4, 4, 1, 0)
    os.close(world.call("bpf", 0, attribute, len(attribute)))


@action
def io_uring(world: World) -> None:
    os.close(world.call("io_uring_setup", 1, ctypes.create_string_buffer(120)))


@action
def keyctl_session(world: World) -> None:
    world.call("keyctl", 1, None)


@action
def add_key(world: World) -> None:
    world.call("add_key", b"user", b"moorage", b"x", 1, _PROCESS_KEYRING)


@action
def perf_event(world: World) -> None:
    """The CPU clock of this process, without the kernel's part."""
    exclude_kernel_and_hypervisor = 1 << 5 | 1 << 6
    attribute = struct.pack("=IIQQQQQ", 1, 64, 0, 0, 0, 0, exclude_kernel_and_hypervisor).ljust(64, b"\0")
    os.close(world.call("perf_event_open", attribute, 0, -1, -1, 0))


@action
def userfaultfd(world: World) -> None:
    user_mode_only = 1
    os.close(world.call("userfaultfd", user_mode_only))


@action
def kexec(world: World) -> None:
    """With no segments, and flags that the kernel refuses."""
    world.call("kexec_load", 0, 0, None, 0xDEAD)


@action
def modify_ldt(world: World) -> None:
    """Reads it."""
    world.call("modify_ldt", 0, ctypes.create_string_buffer(64), 64)


@action
def init_module(world: World) -> None:
    world.call("init_module", b"", 0, b"")


@action
def personality_noaslr(world: World) -> None:
    world.call("personality", 0x0040000)


@action
def tiocsti(world: World) -> None:
    """Types a blank into whoever reads the terminal."""
    fd = os.open(world.outside("/dev/tty"), os.O_RDWR)
    world.call("ioctl", fd, _TIOCSTI, b" ")


@action
def tiocsti_stdin(world: World) -> None:
    """Also with a bit above the low 32, at which the kernel does not look (CVE-2019-10063)."""
    try:
        world.call("ioctl", 0, _TIOCSTI, b" ")
    except OSError as plain:
        try:
            world.call("ioctl", 0, _TIOCSTI | 1 << 32, b" ")
        except OSError as disguised:
            if disguised.errno != plain.errno:
                raise ValueError("the disguised request was answered otherwise") from disguised
            raise


@action
def x32_abi(world: World) -> None:
    """getpid by the x32 interface's number."""
    world.call_number(0x4000_0000 | 39)


@action
def int80_abi(world: World) -> None:
    """getpid by the 32-bit interface: mov eax, 20; int 0x80; ret."""
    code = mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
    code.write(b"\xb8\x14\x00\x00\x00\xcd\x80\xc3")
    address = ctypes.addressof(ctypes.c_char.from_buffer(code))
    result = ctypes.CFUNCTYPE(ctypes.c_int)(address)()
    if result != os.getpid():
        raise OSError(-result if result < 0 else 38, "refused")


@action
def syslog_read(world: World) -> None:
    world.call("syslog", 3, ctypes.create_string_buffer(64), 64)


@action
def reboot(world: World) -> None:
    """With magic numbers that no kernel takes: who may reboot is told EINVAL, and the machine stays up."""
    try:
        world.call("reboot", 0, 0, 0, 0)
    except OSError as error:
        if error.errno != 22:
            raise


@action
def sethostname(world: World) -> None:
    """To the name that it has."""
    name = os.uname().nodename.encode()
    world.call("sethostname", name, len(name))


@action
def clock_set(world: World) -> None:
    """To the time that it is."""
    time.clock_settime(time.CLOCK_REALTIME, time.time())


@action
def sysv_shm(world: World) -> None:
    segment = world.call("shmget", 0, 4096, 0o1600)
    world.call("shmctl", segment, 0, None)


@action
def stack_filter(world: World) -> None:
    """SECCOMP_GET_ACTION_AVAIL: a filter on top could answer in the real one's place."""
    world.call("seccomp", 2, 0, (0x8000_0000).to_bytes(4, "little"))


@action
def make_landlock(world: World) -> None:
    world.call("landlock_create_ruleset", None, 0, 1)


@action
def process_madvise_self(world: World) -> None:
    world.call("process_madvise", -1, None, 0, 0, 0)


@action
def swap_on(world: World) -> None:
    world.call("swapon", b"/nonexistent", 0)


@action
def setns_nothing(world: World) -> None:
    """Whatever the descriptor is."""
    world.call("setns", 0, 0)
