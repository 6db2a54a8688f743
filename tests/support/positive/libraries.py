"""Work with gRPC, numpy, pydantic and SQLAlchemy. Copied beside a worker's SDK."""

from __future__ import annotations

import asyncio
import contextlib
import threading

#: What a plugin's lock would hold.
REQUIREMENTS = ("numpy", "pydantic", "sqlalchemy", "aiosqlite", "greenlet")

_SOCKET = "unix:///run/host/h"


def grpc_unary():
    import grpc

    with grpc.insecure_channel(_SOCKET) as channel:
        echo = channel.unary_unary("/stage/echo")
        assert [len(echo(bytes(size), timeout=10)) for size in (0, 100, 3_000_000)] == [0, 100, 3_000_000]


def grpc_from_threads():
    import grpc

    with grpc.insecure_channel(_SOCKET) as channel:
        echo = channel.unary_unary("/stage/echo")
        answers = []
        threads = [threading.Thread(target=lambda: answers.append(echo(b"x", timeout=10))) for _ in range(16)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert answers == [b"x"] * 16


def grpc_asyncio():
    import grpc.aio

    async def main():
        async with grpc.aio.insecure_channel(_SOCKET) as channel:
            echo = channel.unary_unary("/stage/echo")
            return await asyncio.gather(*(echo(b"%d" % number, timeout=10) for number in range(50)))

    assert len(asyncio.run(main())) == 50


def grpc_errors_are_told():
    import grpc

    with grpc.insecure_channel(_SOCKET) as channel:
        _, call = channel.unary_unary("/stage/echo").with_call(b"", timeout=10)
        answer = channel.unary_unary("/stage/absent").future(b"", timeout=10)
        assert (call.code(), answer.code()) == (grpc.StatusCode.OK, grpc.StatusCode.UNIMPLEMENTED)


def protobuf_messages():
    from google.protobuf import json_format, struct_pb2, timestamp_pb2

    value = struct_pb2.Struct()
    value.update({"a": [1, {"b": None}]})
    assert json_format.Parse(json_format.MessageToJson(value), struct_pb2.Struct()) == value
    timestamp_pb2.Timestamp().GetCurrentTime()


def numpy_linear_algebra():
    """BLAS has threads of its own."""
    import numpy as np

    matrix = np.random.default_rng(1).random((400, 400))
    assert np.allclose(matrix @ np.linalg.inv(matrix), np.eye(400), atol=1e-6)
    np.linalg.svd(matrix)


def numpy_fourier_and_sorting():
    import numpy as np

    signal = np.sin(np.linspace(0, 100, 2**16))
    assert np.allclose(np.fft.ifft(np.fft.fft(signal)).real, signal)
    assert np.sort(signal)[0] <= np.median(signal)


def numpy_files():
    import numpy as np

    mapped = np.memmap("/data/mapped", dtype="float64", mode="w+", shape=(1000, 100))
    mapped[:] = 2
    mapped.flush()
    assert np.memmap("/data/mapped", dtype="float64", mode="r").sum() == 200_000
    np.savez_compressed("/data/arrays.npz", a=np.arange(10))
    assert np.load("/data/arrays.npz")["a"].sum() == 45


def numpy_and_ctypes():
    import ctypes

    import numpy as np

    array = np.arange(4, dtype="int32")
    compare = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_int32), ctypes.POINTER(ctypes.c_int32))
    libc = ctypes.CDLL(None)
    libc.qsort(ctypes.c_void_p(array.ctypes.data), 4, 4, compare(lambda a, b: b[0] - a[0]))
    assert array.tolist() == [3, 2, 1, 0]


def pydantic_models():
    import datetime as dt
    from typing import List

    import pydantic

    class Item(pydantic.BaseModel):
        name: str
        sizes: List[int]
        at: dt.datetime

    item = Item.model_validate_json('{"name": "a", "sizes": ["1", 2], "at": "2026-01-01T00:00:00Z"}')
    assert Item.model_validate_json(item.model_dump_json()) == item
    assert Item.model_json_schema()["required"] == ["name", "sizes", "at"]
    with contextlib.suppress(pydantic.ValidationError):
        Item(name=1, sizes="x", at="never")
        raise AssertionError


def _metadata():
    import sqlalchemy

    metadata = sqlalchemy.MetaData()
    key = sqlalchemy.Column("id", sqlalchemy.Integer, primary_key=True)
    table = sqlalchemy.Table("items", metadata, key, sqlalchemy.Column("n", sqlalchemy.String))
    return metadata, table


def sqlalchemy_orm():
    import os

    import sqlalchemy
    from sqlalchemy import orm

    base = orm.declarative_base()

    class Item(base):
        __tablename__ = "items"
        id = sqlalchemy.Column(sqlalchemy.Integer, primary_key=True)
        name = sqlalchemy.Column(sqlalchemy.String)

    path = f"/data/orm{os.getpid()}.db"
    engine = sqlalchemy.create_engine(f"sqlite:///{path}")
    base.metadata.drop_all(engine)
    base.metadata.create_all(engine)
    with orm.Session(engine) as session:
        session.add_all([Item(name=str(number)) for number in range(100)])
        session.commit()
        assert session.query(Item).filter(Item.name.like("9%")).count() == 11
    engine.dispose()
    os.unlink(path)


def sqlalchemy_asyncio():
    import sqlalchemy
    from sqlalchemy.ext.asyncio import create_async_engine

    metadata, table = _metadata()

    async def main():
        engine = create_async_engine("sqlite+aiosqlite:///:memory:")
        async with engine.begin() as connection:
            await connection.run_sync(metadata.create_all)
            await connection.execute(table.insert(), [{"n": "a"}, {"n": "b"}])
            found = await connection.execute(sqlalchemy.select(table.c.n))
            names = [row[0] for row in found]
        await engine.dispose()
        return names

    assert asyncio.run(main()) == ["a", "b"]


WORK = (
    grpc_unary,
    grpc_from_threads,
    grpc_asyncio,
    grpc_errors_are_told,
    protobuf_messages,
    numpy_linear_algebra,
    numpy_fourier_and_sorting,
    numpy_files,
    numpy_and_ctypes,
    pydantic_models,
    sqlalchemy_orm,
    sqlalchemy_asyncio,
)
