"""docker-compose.yml against the rest of the project; no container engine is needed."""

import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import click
import pytest
import yaml

from saga.operations.cli import main
from saga.operations.cli.settings import Settings

ROOT = Path(__file__).parent.parent.parent
TEXT = (ROOT / "docker-compose.yml").read_text()
SERVICES: dict[str, dict[str, Any]] = yaml.safe_load(TEXT)["services"]
OURS = {name: service for name, service in SERVICES.items() if "build" in service}
WORKERS = {name: service for name, service in OURS.items() if name.startswith("worker-")}
EXAMPLE = (ROOT / ".env.example").read_text()


def test_docker_compose_accepts_it(tmp_path: Path) -> None:
    if shutil.which("docker-compose") is None:
        pytest.skip("docker-compose is not installed")
    env = tmp_path / "env"
    env.write_text(re.sub(r"(PASSWORD)=$", r"\1=secret", EXAMPLE, flags=re.MULTILINE))
    command = ["docker-compose", "--env-file", str(env), "config", "--quiet"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_every_image_is_pinned() -> None:
    images = [service["image"] for service in SERVICES.values()]
    images += re.findall(r"^FROM (\S+)", (ROOT / "Dockerfile").read_text(), re.MULTILINE)
    assert len(images) > len(SERVICES)
    assert [image for image in images if not re.search(r":\d+\.\d+", image)] == []


@pytest.mark.parametrize("name", SERVICES)
def test_no_service_runs_as_root_or_unwatched(name: str) -> None:
    service = SERVICES[name]
    assert service["user"] not in {"root", "0"}
    assert service["cap_drop"] == ["ALL"]
    assert "healthcheck" in service


def test_no_port_is_open_to_the_world_by_default() -> None:
    ports = [port for service in SERVICES.values() for port in service.get("ports", ())]
    assert ports
    assert all(":-127.0.0.1:" in port for port in ports)


def test_the_example_names_every_variable() -> None:
    used = set(re.findall(r"(?<!\$)\$\{(\w+)", TEXT))
    assert used == set(re.findall(r"^(\w+)=", EXAMPLE, re.MULTILINE))


def test_every_queue_has_one_worker_service() -> None:
    # In a process of its own: other tests define steps and sagas too.
    module = SERVICES["migrate"]["environment"]["SAGA_APP"]
    program = f"import {module}\nfrom saga.execution.worker import known_queues as names"
    wanted = subprocess.check_output(
        [sys.executable, "-c", f"{program}\nprint(*names(None))"], text=True
    ).split()
    served = [queue for service in WORKERS.values() for queue in queues_of(service)]
    assert sorted(served) == sorted(set(served))
    assert wanted
    assert set(wanted) <= set(served)


@pytest.mark.parametrize("name", sorted(OURS.keys() - {"flower"}))
def test_every_command_exists(name: str) -> None:
    verb, *arguments = OURS[name]["command"]
    context = click.Context(main, obj=Settings())
    command = main.get_command(context, verb)
    assert command is not None
    command.make_context(verb, list(arguments), parent=context)


def queues_of(service: dict[str, Any]) -> list[str]:
    command: list[str] = service["command"]
    return command[command.index("--queues") + 1].split(",")
