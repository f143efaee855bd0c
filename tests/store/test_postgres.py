"""A search in a PostgreSQL database: the promises of a store, and a connection that is lost."""

import contextlib
import itertools
import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from tests.postgres import Server, running_server
from tests.store.learning_ahead import CHECKS

import afina
from afina.cli import main
from afina.errors import ArgumentError, ProjectLockedError, ProjectVersionError, StoreError
from afina.report import read_facts
from afina.store import SharedStore, TrialStore, batches, open_store
from afina.testing import SHARED_STORE_CHECKS, STORE_CHECKS
from afina.testing.stores import check_keeps_everything_when_closed
from afina.trials import Objective, Report, Status, Trial

pytestmark = pytest.mark.service

_names = itertools.count()


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with running_server() as server:
        yield server


@pytest.fixture
def make(server: Server) -> Callable[..., Any]:
    from afina.store.postgres import PostgresStore

    project = f"search {os.getpid()} {next(_names)}"

    def make(**options: Any) -> Any:
        return PostgresStore(server.url, **{"project": project, **options})

    return make


@pytest.mark.parametrize("check", STORE_CHECKS, ids=lambda check: check.__name__)
def test_a_store_keeps_its_promises(
    check: Callable[[TrialStore], None], make: Callable[..., Any]
) -> None:
    store = make()
    check(store)
    store.close()


@pytest.mark.parametrize("check", SHARED_STORE_CHECKS, ids=lambda check: check.__name__)
def test_a_shared_store_keeps_its_promises(
    check: Callable[..., None], make: Callable[..., Any]
) -> None:
    store = make()
    check(store, lambda store: make())
    store.close()


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_a_worker_learns_ahead_of_its_turn(
    check: Callable[..., None], make: Callable[..., Any]
) -> None:
    store = make()
    check(store, lambda store: make())
    store.close()


def test_everything_outlives_closing_a_search(make: Callable[..., Any]) -> None:
    check_keeps_everything_when_closed(make(), lambda store: make())


def test_looking_at_a_search_that_is_not_there_makes_nothing(
    server: Server, make: Callable[..., Any]
) -> None:
    store = make(project="never begun")
    assert (store.header(), store.trials(), store.history(0), store.claims()) == (None, [], [], {})
    assert store.news(None).trials == ()
    import psycopg

    with psycopg.connect(server.url) as connection:
        found = connection.execute("SELECT nspname FROM pg_namespace WHERE nspname LIKE '%never%'")
        assert found.fetchall() == []


def test_searches_of_one_database_do_not_know_each_other(server: Server) -> None:
    one, other = (open_store(server.url, project=name) for name in ("a b", "a_b"))
    one.put(Trial(number=0, values={}))
    assert other.trials() == []
    third = open_store(f"{server.url}&project=a b")
    assert len(third.trials()) == 1
    one.close()


def test_a_restart_of_the_server_loses_nothing_and_the_search_goes_on(
    server: Server, make: Callable[..., Any]
) -> None:
    store = make()
    store.put(Trial(number=0, values={}))
    server.stop()
    again = threading.Timer(1.0, server.start)
    again.start()
    for step in range(3):  # a training does not notice
        began = time.monotonic()
        store.report(Report(trial=0, step=step, metrics={"loss": 1.0}))
        assert time.monotonic() - began < 0.5
    with pytest.warns(UserWarning, match=r"cannot be reached\. The search waits for it"):
        store.finish(Trial(number=0, values={}, status=Status.FAILED, ended=0))
    again.join()
    assert len(store.history(0)) == 3
    assert [trial.ended for trial in make().trials()] == [0]
    store.close()


@pytest.mark.parametrize("notices", ["a report", "a look", "a sign of life", "a read"])
def test_after_a_lost_connection_a_turn_reads_the_whole_search_whoever_noticed_the_loss(
    notices: str, make: Callable[..., Any], server: Server
) -> None:
    store = make(report_delay=0.0)
    store.put(Trial(number=0, values={}))
    revision = store.turn(lambda changes: changes, None).revision
    assert not store.turn(lambda changes: changes.whole, revision)
    server.stop("immediate")  # what no one waited for may be lost, and revisions be counted again
    with contextlib.suppress(StoreError):
        if notices == "a report":
            store.report(Report(trial=0, step=0, metrics={"loss": 1.0}))
        elif notices == "a look":
            store.peek("a note")
    server.start()
    if notices == "a sign of life":
        with pytest.warns(UserWarning, match="cannot be reached"):
            store.beat()
    elif notices == "a read":
        with pytest.warns(UserWarning, match="cannot be reached"):
            store.trials()
    assert store.turn(lambda changes: changes.whole, revision)
    assert not store.turn(lambda changes: changes.whole, revision)
    store.close()


def test_a_worker_that_loses_its_connection_between_two_turns_has_lost_its_place(
    make: Callable[..., Any], server: Server
) -> None:
    store, other = make(), make()
    store.put(Trial(number=0, values={}))
    known = {each: each.turn(lambda changes: changes, None).revision for each in (store, other)}

    def write(each: Any, number: int) -> None:
        each.turn_after(
            lambda changes: each.set_note("n", number), known[each], lambda changes: None
        )

    with store.together():
        write(store, 1)
        server.stop("immediate")
        server.start()
        with pytest.warns(UserWarning, match="cannot be reached"):
            write(store, 2)
    with pytest.warns(UserWarning, match="cannot be reached"):
        write(other, 3)
    write(store, 4)
    assert other.note("n") == 4
    for each in (store, other):
        each.close()


def test_the_server_reads_the_statements_of_turns_once(make: Callable[..., Any]) -> None:
    store = make()

    def runs() -> dict[str, int]:
        query = "SELECT name, generic_plans + custom_plans FROM pg_prepared_statements"
        with store._look() as connection:
            found = connection.exec_driver_sql(query).all()
        return {name: count for name, count in found if name.startswith("afina_")}

    store.put(Trial(number=0, values={}))
    before = runs()
    for _ in range(3):
        store.put(Trial(number=0, values={}))
    counts = {name: count - before[name] for name, count in runs().items()}
    assert {name for name, count in counts.items() if count == 3} >= {"afina_lock", "afina_claim"}
    store.close()


def unknown(connection: Any) -> None:
    connection.connection.driver_connection.execute("DEALLOCATE ALL", prepare=False)


def of_another_search(connection: Any) -> None:
    connection.info["afina_server"] -= 1


def prepared_by_another_worker(connection: Any) -> None:
    del connection.info["afina_server"]


@pytest.mark.parametrize("how", [unknown, of_another_search, prepared_by_another_worker])
def test_a_pooler_that_shares_connections_is_noticed_before_anything_is_written(
    how: Callable[[Any], None], make: Callable[..., Any]
) -> None:
    store = make()
    store.put(Trial(number=0, values={}))
    store.put(Trial(number=1, values={}))
    with store._look() as connection:
        how(connection)
    told = r"a connection pooler .* Nothing was changed.* pool_mode = session\.$"
    with pytest.raises(StoreError, match=told):
        store.put(Trial(number=2, values={}))
    assert [trial.number for trial in store.trials()] == [0, 1]


REFUSALS = {
    "authentication failed": "password in the URL",
    'database "x" does not exist': "create them",
    "permission denied for database x": "GRANT CREATE",
    "permission denied for schema x": "Another user of the database has made this search",
    'invalid connection option "projct"': "options after the [?]",
    "unsupported startup parameter: options": "pool_mode = session and ignore_startup",
    "server does not support SSL, but SSL was required": "sslmode",
    "failed to resolve host 'x'": "host and the port",
    "sorry, too many clients already": "fewer workers",
    "something else": "Check that the server runs",
}


@pytest.mark.parametrize("said", REFUSALS)
def test_what_the_server_refuses_is_told_with_what_to_do(said: str) -> None:
    from afina.store.postgres_errors import refused

    given = f"FATAL:  {said}\nLINE 2: FROM afina_x.meta\n             ^"
    told = str(refused("afina_x", "postgresql://me@host/x", given))
    assert f"cannot be used: FATAL: {said}. Nothing was changed" in told
    assert re.search(REFUSALS[said], told)


def test_a_connection_that_breaks_off_is_worth_another_try_and_a_wrong_password_is_none() -> None:
    from afina.store.postgres_errors import is_hopeless

    for said in ("SSL SYSCALL error: EOF detected", "connection refused", "too many clients"):
        assert not is_hopeless(said)
    for said in ("password authentication failed", "fe_sendauth: no password supplied"):
        assert is_hopeless(said)


def test_the_news_of_a_long_search_is_found_without_reading_all_of_it(
    make: Callable[..., Any],
) -> None:
    """The statements are planned while a search is short."""
    store = make()
    store.put(Trial(number=0, values={}))

    def plan_of(name: str) -> str:
        with store._look() as connection:
            lines = connection.exec_driver_sql(f"EXPLAIN EXECUTE {name} (0)").scalars()
            return "\n".join(lines)

    assert "trials_by_revision" in plan_of("afina_news")
    assert "Cond: (trial = t.number)" in plan_of("afina_reports")
    store.close()


def test_a_change_that_was_written_before_the_connection_broke_is_not_refused(
    make: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    import psycopg

    store = make()
    store.put(Trial(number=0, values={}))
    dialect, broken = store._session._engine.dialect, []
    commit = dialect.do_commit

    def break_after(connection: Any) -> None:
        commit(connection)
        if not broken:
            broken.append(True)
            raise psycopg.OperationalError("server closed the connection unexpectedly")

    monkeypatch.setattr(dialect, "do_commit", break_after)
    with pytest.warns(UserWarning, match="cannot be reached"):
        store.finish(Trial(number=0, values={}, status=Status.FAILED, ended=0))
    assert broken
    assert [trial.ended for trial in store.trials()] == [0]
    store.close()


def test_a_database_that_is_not_there_is_an_error_without_the_password(tmp_path: Path) -> None:
    pytest.importorskip("psycopg", reason="psycopg is not installed")
    from afina.store.postgres import PostgresStore

    store = PostgresStore(f"postgresql://me:secret@/db?host={tmp_path}", patience=0.1)
    with pytest.raises(StoreError) as refused:
        store.trials()
    told = "".join(map(str, (refused.value, refused.value.__cause__, store.url, vars(store))))
    assert "me:***@" in told
    assert "secret" not in told.replace(repr(store._place), "")
    store = PostgresStore(f"postgresql:///db?host={tmp_path}&password=secret", patience=0.1)
    with pytest.raises(StoreError, match=r"password=\*\*\*") as refused:
        store.trials()
    assert "secret" not in str(refused.value)


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://me:secret@host:port/db",
        "postgresql://me:half@secret@host/db",
        "postgresql://me:half@se/cret@host/db",
    ],
)
def test_a_url_that_cannot_be_read_is_refused_without_the_password(url: str) -> None:
    pytest.importorskip("psycopg", reason="psycopg is not installed")
    with pytest.raises(ArgumentError, match="write %40 for @") as refused:
        open_store(url)
    assert "cret" not in str(refused.value)


def test_a_search_of_another_format_is_named_and_left_alone(
    server: Server, make: Callable[..., Any]
) -> None:
    import psycopg

    store = make()
    store.put(Trial(number=0, values={}))
    store.close()
    with psycopg.connect(server.url) as connection:
        connection.execute(f"UPDATE {store.schema}.meta SET format = 99, afina = '7.0'")
    for use in (lambda: make().trials(), lambda: make().put(Trial(number=1, values={}))):
        with pytest.raises(ProjectVersionError, match=r"format 99, written by Afina 7\.0"):
            use()


def test_columns_that_an_older_version_lacks_are_added(
    server: Server, make: Callable[..., Any]
) -> None:
    import psycopg

    store = make()
    store.put(Trial(number=0, values={}))
    store.close()
    with psycopg.connect(server.url) as connection:
        connection.execute(f"ALTER TABLE {store.schema}.trials DROP COLUMN revision")
    newer = make()
    newer.put(Trial(number=1, values={}))
    assert [trial.number for trial in newer.news(0).trials] == [1]
    assert len(newer.trials()) == 2
    newer.close()


def test_a_process_of_this_machine_that_is_killed_is_known_to_be_dead(
    server: Server, make: Callable[..., Any]
) -> None:
    store = make(lease=60.0)
    code = (
        "import sys, os; from afina.store.postgres import PostgresStore as P;"
        "from afina.trials import Trial; s = P(sys.argv[1], project=sys.argv[2]);"
        "s.put(Trial(number=0, values={})); os.kill(os.getpid(), 9)"
    )
    name = "killed"
    done = subprocess.run([sys.executable, "-c", code, server.url, name], timeout=120)
    assert done.returncode == -9
    store = make(project=name, lease=60.0)
    claim = store.claims()[0]
    assert claim.died
    assert re.match(r"process \d+ on ", claim.owner)
    store.put(Trial(number=0, values={}, attempt=1))
    store.close()


class Cheap(afina.RandomSearch):
    def run_trial(self, trial: Any, *args: Any, **kwargs: Any) -> float:
        return trial.hyperparameters.Float("x", 0.0, 1.0)


def cheap(url: str, folder: Path, **options: Any) -> Cheap:
    return Cheap(objective="loss", max_trials=3, storage=url, directory=folder, **options)


def test_overwrite_deletes_a_search_and_spares_its_neighbours(
    server: Server, tmp_path: Path
) -> None:
    cheap(server.url, tmp_path, project_name="kept").search()
    first = cheap(server.url, tmp_path, project_name="anew")
    first.search()
    model = tmp_path / "anew" / "model.txt"
    model.write_text("old")
    again = cheap(server.url, tmp_path, project_name="anew", overwrite=True)
    assert not again.oracle.trials
    assert not model.exists()
    with pytest.raises(StoreError, match="was deleted while this worker was away"):
        first.oracle.search_state.take({"x": 0.5}, {})
    again.search()
    with pytest.raises(StoreError, match="was deleted while this worker was away"):
        first.oracle.search_state.take({"x": 0.5}, {})
    assert len(cheap(server.url, tmp_path, project_name="kept").oracle.trials) == 3


def test_a_search_on_which_another_process_works_is_not_deleted(
    server: Server, tmp_path: Path
) -> None:
    code = (
        "import sys; from afina.store.postgres import PostgresStore as P;"
        "from afina.trials import Trial; s = P(sys.argv[1], project='busy');"
        "from afina.store import Header;"
        "s.begin(Header(algorithm='a', settings={}, objective={}, seed=0, space={}));"
        "s.put(Trial(number=0, values={})); print('ready', flush=True); sys.stdin.read()"
    )
    command = [sys.executable, "-c", code, server.url]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen(command, **pipes, text=True) as other:
        assert other.stdout.readline() == "ready\n"
        with pytest.raises(ProjectLockedError, match=f"worked on by process {other.pid} on "):
            cheap(server.url, tmp_path, project_name="busy", overwrite=True)
        url = f"{server.url}&project=busy"
        ran = CliRunner().invoke(main, ["delete", url, "--yes"])
        assert ran.exit_code == 1
        assert "Nothing was changed" in ran.output
        assert len(open_store(url).trials()) == 1
        other.kill()
    ran = CliRunner().invoke(main, ["delete", url], input="y\n")
    assert ran.exit_code == 0, ran.output
    assert open_store(url).header() is None
    assert CliRunner().invoke(main, ["delete", url, "--yes"]).exit_code == 1


def test_a_postgres_store_can_be_shared(make: Callable[..., Any]) -> None:
    assert isinstance(make(), SharedStore)


def test_the_command_line_reads_a_search_by_its_url(server: Server, tmp_path: Path) -> None:
    hp = afina.HyperParameters()
    hp.Float("x", 0.0, 1.0)
    url = f"{server.url}&project=read"
    study = afina.Study(hp, objective=Objective("loss", "min"), max_trials=12, storage=url)
    study.optimize(lambda trial: trial.values["x"])
    study.close()
    for command in (["trials"], ["best"], ["advice"], ["export"], ["doctor"]):
        ran = CliRunner().invoke(main, [*command, url])
        assert ran.exit_code == 0, ran.output
        assert "x" in ran.output or "healthy" in ran.output
    assert len(read_facts(url).finished) == 12
    for command in ("trials", "report", "doctor", "advice"):
        nothing = CliRunner().invoke(main, [command, server.url])
        assert 'Add "?project="' in nothing.output
    repaired = tmp_path / "copy"
    assert CliRunner().invoke(main, ["doctor", url, "--repair", str(repaired)]).exit_code == 0
    assert len(read_facts(repaired).finished) == 12


def test_a_result_waits_for_the_disk_in_its_transaction_and_a_start_after_it(
    make: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    store = make()
    store.put(Trial(number=0, values={}))  # the tables are there now
    sent: list[list[str]] = []

    def recorded(driver: Any, asked: Any) -> Any:
        sent.append([text for text, _ in asked])
        return send(driver, asked)

    send = batches._send
    monkeypatch.setattr(batches, "_send", recorded)
    no_wait = "SET LOCAL synchronous_commit TO off"
    store.put(Trial(number=1, values={}))
    start = sent[-1]
    assert start[start.index(no_wait) + 1] == "COMMIT"
    assert start[-1].startswith(
        "EXECUTE afina_wait"
    )  # in a transaction of its own, of which others know not
    store.finish(Trial(number=1, values={}, status=Status.FAILED, ended=0))
    assert sent[-1][-1] == "COMMIT"
    assert no_wait not in sent[-1]
    store.beat()
    assert sent[-1][-2:] == [no_wait, "COMMIT"]
    store.close()
