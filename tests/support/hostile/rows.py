"""The table: what each action tries, which layers stop it, and what must come of it. Numbers are the design's."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

#: What a run says of an action that got through, and of one that was ended for a forbidden system call.
ESCAPED = "escaped"
FORBIDDEN = "forbidden"

#: Layers that a run can take away. The first words are those of ``moorage doctor``; what follows a dot is a part of it.
#: ``user`` is not among them: an ordinary user has no other layer without it.
LAYERS = (
    "mount",
    "mount.read-only",
    "mount.noexec",
    "mount.sizes",
    "mount.files",
    "pid",
    "network",
    "ipc",
    "uts",
    "privileges",
    "limits",
    "landlock",
    "seccomp",
    "descriptors",
    "environment",
)
USER = "user"

#: What bwrap 0.8 has no option for.
NOT_BY_BWRAP = frozenset({"mount.noexec", "mount.files"})

#: What the level ``restricted`` still has; as root another user id, too.
RESTRICTED = frozenset({"landlock", "seccomp", "privileges", "limits", "descriptors", "environment"})


@dataclass(frozen=True)
class Row:
    #: Of the design's table; 0 for further ones.
    number: int
    #: Of the function that tries it.
    name: str
    tries: str
    #: Each of them alone stops it.
    layers: frozenset[str]
    #: What may come of it in the full sandbox.
    stopped: frozenset[str]
    #: Why a plain process of an ordinary user fails too, if it may: then only the answer shows what stopped it.
    refused: str = ""
    #: What the machine must offer for the control to escape; a key of ``machine.OFFERS``.
    needs: str = ""
    #: Layers besides ``layers`` without which root's sandbox would not stop it: a capability that overrides a bound.
    undone_by: frozenset[str] = frozenset()

    @property
    def label(self) -> str:
        return str(self.number or "+")

    @property
    def granted(self) -> bool:
        """What must succeed everywhere."""
        return not self.stopped


def row(number: int, name: str, tries: str, layers: str, stopped: str, **more: str) -> Row:
    undone_by = frozenset(more.pop("undone_by", "").split())
    words = frozenset(layers.split())
    unknown = words - {*LAYERS, USER}
    assert not unknown, unknown
    return Row(number, name, tries, words, frozenset(stopped.split()), undone_by=undone_by, **more)


_FILE = "ENOENT EACCES"
_ROOTS = "only root may"
_INIT = "the machine's first process is root's"
_NONE = "it has no descriptor of one"

ROWS = (
    # Files
    row(1, "read_shadow", "read /etc/shadow", "mount landlock", _FILE, refused=_ROOTS),
    row(2, "read_ssh_key", "read a private key outside", "mount landlock", _FILE),
    row(3, "read_host_env_file", "read another program's .env", "mount landlock", _FILE),
    row(4, "list_root_home", "list a home folder", "mount landlock", _FILE),
    row(5, "stat_host_secret", "ask for a file's size", "mount", "ENOENT"),
    row(6, "host_proc_environ", "read a process's environment", "mount landlock user", _FILE, needs="ptrace"),
    row(7, "host_proc_mem", "read a process's memory by /proc", "mount landlock user", _FILE, needs="ptrace"),
    row(8, "host_proc_cmdline", "read a process's arguments", "mount landlock", _FILE),
    row(9, "host_proc_root", "list a process's root", "mount landlock user", _FILE, needs="ptrace"),
    row(10, "host_proc_fd", "list a process's descriptors", "mount landlock", _FILE, needs="ptrace"),
    row(11, "other_plugin_data", "read another plugin's data", "mount landlock", _FILE),
    row(12, "other_plugin_data_write", "change another plugin's data", "mount landlock", _FILE),
    row(13, "other_plugin_sock", "connect to another plugin's socket", "mount", "ENOENT"),
    row(14, "write_own_venv", "write into its virtualenv", "mount.read-only landlock", "EROFS EACCES"),
    row(15, "write_own_code", "write into its own code", "mount.read-only landlock", "EROFS EACCES"),
    row(16, "symlink_out", "read through a link that it made", "mount landlock", "EACCES"),
    row(17, "hardlink_out", "link a file outside into its data", "mount landlock", "ENOENT EXDEV EACCES"),
    row(18, "make_setuid", "set the setuid bit", "seccomp", "EPERM"),
    # Programs
    row(19, "exec_from_data", "execute what it wrote", "mount.noexec landlock seccomp", "EPERM EACCES"),
    row(20, "dlopen_from_data", "load a library that it wrote", "mount.noexec", "EACCES"),
    row(21, "memfd_exec", "execute from memory", "seccomp landlock", "ENOSYS"),
    row(22, "exec_bin_sh", "execute a shell", "mount landlock seccomp", "EPERM ENOENT EACCES"),
    row(23, "exec_setuid_su", "execute a setuid program", "mount landlock seccomp", "EPERM ENOENT EACCES", needs="su"),
    # Devices and kernel files
    row(24, "dev_shm_shared", "read another program's shared memory", "mount landlock", _FILE),
    row(25, "mknod_dev", "make a device node", "seccomp landlock", "EPERM", refused=_ROOTS),
    row(26, "read_dev_mem", "read the machine's memory", "mount landlock", _FILE, refused=_ROOTS),
    row(27, "read_block_dev", "read a disk", "mount landlock", _FILE, refused=_ROOTS),
    row(28, "tamper_sysctl", "open a kernel setting for writing", "mount landlock", _FILE, refused=_ROOTS),
    row(29, "sysfs_read", "list /sys", "mount landlock", _FILE),
    row(30, "cgroup_escape", "open a cgroup's list of processes", "mount landlock", _FILE, refused=_ROOTS),
    row(31, "chroot_escape", "change its root", "seccomp privileges", FORBIDDEN, refused=_ROOTS),
    row(32, "open_by_handle", "open a file without a path", "seccomp privileges", FORBIDDEN, refused=_ROOTS),
    # Other processes
    row(33, "ptrace_host", "trace a process", "pid seccomp landlock user", FORBIDDEN, needs="ptrace"),
    row(34, "process_vm_readv_host", "read a process's memory", "pid seccomp landlock user", FORBIDDEN, needs="ptrace"),
    row(35, "signal_host", "signal a process", "pid landlock", "ESRCH EPERM"),
    row(36, "kill_minus1_probe", "signal everybody", "pid landlock", "ESRCH UNHEARD"),
    row(37, "pidfd_getfd_host", "take a process's descriptor", "pid seccomp landlock user", "ESRCH", needs="ptrace"),
    row(38, "kill_ns_init", "kill the first process", "pid", "EPERM", refused=_INIT),
    row(39, "ptrace_ns_init", "trace the first process", "seccomp", FORBIDDEN, refused=_INIT),
    row(40, "clear_pdeathsig", "outlive its parent", "seccomp", "EPERM"),
    # Itself
    row(41, "raise_rlimit", "raise a hard limit", "seccomp privileges", "EPERM ValueError", refused=_ROOTS),
    row(42, "core_dump_enable", "have core dumps written", "limits seccomp", "EPERM ValueError", needs="cores"),
    row(43, "setuid0", "become root", "seccomp privileges", "EPERM", refused=_ROOTS),
    row(44, "nice_up", "raise its priority", "seccomp privileges", "EPERM", refused=_ROOTS),
    row(45, "sched_fifo", "ask for real-time scheduling", "seccomp privileges", "EPERM", refused=_ROOTS),
    # The kernel's surface
    row(46, "unshare_userns", "make a user namespace", "seccomp", "EPERM", needs="user namespaces"),
    row(47, "clone_newuser", "make one with clone", "seccomp", "EPERM", needs="user namespaces"),
    row(48, "clone3_newuser", "make one with clone3", "seccomp", "ENOSYS", needs="user namespaces"),
    row(49, "setns_host", "enter a process's namespace", "mount landlock seccomp", _FILE, refused=_ROOTS),
    row(50, "mount_tmpfs", "mount", "seccomp", FORBIDDEN, refused=_ROOTS),
    row(51, "umount_any", "unmount", "seccomp", FORBIDDEN, refused=_ROOTS),
    row(52, "fsopen_new", "mount by the new interface", "seccomp", FORBIDDEN, refused=_ROOTS),
    row(53, "bpf_prog", "load a program into the kernel", "seccomp", FORBIDDEN, refused="unprivileged_bpf_disabled"),
    row(54, "io_uring", "make an io_uring, which no filter sees", "seccomp", FORBIDDEN, needs="io_uring"),
    row(55, "keyctl_session", "join a keyring", "seccomp", FORBIDDEN, needs="keyrings"),
    row(56, "add_key", "add a key", "seccomp", FORBIDDEN, needs="keyrings"),
    row(57, "perf_event", "measure the processor", "seccomp", FORBIDDEN, needs="perf"),
    row(58, "userfaultfd", "handle its own page faults", "seccomp", FORBIDDEN, needs="userfaultfd"),
    row(59, "kexec", "load another kernel", "seccomp", FORBIDDEN, refused=_ROOTS),
    row(60, "modify_ldt", "read its descriptor table", "seccomp", FORBIDDEN, needs="modify_ldt"),
    row(61, "init_module", "load a module", "seccomp", FORBIDDEN, refused=_ROOTS),
    row(62, "personality_noaslr", "switch address randomisation off", "seccomp", "EPERM"),
    row(63, "tiocsti", "type into the terminal", "mount landlock seccomp", "ENOENT EACCES", refused="no terminal"),
    row(64, "tiocsti_stdin", "type into its standard input", "seccomp", "ENOTTY", refused="it is no terminal"),
    row(65, "x32_abi", "call by x32 numbers", "seccomp", FORBIDDEN, refused="most kernels have no x32"),
    row(66, "int80_abi", "call by the 32-bit interface", "seccomp", FORBIDDEN, needs="32-bit calls"),
    row(67, "syslog_read", "read the kernel's log", "seccomp", FORBIDDEN, refused="kernel.dmesg_restrict"),
    row(68, "reboot", "reboot", "seccomp", FORBIDDEN, refused=_ROOTS),
    row(69, "sethostname", "rename the machine", "seccomp", FORBIDDEN, refused=_ROOTS),
    row(70, "clock_set", "set the clock", "seccomp", FORBIDDEN, refused=_ROOTS),
    row(71, "sysv_shm", "make a System V segment", "seccomp", "EPERM"),
    # The network
    row(72, "tcp_loopback_host", "connect by TCP", "seccomp network landlock", "EAFNOSUPPORT"),
    row(73, "tcp6_loopback", "connect by TCP over IPv6", "seccomp network landlock", "EAFNOSUPPORT", needs="IPv6"),
    row(74, "tcp_metadata", "ask the cloud's metadata", "seccomp network", "EAFNOSUPPORT", needs="user namespaces"),
    row(75, "udp_dns", "send a datagram", "seccomp network", "EAFNOSUPPORT"),
    row(76, "tcp_bind", "listen on TCP", "seccomp landlock", "EAFNOSUPPORT"),
    row(77, "netlink", "talk to the kernel's network", "seccomp", "EAFNOSUPPORT"),
    row(78, "packet", "read raw packets", "seccomp", "EAFNOSUPPORT", refused=_ROOTS),
    row(79, "raw_ip", "send raw packets", "seccomp", "EAFNOSUPPORT", refused=_ROOTS),
    row(80, "vsock", "talk to the hypervisor", "seccomp", "EAFNOSUPPORT", needs="vsock"),
    row(81, "af_alg", "use the kernel's cryptography", "seccomp", "EAFNOSUPPORT", refused="not every kernel has it"),
    row(82, "abstract_host", "connect to an abstract socket", "network landlock", "ECONNREFUSED EPERM"),
    row(83, "docker_sock", "connect to a container engine's socket", "mount", "ENOENT"),
    row(84, "granted_sock", "connect to its own socket (must succeed)", "", ""),
    row(85, "unlink_granted_sock", "remove its own socket", "mount.read-only landlock", "EROFS EACCES"),
    # What was left lying about
    row(86, "inherited_fds", "use an inherited descriptor", "descriptors", "EBADF"),
    row(87, "mountinfo_leak", "read the host's paths in mountinfo", "mount landlock", _FILE),
    row(88, "env_leak", "read the host's environment", "environment", "KeyError"),
    # Bounds
    row(89, "fd_exhaust", "open 2,000 descriptors", "limits", "EMFILE"),
    row(90, "big_file", "make a file of 1 GiB", "limits", "EFBIG"),
    row(91, "tmp_fill", "write 80 MiB into /tmp", "mount.sizes", "ENOSPC"),
    row(92, "inode_fill", "make 12,000 files in /tmp", "mount.files", "ENOSPC"),
    row(93, "mlock_big", "lock 64 MiB", "limits", "ENOMEM", undone_by="privileges", refused="bound to 8 MiB"),
    # Further ones, of this implementation
    row(0, "fork_child", "make a process", "seccomp", "EPERM"),
    row(0, "exec_interpreter", "execute a program that it may read", "landlock seccomp", "EPERM"),
    row(0, "spawn_program", "start a program by subprocess", "landlock seccomp", "EPERM"),
    row(0, "listen_unix", "listen on a Unix socket", "seccomp", "EPERM"),
    row(0, "chown_own_file", "change a file's owner", "seccomp", "EPERM"),
    row(0, "stack_filter", "put a filter of its own on top", "seccomp", "EPERM"),
    row(0, "make_landlock", "ask Landlock", "seccomp", "EPERM", needs="Landlock"),
    row(0, "set_dumpable", "let others look into it", "seccomp", "EPERM"),
    row(0, "ptrace_self", "let its parent trace it", "seccomp", FORBIDDEN, needs="ptrace"),
    row(0, "process_madvise_self", "advise on another's memory", "seccomp", FORBIDDEN, refused=_NONE),
    row(0, "swap_on", "switch swapping on", "seccomp", FORBIDDEN, refused=_ROOTS),
    row(0, "setns_nothing", "enter a namespace", "seccomp", FORBIDDEN, refused=_NONE),
    row(0, "read_host_name", "read the machine's name", "uts", "EPERM"),
    row(0, "attach_planted_shm", "attach another's System V segment", "ipc seccomp", "EPERM"),
    row(0, "memory_bomb", "take 600 MiB of memory", "limits", "MemoryError"),
    row(0, "thread_bomb", "start 200 threads", "limits", "RuntimeError"),
)  # fmt: skip


def numbered() -> tuple[Row, ...]:
    return tuple(entry for entry in ROWS if entry.number)


def names(rows: Iterable[Row]) -> tuple[str, ...]:
    return tuple(entry.name for entry in rows)
