"""conda.yaml, pyproject.toml, requirements.txt and MLproject must name the same packages."""

import re
import tomllib
from pathlib import Path
from typing import Any

import yaml
from packaging.requirements import Requirement

ROOT = Path(__file__).parents[1]


def project() -> dict[str, Any]:
    with (ROOT / "pyproject.toml").open("rb") as stream:
        return tomllib.load(stream)["project"]  # type: ignore[no-any-return]


def conda() -> tuple[list[str], list[str]]:
    dependencies = yaml.safe_load((ROOT / "conda.yaml").read_text())["dependencies"]
    pip = next(item["pip"] for item in dependencies if isinstance(item, dict))
    return [item for item in dependencies if isinstance(item, str)], pip


def pinned(file: str) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for name, version in re.findall(r"^([\w.-]+)==([\w.]+)", (ROOT / file).read_text(), re.M):
        found.setdefault(name.lower(), set()).add(version)
    return found


def dependencies(*extras: str) -> list[Requirement]:
    texts = list(project()["dependencies"])
    for extra in extras:
        texts += project()["optional-dependencies"][extra]
    return [Requirement(text) for text in texts]


def test_conda_has_exactly_the_project_s_dependencies_as_they_are_pinned() -> None:
    listed = [Requirement(text) for text in conda()[1]]
    wanted = {requirement.name for requirement in dependencies("jax", "tensorflow")}
    assert {requirement.name for requirement in listed} == wanted
    pins = pinned("requirements.txt")
    for requirement in listed:
        assert requirement.specifier
        assert all(requirement.specifier.contains(pin) for pin in pins[requirement.name])


def test_every_dependency_has_a_range_with_two_ends() -> None:
    for requirement in dependencies("jax", "tensorflow", "ray"):
        operators = sorted(specifier.operator for specifier in requirement.specifier)
        assert operators == ["<", ">="], requirement


def test_conda_s_python_is_one_that_the_project_accepts() -> None:
    python = next(item for item in conda()[0] if item.startswith("python="))
    accepted = Requirement(f"python{project()['requires-python']}").specifier
    assert accepted.contains(python.removeprefix("python="))


def test_requirements_satisfy_every_dependency() -> None:
    run, dev = ("jax", "tensorflow"), ("jax", "tensorflow", "ray", "dev")
    for file, extras in (("requirements.txt", run), ("requirements-dev.txt", dev)):
        pins = pinned(file)
        for requirement in dependencies(*extras):
            versions = pins.get(requirement.name.lower())
            assert versions, f"{requirement.name} is not in {file}"
            assert all(requirement.specifier.contains(version) for version in versions)


def test_no_file_tells_people_to_install_somebody_elses_package() -> None:
    assert project()["name"] != "tuning"
    files = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), ROOT / "MLproject"]
    for file in files:
        assert not re.search(r"pip install (-\S+ )*tuning(?![\w-])", file.read_text()), file


def test_the_two_requirements_files_pin_the_same_versions() -> None:
    run, dev = pinned("requirements.txt"), pinned("requirements-dev.txt")
    assert {name: dev.get(name) for name in run} == run


def test_requirements_are_hashed_and_name_no_address() -> None:
    for file in ("requirements.txt", "requirements-dev.txt"):
        text = (ROOT / file).read_text()
        assert not re.search(r"https?://|--index-url|--extra-index-url|--find-links", text)
        packages = len(re.findall(r"^[\w.-]+==", text, re.M))
        assert packages > 50
        assert len(re.findall(r"--hash=sha256:[0-9a-f]{64}", text)) >= packages


def test_mlproject_uses_conda_yaml_and_offers_every_command() -> None:
    document = yaml.safe_load((ROOT / "MLproject").read_text())
    assert document["conda_env"] == "conda.yaml"
    points = document["entry_points"]
    commands = {"main", "tune", "check", "baseline", "report", "compare", "promote"}
    commands |= {"rollback", "history", "clean", "predict"}
    assert set(points) == commands
    assert points["main"] == points["tune"]
    for point in points.values():
        for name, declared in point["parameters"].items():
            assert declared["type"] in ("string", "float", "path", "uri"), name
            assert "default" in declared, name
            assert f"{{{name}}}" in point["command"]


def test_every_option_of_mlproject_is_one_of_the_command_line() -> None:
    from tuning.cli.parser import build_parser

    document = yaml.safe_load((ROOT / "MLproject").read_text())
    parser = build_parser()
    for name, point in document["entry_points"].items():
        command = "tune" if name == "main" else name
        given = re.findall(r"(--[a-z-]+) \{(\w+)\}", point["command"])
        assert point["command"].startswith(f"python -m tuning {command} --study {{study}} ")
        assert {parameter for _, parameter in given} == set(point["parameters"])
        arguments = [command]
        for option, parameter in given:
            arguments += [option, str(point["parameters"][parameter]["default"])]
        parser.parse_args(arguments)


def test_the_compose_file_asks_for_nothing_that_its_example_does_not_name() -> None:
    folder = ROOT / "docs" / "how-to" / "team-server"
    text = (folder / "compose.yaml").read_text()
    document = yaml.safe_load(text)
    services = document["services"]
    assert {"mlflow", "postgres", "minio"} <= set(services)
    for service in services.values():
        assert set(service.get("depends_on", ())) <= set(services)
    asked = set(re.findall(r"(?<!\$)\$\{(\w+)", text))
    named = set(re.findall(r"^(\w+)=", (folder / ".env.example").read_text(), re.M))
    assert asked == named
    (mlflow,) = pinned("requirements.txt")["mlflow"]
    assert f'mlflow[auth]=={mlflow}"' in (folder / "Dockerfile").read_text()
