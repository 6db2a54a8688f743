"""Which system calls a worker may make. What is in no list is answered ENOSYS, as by a kernel that has not got it.

The lists are those that ran gRPC, numpy, pydantic, SQLAlchemy, SQLite, asyncio and threads, tightened until nothing
more could go. A worker dials and never listens: bind, listen and accept are refused.
"""

# ruff: noqa: SIM905 - a list of a hundred names reads as text

from __future__ import annotations

#: A library may probe these and carries on when they fail.
ENOSYS = 38
EPERM = 1

ALLOW = tuple(
    """
    read write readv writev pread64 pwrite64 preadv pwritev lseek close dup dup2 dup3 pipe pipe2 stat fstat
    lstat newfstatat statx access faccessat faccessat2 readlink readlinkat getdents getdents64 getcwd chdir fchdir
    rmdir unlink unlinkat rename renameat renameat2 truncate ftruncate fallocate fsync fdatasync sync_file_range
    fadvise64 flock statfs fstatfs umask utime utimes utimensat copy_file_range sendfile symlink symlinkat link linkat
    getxattr lgetxattr fgetxattr listxattr llistxattr flistxattr
    mmap mprotect munmap mremap madvise msync mincore brk mlock munlock membarrier mbind
    rt_sigaction rt_sigprocmask rt_sigreturn rt_sigpending rt_sigtimedwait rt_sigsuspend sigaltstack kill tgkill pause
    restart_syscall futex futex_waitv set_robust_list get_robust_list set_tid_address rseq
    gettid getpid getppid getpgrp getpgid getsid setsid getuid geteuid getgid getegid getresuid getresgid getgroups
    exit exit_group wait4 waitid arch_prctl
    clock_gettime clock_getres clock_nanosleep nanosleep gettimeofday time times getrusage alarm getitimer setitimer
    timerfd_create timerfd_settime timerfd_gettime
    poll ppoll select pselect6 epoll_create epoll_create1 epoll_ctl epoll_wait epoll_pwait eventfd eventfd2 signalfd4
    sched_yield sched_getaffinity sched_setaffinity sched_getparam sched_getscheduler getcpu
    connect getsockname getpeername getsockopt setsockopt sendto recvfrom sendmsg recvmsg sendmmsg recvmmsg shutdown
    uname sysinfo getrandom getrlimit pidfd_open
    """.split()
)

#: Never legitimate in a plugin. The call waits, never to be made: the host is told, and kills the worker.
KILL = tuple(
    """
    ptrace process_vm_readv process_vm_writev bpf kexec_load kexec_file_load init_module finit_module delete_module
    mount umount2 pivot_root open_tree move_mount fsopen fsconfig fsmount fspick mount_setattr open_tree_attr
    swapon swapoff reboot setns iopl ioperm modify_ldt acct quotactl open_by_handle_at name_to_handle_at
    perf_event_open userfaultfd add_key request_key keyctl io_uring_setup io_uring_enter io_uring_register
    settimeofday clock_settime clock_adjtime adjtimex sethostname setdomainname chroot syslog vhangup lookup_dcookie
    uselib kcmp fanotify_init pidfd_getfd process_madvise
    """.split()
)

#: Refused with "not permitted".
REFUSE = tuple(
    """
    execve execveat fork vfork seccomp landlock_create_ruleset landlock_add_rule landlock_restrict_self
    bind listen accept accept4
    unshare setuid setgid setreuid setregid setresuid setresgid setgroups setfsuid setfsgid capset
    chown fchown lchown fchownat mknod mknodat setpriority sched_setscheduler sched_setparam sched_setattr ioprio_set
    setxattr lsetxattr fsetxattr removexattr lremovexattr fremovexattr setrlimit
    shmget shmat shmctl shmdt semget semop semctl semtimedop msgget msgsnd msgrcv msgctl mq_open mq_unlink
    migrate_pages move_pages personality vmsplice
    """.split()
)

#: What passes besides when `sandbox.subprocess` is granted. A file is executed by its path, which Landlock judges;
#: execveat, which needs none, stays refused.
SUBPROCESS = ("execve", "fork", "vfork", "setpgid")

#: What Landlock does not cover, and so is refused where a worker stays the host's user on the host's file system: modes
#: and times of that user's files, and on which processors that user's processes run.
OF_SHARED_USER = (
    *("chmod", "fchmod", "fchmodat", "utime", "utimes", "utimensat"),
    "sched_setaffinity",
)

#: All that a worker's first process does when it has others: wait, tell, end.
INIT = tuple(
    """
    wait4 waitid write close exit exit_group rt_sigreturn rt_sigprocmask restart_syscall futex brk mmap munmap mprotect
    """.split()
)

#: Calls whose arguments decide; seccomp.py holds their rules.
BY_ARGUMENTS = tuple(
    """
    clone clone3 close_range socket socketpair ioctl prctl prlimit64 fcntl chmod fchmod fchmodat mkdir mkdirat open
    openat creat
    """.split()
)
