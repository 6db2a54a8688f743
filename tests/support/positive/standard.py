"""Work with the standard library. Copied beside a worker's SDK."""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import ctypes
import fcntl
import os
import select
import signal
import socket
import sqlite3
import tempfile
import threading
import time


def threads_and_locks():
    condition, done = threading.Condition(), []

    def work(number):
        with condition:
            done.append(number)
            condition.notify_all()

    threads = [threading.Thread(target=work, args=(number,)) for number in range(30)]
    for thread in threads:
        thread.start()
    with condition:
        assert condition.wait_for(lambda: len(done) == 30, timeout=10)
    for thread in threads:
        thread.join()


def as_many_threads_as_promised():
    """64 with the main one, all at the same time, and whatever the host's own parts of the worker take."""
    go = threading.Event()
    threads = [threading.Thread(target=go.wait) for _ in range(50)]
    try:
        for thread in threads:
            thread.start()
    finally:
        go.set()
    for thread in threads:
        thread.join()


def deep_recursion():
    """An error in every thread, and no end of its stack."""
    import json

    deep = "[" * 100_000

    def recurse():
        with contextlib.suppress(RecursionError, ValueError):
            json.loads(deep)
            seen.append("no error")

    seen = []
    thread = threading.Thread(target=recurse)
    thread.start()
    thread.join()
    recurse()
    assert not seen


def thread_pools():
    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        assert sum(pool.map(abs, range(-50, 0))) == 1275


def thread_timers():
    fired = threading.Event()
    threading.Timer(0.01, fired.set).start()
    assert fired.wait(10)


def asyncio_tasks():
    async def main():
        queue = asyncio.Queue()
        await asyncio.gather(*(queue.put(number) for number in range(100)))
        total = sum([await queue.get() for _ in range(100)])
        with contextlib.suppress(asyncio.TimeoutError):
            await asyncio.wait_for(asyncio.sleep(60), 0.01)
        await asyncio.get_running_loop().run_in_executor(None, time.sleep, 0.01)
        return total

    assert asyncio.run(main()) == 4950


def asyncio_streams():
    async def main():
        ours, theirs = socket.socketpair()
        reader, writer = await asyncio.open_connection(sock=ours)
        _, other = await asyncio.open_connection(sock=theirs)
        other.write(b"line\n")
        await other.drain()
        line = await reader.readline()
        writer.close()
        other.close()
        return line

    assert asyncio.run(main()) == b"line\n"


def asyncio_signals():
    async def main():
        loop, heard = asyncio.get_running_loop(), asyncio.Event()
        loop.add_signal_handler(signal.SIGUSR1, heard.set)
        os.kill(os.getpid(), signal.SIGUSR1)
        await asyncio.wait_for(heard.wait(), 10)

    asyncio.run(main())


def signals_and_timers():
    rung = []
    signal.signal(signal.SIGALRM, lambda *_: rung.append(1))
    signal.setitimer(signal.ITIMER_REAL, 0.01)
    signal.pause()
    signal.signal(signal.SIGTERM, lambda *_: None)
    assert rung


def sqlite_with_a_journal():
    path = f"/data/journal{time.monotonic_ns()}.db"
    first, second = sqlite3.connect(path), sqlite3.connect(path)
    assert first.execute("pragma journal_mode=wal").fetchone() == ("wal",)
    first.execute("create table t(x)")
    with first:
        first.executemany("insert into t values (?)", [(number,) for number in range(1000)])
    assert second.execute("select sum(x) from t").fetchone() == (499500,)
    first.execute("pragma wal_checkpoint(truncate)")
    copy = sqlite3.connect(":memory:")
    first.backup(copy)
    for connection in (first, second, copy):
        connection.close()


def sqlite_functions():
    connection = sqlite3.connect(":memory:")
    connection.create_function("twice", 1, lambda value: value * 2)
    connection.execute("create table t(x)")
    assert connection.execute("select twice(21)").fetchone() == (42,)
    connection.execute("pragma temp_store=file")
    connection.execute("create temp table big as select hex(randomblob(100)) as x")


def files():
    import shutil

    with tempfile.TemporaryDirectory(dir="/data") as folder:
        path = f"{folder}/a"
        with open(path, "w") as stream:
            stream.write("text")
            stream.flush()
            os.fsync(stream.fileno())
        shutil.copy2(path, f"{folder}/b")
        os.replace(f"{folder}/b", f"{folder}/c")
        os.makedirs(f"{folder}/d/e")
        shutil.copytree(folder, "/tmp/copy")
        os.chmod(path, 0o640)
        os.utime(path, (1, 1))
        assert sorted(os.listdir("/tmp/copy")) == ["a", "c", "d"]
        shutil.rmtree("/tmp/copy")
        assert os.stat(path).st_mtime == 1
        os.link(path, f"{folder}/f")
        os.truncate(path, 1)
        assert shutil.disk_usage(folder).total > 0


def locked_files():
    with open("/data/lock", "w") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        fcntl.lockf(stream, fcntl.LOCK_EX)


def temporary_files():
    kinds = (tempfile.NamedTemporaryFile, tempfile.TemporaryFile, tempfile.SpooledTemporaryFile)
    with contextlib.ExitStack() as stack:
        for kind in kinds:
            stack.enter_context(kind()).write(b"xx")
    assert tempfile.gettempdir() == "/tmp"


def memory_maps():
    import mmap

    with mmap.mmap(-1, 1 << 20) as area:
        area[:1] = b"x"
    with open("/dev/shm/shared", "w+b") as stream:
        stream.truncate(4096)
        with mmap.mmap(stream.fileno(), 4096) as area:
            area[:2] = b"ab"
    os.unlink("/dev/shm/shared")


def waiting_for_descriptors():
    ours, theirs = socket.socketpair()
    reader, writer = os.pipe()
    epoll = select.epoll()
    epoll.register(theirs, select.EPOLLIN)
    ours.sendall(b"x")
    assert epoll.poll(5)
    os.write(writer, b"x")
    assert select.select([reader], [], [], 5)[0]
    poll = select.poll()
    poll.register(reader, select.POLLIN)
    assert poll.poll(5000)
    if hasattr(os, "eventfd"):
        counter = os.eventfd(1)
        assert os.eventfd_read(counter) == 1
    with open("/data/sent", "w+b") as target, open("/etc/hosts", "rb") as source:
        os.sendfile(target.fileno(), source.fileno(), 0, 9)


def datagrams_within():
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    ours.send(b"x")
    assert theirs.recv(1) == b"x"
    reader, _ = os.pipe()
    socket.send_fds(ours, [b"fd"], [reader])
    assert socket.recv_fds(theirs, 2, 1)[1]


def names():
    import getpass
    import grp
    import pwd

    assert socket.gethostbyname("localhost") == "127.0.0.1"
    assert socket.getaddrinfo("localhost", 80)
    assert getpass.getuser() == pwd.getpwuid(os.getuid()).pw_name
    assert grp.getgrgid(os.getgid()).gr_name
    assert os.path.expanduser("~") == "/tmp"


def about_the_machine():
    import platform
    import resource

    assert os.cpu_count() >= 1
    assert os.sched_getaffinity(0)
    assert resource.getrlimit(resource.RLIMIT_NOFILE)[0] > 0
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss > 0
    assert platform.platform()
    assert platform.python_version()
    time.process_time()
    time.thread_time()


def time_zones():
    import datetime as dt
    import zoneinfo

    noon = dt.datetime(2026, 7, 1, 12, tzinfo=zoneinfo.ZoneInfo("Europe/Berlin"))
    assert noon.utcoffset() == dt.timedelta(hours=2)


def chance():
    import random
    import secrets
    import uuid

    random.seed()
    assert secrets.token_hex() != secrets.token_hex()
    assert uuid.uuid1() != uuid.uuid4()


def checksums_and_tls():
    import hashlib
    import hmac
    import ssl

    for name in hashlib.algorithms_guaranteed - {"shake_128", "shake_256"}:
        hashlib.new(name, b"x").hexdigest()
    hmac.new(b"k", b"x", "sha256").hexdigest()
    hashlib.scrypt(b"p", salt=b"s", n=1024, r=8, p=1)
    context = ssl.create_default_context()
    tls = context.wrap_bio(ssl.MemoryBIO(), ssl.MemoryBIO(), server_hostname="localhost")
    with contextlib.suppress(ssl.SSLWantReadError):
        tls.do_handshake()


def compression():
    import bz2
    import gzip
    import io
    import lzma
    import tarfile
    import zipfile
    import zlib

    for module in (bz2, gzip, lzma, zlib):
        assert module.decompress(module.compress(b"x" * 1000)) == b"x" * 1000
    with zipfile.ZipFile("/data/a.zip", "w") as archive:
        archive.writestr("a", "x")
    with tarfile.open("/data/a.tar.gz", "w:gz") as archive:
        archive.addfile(tarfile.TarInfo("a"), io.BytesIO())


def logs():
    import logging.config
    import logging.handlers
    import queue

    logging.config.dictConfig({"version": 1, "root": {"level": "INFO"}})
    lines = queue.Queue()
    file = logging.handlers.RotatingFileHandler("/data/log", maxBytes=100, backupCount=2)
    listener = logging.handlers.QueueListener(lines, file)
    logging.getLogger().addHandler(logging.handlers.QueueHandler(lines))
    listener.start()
    for number in range(50):
        logging.getLogger("a").info("line %d", number)
    listener.stop()
    file.close()
    assert os.path.exists("/data/log.1")


def native_callbacks():
    callback = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_int)(lambda value: value + 1)
    assert callback(41) == 42
    libc = ctypes.CDLL(None, use_errno=True)
    assert libc.getpid() == os.getpid()
    assert libc.close(-1) == -1
    assert ctypes.get_errno() == 9


def looking_into_oneself():
    import cProfile
    import faulthandler
    import importlib.metadata
    import importlib.resources
    import inspect
    import pickle
    import traceback
    import tracemalloc

    tracemalloc.start()
    with open("/tmp/stack", "w") as stream:
        faulthandler.dump_traceback(stream)
    profile = cProfile.Profile()
    profile.runcall(sum, [1])
    assert inspect.getsource(threads_and_locks)
    assert importlib.metadata.version("grpcio")
    assert importlib.resources.files("json").joinpath("__init__.py").read_text()
    assert pickle.loads(pickle.dumps({1: "a"})) == {1: "a"}
    traceback.format_stack()
    tracemalloc.stop()


def late_imports():
    import email.mime.text
    import encodings.idna
    import html.parser
    import http.client
    import unittest.mock
    import urllib.request
    import xml.dom.minidom

    assert xml.dom.minidom.parseString("<a/>").documentElement.tagName == "a"
    assert "ü.de".encode("idna") == b"xn--tda.de"
    modules = (email.mime.text, encodings.idna, html.parser, http.client, unittest.mock, urllib.request)
    assert all(modules)


WORK = (
    threads_and_locks,
    as_many_threads_as_promised,
    deep_recursion,
    thread_pools,
    thread_timers,
    asyncio_tasks,
    asyncio_streams,
    asyncio_signals,
    signals_and_timers,
    sqlite_with_a_journal,
    sqlite_functions,
    files,
    locked_files,
    temporary_files,
    memory_maps,
    waiting_for_descriptors,
    datagrams_within,
    names,
    about_the_machine,
    time_zones,
    chance,
    checksums_and_tls,
    compression,
    logs,
    native_callbacks,
    looking_into_oneself,
    late_imports,
)
