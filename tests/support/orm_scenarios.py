"""What plugins do with SQLAlchemy. Each scenario runs with SQLAlchemy 2 and 1.4, over both databases and the fake.

Also a program: ``python orm_scenarios.py`` runs all of them over the fake, and prints which it ran; ``python
orm_scenarios.py postgresql`` over a host's broker and PostgreSQL.
"""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import decimal
import enum
import importlib.util
import json
import sys
import uuid

import sqlalchemy
from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    Date,
    DateTime,
    Enum,
    Float,
    ForeignKey,
    Index,
    Integer,
    Interval,
    LargeBinary,
    MetaData,
    Numeric,
    String,
    Table,
    Text,
    Time,
    UniqueConstraint,
    create_engine,
    delete,
    func,
    insert,
    inspect,
    select,
    text,
)
from sqlalchemy.dialects import postgresql
from sqlalchemy.orm import declarative_base, joinedload, relationship, selectinload

from moorage_sdk import channel as channels
from moorage_sdk import host as hosts
from moorage_sdk.errors import CapabilityMissing, SerializationFailure
from moorage_sdk.host import HostFacts, SqlBackend
from moorage_sdk.scope import Scope, entered
from moorage_sdk.services.base import Ask
from moorage_sdk.services.sqlalchemy.face import (
    ASYNC_ENGINE,
    ASYNC_FACTORY,
    ASYNC_SESSION,
    ENGINE,
    FACTORY,
    SESSION,
    ScopedSessionFace,
    SessionFactoryFace,
)

ALL = ("sql.read:**", "sql.write:**", "sql.define:**")
FACTS = {
    "sqlite": HostFacts("churn", sql_backends={"main": SqlBackend("main", "sqlite", "qmark", (3, 40, 1))}),
    "postgresql": HostFacts(
        "churn", sql_backends={"main": SqlBackend("main", "postgresql", "numeric_dollar", (15, 0))}
    ),
}
IS_14 = sqlalchemy.__version__.startswith("1.4")

Base = declarative_base()


class Colour(enum.Enum):
    RED = "red"
    BLUE = "blue"


class Author(Base):
    __tablename__ = "authors"
    id = Column(Integer, primary_key=True)
    name = Column(String(40), nullable=False, unique=True)
    books = relationship("Book", back_populates="author", order_by="Book.id", cascade="all, delete-orphan")


class Book(Base):
    __tablename__ = "books"
    id = Column(Integer, primary_key=True)
    author_id = Column(ForeignKey("authors.id"), nullable=False)
    title = Column(String)
    author = relationship("Author", back_populates="books")


class Everything(Base):
    __tablename__ = "everything_there_is"
    id = Column(Integer, primary_key=True)
    at = Column(DateTime)
    day = Column(Date)
    flag = Column(Boolean)
    price = Column(Numeric(10, 2))
    data = Column(JSON)
    colour = Column(Enum(Colour))
    blob = Column(LargeBinary)


class Rich(declarative_base()):
    """What PostgreSQL has, and SQLite has not."""

    __tablename__ = "rich"
    id = Column(Integer, primary_key=True)
    moment = Column(DateTime(timezone=True))
    span = Column(Interval)
    clock = Column(Time)
    key = Column(postgresql.UUID(as_uuid=True))
    numbers = Column(postgresql.ARRAY(Integer))
    words = Column(postgresql.ARRAY(Text))
    extra = Column(postgresql.JSONB(none_as_null=True))
    big = Column(BigInteger)
    ratio = Column(Float(53))
    colour = Column(Enum(Colour, name="rich_colour"))
    blob = Column(LargeBinary)


class Caught:
    error = None


@contextlib.contextmanager
def raises(kind):
    """pytest's, which these virtualenvs do without."""
    caught = Caught()
    try:
        yield caught
    except kind as error:
        caught.error = error
    else:
        raise AssertionError(f"{kind.__name__} was not raised")


class Stage:
    """One world with a plugin in it. ``worker`` makes a link with rights; ``rows`` is the application's own look."""

    def __init__(self, worker, rows, dialect="sqlite"):
        self.worker = worker
        self.rows = rows
        self.dialect = dialect
        self.facts = FACTS[dialect]
        hosts.install(self.facts)

    def tables(self, pattern):
        """Names of tables and indexes."""
        if self.dialect == "sqlite":
            return self.rows(f"SELECT name FROM sqlite_master WHERE name LIKE '{pattern}'")
        return self.rows(f"SELECT relname FROM pg_class WHERE relname LIKE '{pattern}'")

    @contextlib.contextmanager
    def session(self, *capabilities, outcome=True):
        """A Session for one task: what the bootstrap and the host do around it."""
        worker = self.worker(*(capabilities or ALL))
        channels.install(worker.channel)
        scope = Scope("e-1")
        provided = ScopedSessionFace().make(Ask(SESSION, "main", worker.channel, scope, self.facts))
        success = False
        try:
            with entered(scope):
                yield provided.value
            provided.finish(outcome)
            success = outcome
        finally:
            provided.close()
            worker.end(success=success)
            channels.install(None)

    @contextlib.asynccontextmanager
    async def async_session(self, *capabilities):
        worker = self.worker(*(capabilities or ALL))
        channels.install(worker.channel)
        scope = Scope("e-1")
        provided = ScopedSessionFace().make(Ask(ASYNC_SESSION, "main", worker.channel, scope, self.facts))
        success = False
        try:
            with entered(scope):
                yield provided.value
            await provided.finish(True)
            success = True
        finally:
            await provided.close()
            worker.end(success=success)
            channels.install(None)

    @contextlib.contextmanager
    def long_lived(self, type_name, *capabilities):
        worker = self.worker(*(capabilities or ALL))
        channels.install(worker.channel)
        try:
            with entered(Scope("e-1")):
                yield SessionFactoryFace().make(Ask(type_name, "main", worker.channel, Scope("i"), self.facts)).value
        finally:
            worker.end(success=True)
            channels.install(None)

    def create(self):
        with self.session() as db:
            Base.metadata.create_all(db.connection())


def flushed_and_committed_by_the_host(stage):
    stage.create()
    with stage.session() as db:
        db.add_all([Author(name="Ada"), Author(name="Grace")])
        assert db.scalar(select(func.count(Author.id))) == 2
        db.add(Author(name="Joan"))
    assert stage.rows("SELECT id, name FROM authors ORDER BY id") == [(1, "Ada"), (2, "Grace"), (3, "Joan")]


def rolled_back_when_the_task_fails(stage):
    stage.create()
    with stage.session(outcome=False) as db:
        db.add(Author(name="Ada"))
        db.flush()
    with contextlib.suppress(ZeroDivisionError), stage.session() as db:
        db.add(Author(name="Grace"))
        db.flush()
        raise ZeroDivisionError
    assert stage.rows("SELECT * FROM authors") == []


def commits_and_rolls_back_by_itself(stage):
    stage.create()
    with stage.session() as db:
        db.add(Author(name="Ada"))
        db.commit()
        db.add(Author(name="Grace"))
        db.rollback()
        assert [one.name for one in db.execute(select(Author)).scalars()] == ["Ada"]
        db.close()
        db.add(Author(name="Joan"))
    assert stage.rows("SELECT name FROM authors ORDER BY id") == [("Ada",), ("Joan",)]


def relationships(stage):
    stage.create()
    with stage.session() as db:
        db.add(Author(name="Ada", books=[Book(title="Notes"), Book(title="Letters")]))
    with stage.session() as db:
        author = db.execute(select(Author)).scalars().one()
        assert [book.title for book in author.books] == ["Notes", "Letters"]
        loaded = db.execute(select(Author).options(selectinload(Author.books))).scalars().one()
        assert loaded.books[0].author is author
        joined = db.execute(select(Book).options(joinedload(Book.author)).order_by(Book.id)).scalars().all()
        assert [book.author.name for book in joined] == ["Ada", "Ada"]
        assert db.query(Book.title, Author.name).join(Author).order_by(Book.id).first() == ("Notes", "Ada")
        author.books.pop()
        joined[0].title = "Note G"
    assert stage.rows("SELECT title FROM books") == [("Note G",)]
    with stage.session() as db:
        db.delete(db.get(Author, 1))
    assert stage.rows("SELECT * FROM books") == []


def many_rows(stage):
    stage.create()
    with stage.session() as db:
        db.execute(insert(Author), [{"name": f"author {number}"} for number in range(1000)])
        db.add_all(Author(name=f"mapped {number}") for number in range(500))
        db.flush()
        assert db.scalar(select(func.count()).select_from(Author)) == 1500
        assert len({one.id for one in db.execute(select(Author)).scalars()}) == 1500
        db.bulk_save_objects([Book(author_id=1, title=str(number)) for number in range(300)])
        assert db.execute(delete(Book).where(Book.author_id == 1)).rowcount == 300
    assert stage.rows("SELECT count(*) FROM authors") == [(1500,)]


def types(stage):
    stage.create()
    values = {
        "at": dt.datetime(2026, 11, 20, 6, 0, 0, 250000),
        "day": dt.date(2026, 11, 20),
        "flag": True,
        "price": decimal.Decimal("12.50"),
        "data": {"list": [1, None, "ö"], "nested": {"a": 1.5}},
        "colour": Colour.BLUE,
        "blob": b"\x00\xff",
    }
    with stage.session() as db:
        db.add(Everything(**values))
        db.add(Everything())
    with stage.session() as db:
        full, empty = db.execute(select(Everything).order_by(Everything.id)).scalars()
        assert {name: getattr(full, name) for name in values} == values
        assert [getattr(empty, name) for name in values if name != "data"] == [None] * 6
        assert db.scalar(select(Everything.id).where(Everything.data["nested"]["a"].as_float() == 1.5)) == 1
        assert db.scalar(select(Everything.id).where(Everything.at > dt.datetime(2026, 1, 1))) == 1


def savepoints(stage):
    stage.create()
    with stage.session() as db:
        db.add(Author(name="Ada"))
        with contextlib.suppress(sqlalchemy.exc.IntegrityError), db.begin_nested():
            db.add(Author(name="Ada"))
            db.flush()
        with db.begin_nested():
            db.add(Author(name="Grace"))
        nested = db.begin_nested()
        db.add(Author(name="Joan"))
        nested.rollback()
    assert stage.rows("SELECT name FROM authors ORDER BY id") == [("Ada",), ("Grace",)]


def an_error_that_was_swallowed_is_not_committed(stage):
    stage.create()
    with raises(sqlalchemy.exc.InvalidRequestError) as pending, stage.session() as db:
        db.add(Author(name="Ada"))
        db.flush()
        db.add(Author(name="Ada"))
        with raises(sqlalchemy.exc.IntegrityError):
            db.flush()
    assert "rolled back" in str(pending.error)
    assert stage.rows("SELECT * FROM authors") == []


def own_tables(stage):
    metadata = MetaData()
    Table("stats_a", metadata, Column("id", Integer, primary_key=True), Column("n", Integer, index=True))
    rights = ("sql.define:stats_*", "sql.write:stats_*", "sql.read:stats_*")
    with stage.session(*rights) as db:
        metadata.create_all(db.connection())
        metadata.create_all(db.connection())
        db.execute(metadata.tables["stats_a"].insert().values(n=1))
    with stage.session(*rights) as db:
        assert db.execute(select(metadata.tables["stats_a"].c.n)).scalar() == 1
        metadata.drop_all(db.connection())
    assert stage.tables("stats%") == []
    with stage.session("sql.write:stats_*") as db:
        with raises(CapabilityMissing) as missing:
            metadata.create_all(db.connection())
        assert missing.error.capability == "sql.define:stats_a"
        db.rollback()


def refusals_are_of_both_kinds(stage):
    stage.create()
    with stage.session("sql.read:books") as db:
        for kind in (CapabilityMissing, sqlalchemy.exc.ProgrammingError):
            with raises(kind) as refusal:
                db.execute(select(Author.name))
            assert refusal.error.capability == "sql.read:authors"
            assert "moorage grant churn" in refusal.error.remedy
            assert "sql.read:authors" in str(refusal.error)
            assert refusal.error.orig.capability == "sql.read:authors"
            assert not refusal.error.connection_invalidated
        assert db.execute(select(func.count(Book.id))).scalar() == 0


def conflicts_are_of_both_kinds(stage):
    stage.create()
    if stage.dialect == "postgresql":
        _conflict_between_updates(stage)
        return
    with stage.session() as db:
        assert db.execute(select(Author)).all() == []
        stage.rows("INSERT INTO authors (name) VALUES ('Ada')")
        db.add(Author(name="Grace"))
        for kind in (SerializationFailure, sqlalchemy.exc.OperationalError):
            with raises(kind) as conflict:
                db.flush()
            assert conflict.error.retryable
            db.rollback()
            db.execute(select(Author)).all()
            stage.rows("UPDATE authors SET name = name")
            db.add(Author(name="Grace"))
        db.rollback()
        db.add(Author(name="Grace"))
    assert stage.rows("SELECT count(*) FROM authors") == [(2,)]


def _conflict_between_updates(stage):
    with stage.session() as db:
        db.add(Author(name="Ada"))
    with stage.session() as db:
        db.execute(text("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ"))
        author = db.execute(select(Author)).scalars().one()
        stage.rows("UPDATE authors SET name = 'Countess'")
        author.name = "Lovelace"
        with raises(SerializationFailure) as conflict:
            db.flush()
        assert isinstance(conflict.error, sqlalchemy.exc.OperationalError)
        assert conflict.error.orig.sqlstate == "40001"
        db.rollback()
        db.execute(select(Author)).scalars().one().name = "Lovelace"
    assert stage.rows("SELECT name FROM authors") == [("Lovelace",)]


def columns_that_were_not_granted(stage):
    stage.create()
    stage.rows("INSERT INTO authors (name) VALUES ('Ada')")
    with stage.session("sql.read:authors(id)") as db:
        assert db.execute(select(func.count(Author.id))).scalar() == 1
        assert db.execute(select(func.count()).select_from(Author)).scalar() == 1
        with raises(CapabilityMissing) as missing:
            db.execute(select(Author)).scalars().all()
        assert missing.error.capability == "sql.read:authors(name)"


def reflection(stage):
    metadata = MetaData()
    Table("parents", metadata, Column("id", Integer, primary_key=True))
    tagged = Table(
        "tagged",
        metadata,
        Column("a", Integer, primary_key=True),
        Column("b", String(20), nullable=False),
        Column("parent", ForeignKey("parents.id")),
        UniqueConstraint("b", name="only_b"),
    )
    Index("some_b", tagged.c.b, sqlite_where=tagged.c.a > 5, postgresql_where=tagged.c.a > 5)
    with stage.session() as db:
        metadata.create_all(db.connection())
        db.execute(text("CREATE VIEW tagged_names AS SELECT b FROM tagged"))
    rights = ("sql.read:tagged", "sql.read:parents(id)", "sql.read:tagged_names", "sql.define:tagged_names")
    with stage.session(*rights) as db:
        inspector = inspect(db.connection())
        assert sorted(inspector.get_table_names()) == ["parents", "tagged"]
        assert inspector.get_view_names() == ["tagged_names"]
        assert "tagged" in inspector.get_view_definition("tagged_names")
        assert inspector.has_table("tagged")
        found = Table("tagged", MetaData(), autoload_with=db.connection())
        assert [column.name for column in found.columns] == ["a", "b", "parent"]
        assert [column.name for column in found.primary_key] == ["a"]
        assert not found.c.b.nullable
        (key,) = found.foreign_keys
        assert key.target_fullname == "parents.id"
        (index,) = [one for one in inspector.get_indexes("tagged") if not one.get("duplicates_constraint")]
        assert (index["name"], index["column_names"]) == ("some_b", ["b"])
        assert inspector.get_unique_constraints("tagged")[0]["name"] == "only_b"
        whole = MetaData()
        whole.reflect(db.connection())
        assert sorted(whole.tables) == ["parents", "tagged"]
    with stage.session("sql.read:parents") as db:
        inspector = inspect(db.connection())
        assert inspector.get_table_names() == ["parents"]
        # The host shows nothing of other tables of PostgreSQL; SQLite's pragmas are asked for one by one.
        kind = CapabilityMissing if stage.dialect == "sqlite" else sqlalchemy.exc.NoSuchTableError
        with raises(kind) as missing:
            Table("tagged", MetaData(), autoload_with=db.connection())
        assert getattr(missing.error, "capability", "sql.read:tagged") == "sql.read:tagged"


def factory_and_engine(stage):
    stage.create()
    with stage.long_lived(FACTORY) as make_session:
        with make_session() as db:
            db.add(Author(name="Ada"))
            db.commit()
            db.add(Author(name="Grace"))
            db.flush()
        with make_session.begin() as db:
            db.add(Author(name="Joan"))
    assert stage.rows("SELECT name FROM authors ORDER BY id") == [("Ada",), ("Joan",)]
    with stage.long_lived(ENGINE) as engine:
        with engine.begin() as connection:
            connection.execute(delete(Author))
        with engine.connect() as connection:
            assert connection.execute(select(func.count(Author.id))).scalar() == 0
    assert stage.rows("SELECT * FROM authors") == []


def an_engine_of_ones_own(stage):
    stage.create()
    with stage.long_lived(ENGINE):
        engine = create_engine(f"{stage.dialect}+moorage:///main")
        with engine.begin() as connection:
            connection.execute(insert(Author).values(name="Ada"))
        assert inspect(engine).has_table("authors")
    assert stage.rows("SELECT name FROM authors") == [("Ada",)]


def statements_stream(stage):
    stage.create()
    with stage.session() as db:
        db.execute(insert(Author), [{"name": str(number)} for number in range(2000)])
    with stage.session() as db:
        streamed = iter(db.execute(select(Author.name).execution_options(yield_per=100)))
        assert len([next(streamed) for _ in range(150)]) == 150
        assert len(db.execute(select(Author.id)).all()) == 2000


def values_of_postgresql(stage):
    if stage.dialect != "postgresql":
        return
    values = {
        "moment": dt.datetime(2026, 11, 20, 6, tzinfo=dt.timezone.utc),
        "span": dt.timedelta(days=400, microseconds=3),
        "clock": dt.time(6, 0, 0, 250000),
        "key": uuid.UUID(int=7),
        "numbers": [1, None, 3],
        "words": [["a", "b"], ["ö", "%"]],
        "extra": {"list": [1, None], "text": 'it\'s 100% \\ "quoted"'},
        "big": 2**60,
        "ratio": 0.1,
        "colour": Colour.RED,
        "blob": bytes(range(256)),
    }
    with stage.session() as db:
        Base.metadata.create_all(db.connection())
        Rich.__table__.create(db.connection())
        db.add(Rich(**values))
        db.add(Rich())
    with stage.session() as db:
        full, empty = db.execute(select(Rich).order_by(Rich.id)).scalars()
        assert {name: getattr(full, name) for name in values} == values
        assert [getattr(empty, name) for name in values] == [None] * len(values)
        assert db.scalar(select(Rich.id).where(Rich.numbers.contains([3]))) == 1
        assert db.scalar(select(Rich.id).where(Rich.extra["list"][0].as_integer() == 1)) == 1
        assert db.scalar(select(Rich.id).where(Rich.extra.contains({"list": [1, None]}))) == 1
        assert db.scalar(select(Rich.id).where(Rich.key == uuid.UUID(int=7), Rich.moment < func.now())) == 1
        assert db.scalar(select(Rich.id).where(Rich.colour.in_([Colour.RED, Colour.BLUE]), Rich.big % 2 == 0)) == 1
        full.words = [["c"]]
        full.extra = {**full.extra, "more": 1.5}
    with stage.session() as db:
        assert db.execute(select(Rich.words, Rich.extra["more"]).where(Rich.id == 1)).one() == ([["c"]], 1.5)
        found = Table("rich", MetaData(), autoload_with=db.connection())
        assert [repr(one.type) for one in found.columns] == [repr(one.type) for one in _reflected_rich()]


def _reflected_rich():
    """As PostgreSQL would describe them: some of SQLAlchemy's general types come back as its special ones."""
    return Table(
        "rich",
        MetaData(),
        Column("id", sqlalchemy.INTEGER()),
        Column("moment", postgresql.TIMESTAMP(timezone=True)),
        Column("span", postgresql.INTERVAL()),
        Column("clock", postgresql.TIME()),
        Column("key", postgresql.UUID()),
        Column("numbers", postgresql.ARRAY(sqlalchemy.INTEGER())),
        Column("words", postgresql.ARRAY(sqlalchemy.TEXT())),
        Column("extra", postgresql.JSONB(astext_type=sqlalchemy.Text())),
        Column("big", sqlalchemy.BIGINT()),
        Column("ratio", postgresql.DOUBLE_PRECISION(precision=53)),
        Column("colour", postgresql.ENUM("RED", "BLUE", name="rich_colour")),
        Column("blob", postgresql.BYTEA()),
    ).columns


def isolation_and_time_limits(stage):
    stage.create()
    with stage.long_lived(ENGINE) as engine:
        with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.execute(insert(Author).values(name="Ada"))
            connection.execute(insert(Author).values(name="Grace"))
        with engine.connect().execution_options(isolation_level="SERIALIZABLE") as connection:
            assert connection.get_isolation_level() == "SERIALIZABLE"
            assert connection.execute(select(func.count(Author.id))).scalar() == 2
        with raises(sqlalchemy.exc.ArgumentError):
            engine.connect().execution_options(isolation_level="CHAOS")
        with engine.connect() as connection:
            connection.execute(select(Author.id).execution_options(timeout=5.0)).all()
    assert stage.rows("SELECT name FROM authors ORDER BY id") == [("Ada",), ("Grace",)]


def async_engines(stage):
    if importlib.util.find_spec("greenlet") is None or IS_14:
        return
    from sqlalchemy.ext.asyncio import create_async_engine

    stage.create()

    async def tasks():
        with stage.long_lived(ASYNC_FACTORY) as make_session:
            async with make_session() as db:
                db.add(Author(name="Ada"))
                await db.commit()
                db.add(Author(name="Grace"))
                await db.flush()
        with stage.long_lived(ASYNC_ENGINE) as engine:
            async with engine.begin() as connection:
                await connection.execute(insert(Author).values(name="Joan"))
                assert (await connection.run_sync(lambda sync: inspect(sync).has_table("authors"))) is True
        with stage.long_lived(ASYNC_ENGINE):
            async with create_async_engine(f"{stage.dialect}+moorage:///main").connect() as connection:
                streamed = await connection.stream(select(Author.name).order_by(Author.name))
                assert [row async for row in streamed] == [("Ada",), ("Joan",)]

    asyncio.run(tasks())


def async_sessions(stage):
    if importlib.util.find_spec("greenlet") is None:
        return
    stage.create()

    async def tasks():
        async with stage.async_session() as db:
            db.add(Author(name="Ada", books=[Book(title="Notes")]))
            await db.flush()
            assert await db.scalar(select(func.count(Author.id))) == 1
            async with db.begin_nested():
                db.add(Author(name="Grace"))
            await db.commit()
            db.add(Author(name="Joan"))
            await db.rollback()
            db.add_all(Book(author_id=1, title=str(number)) for number in range(1000))
        async with stage.async_session() as db:
            streamed = await db.stream(select(Book.id).order_by(Book.id))
            assert len([row async for row in streamed]) == 1001
            found = await db.execute(select(Author).options(selectinload(Author.books)).order_by(Author.id))
            assert [len(author.books) for author in found.scalars()] == [1001, 0]
        async with stage.async_session("sql.read:books") as db:
            with raises(CapabilityMissing) as missing:
                await db.execute(select(Author))
            assert missing.error.capability == "sql.read:authors"

    asyncio.run(tasks())
    assert stage.rows("SELECT name FROM authors ORDER BY id") == [("Ada",), ("Grace",)]


SCENARIOS = [
    flushed_and_committed_by_the_host,
    rolled_back_when_the_task_fails,
    commits_and_rolls_back_by_itself,
    relationships,
    many_rows,
    types,
    savepoints,
    an_error_that_was_swallowed_is_not_committed,
    own_tables,
    refusals_are_of_both_kinds,
    conflicts_are_of_both_kinds,
    columns_that_were_not_granted,
    reflection,
    factory_and_engine,
    an_engine_of_ones_own,
    statements_stream,
    values_of_postgresql,
    isolation_and_time_limits,
    async_engines,
    async_sessions,
]


def run_over_the_fake():
    from moorage_proto.capability import Grants, parse
    from moorage_sdk.testing.base import FakeScope
    from moorage_sdk.testing.channel import LocalChannel
    from moorage_sdk.testing.gate import Gate
    from moorage_sdk.testing.sql import FakeSql

    class Worker:
        def __init__(self, sql, capabilities):
            self.gate = Gate("churn", (sql,))
            self.gate.grants = Grants(tuple(map(parse, capabilities)))
            self.gate.scopes["e-1"] = FakeScope("e-1", "e-1")
            self.channel = LocalChannel(self.gate)

        def end(self, *, success):
            self.gate.scopes["e-1"].end(success=success)

    for scenario in SCENARIOS:
        sql = FakeSql()
        try:
            scenario(Stage(lambda *capabilities, sql=sql: Worker(sql, capabilities), sql.rows))
        finally:
            sql.close()


def run_over_postgresql():
    from postgres_worlds import fresh_name, make_operator, postgres_world
    from servers.postgres import postgres_server

    with postgres_server() as server:
        make_operator(server)
        with postgres_world(server, fresh_name()) as world:
            for scenario in SCENARIOS:
                world.reset()
                scenario(stage_on_postgresql(world))


def stage_on_postgresql(world):
    """The plugin's tables are in its own schema; the application looks there first."""

    def rows(statement):
        world.rows("SET search_path TO moorage_churn, public")
        return world.rows(statement)

    return Stage(world.worker, rows, "postgresql")


if __name__ == "__main__":
    if "postgresql" in sys.argv:
        run_over_postgresql()
    else:
        run_over_the_fake()
    json.dump(
        {"sqlalchemy": sqlalchemy.__version__, "scenarios": [scenario.__name__ for scenario in SCENARIOS]}, sys.stdout
    )
