"""What is deployed: manifests refer to what is there, pass on settings that there are, and harden the image alike."""

import json
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

from entrypoints.settings import VARIABLES, read_settings

ROOT = Path(__file__).resolve().parents[2]
DEPLOY = ROOT / "deploy"
BASE = DEPLOY / "kubernetes" / "base"
TELEMETRY = DEPLOY / "kubernetes" / "telemetry"
NAMES = {variable.name for variable in VARIABLES}
SYSTEMD = sorted((DEPLOY / "systemd").glob("*.service"))
WORKLOADS = {"Deployment": 2, "Job": 1}


def compose(path: Path) -> dict[str, Any]:
    """A file of Compose, whose own tag takes something away from the file that is overridden."""
    loaded: dict[str, Any] = yaml.safe_load(path.read_text(encoding="utf-8").replace("!reset", ""))
    return loaded


def manifests(directory: Path) -> list[dict[str, Any]]:
    """What a kustomization is made of, in its order, with the bases."""
    kustomization = yaml.safe_load((directory / "kustomization.yaml").read_text(encoding="utf-8"))
    found = []
    for name in kustomization["resources"]:
        path = directory / name
        if path.is_dir():
            found += manifests(path)
        else:
            found += list(yaml.safe_load_all(path.read_text(encoding="utf-8")))
    return found


def of_kind(kind: str, directory: Path = BASE) -> dict[str, dict[str, Any]]:
    return {one["metadata"]["name"]: one for one in manifests(directory) if one["kind"] == kind}


def pods() -> list[tuple[str, dict[str, Any]]]:
    found = [(name, one["spec"]["template"]) for kind in WORKLOADS for name, one in of_kind(kind).items()]
    assert len(found) == sum(WORKLOADS.values())
    return found


@pytest.mark.parametrize(("name", "pod"), pods(), ids=lambda one: one if isinstance(one, str) else "")
def test_a_pod_may_do_nothing_but_its_work(name: str, pod: dict[str, Any]) -> None:
    spec = pod["spec"]
    (container,) = spec["containers"]
    assert spec["securityContext"]["runAsNonRoot"] is True
    assert f"USER {spec['securityContext']['runAsUser']}:" in (ROOT / "Dockerfile").read_text(encoding="utf-8")
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert spec["automountServiceAccountToken"] is False
    # A Service called redis would set REDIS_PORT to an address.
    assert spec["enableServiceLinks"] is False
    assert "memory" in container["resources"]["limits"]
    assert container["args"][:2] == ["gemini-chat", name]
    assert {mount["name"] for mount in container["volumeMounts"]} == {volume["name"] for volume in spec["volumes"]}


def test_selectors_find_their_pods() -> None:
    labels = {name: pod["metadata"]["labels"] for name, pod in pods()}
    assert labels == {name: {"app.kubernetes.io/component": name} for name in labels}
    for name, deployment in of_kind("Deployment").items():
        assert deployment["spec"]["selector"]["matchLabels"] == labels[name]
        assert of_kind("PodDisruptionBudget")[name]["spec"]["selector"]["matchLabels"] == labels[name]
    assert of_kind("Service")["web"]["spec"]["selector"] == labels["web"]


def test_probes_and_ports_are_those_of_the_service() -> None:
    web = of_kind("Deployment")["web"]["spec"]["template"]["spec"]["containers"][0]
    worker = of_kind("Deployment")["worker"]["spec"]["template"]["spec"]["containers"][0]
    assert web["livenessProbe"]["httpGet"] == {"path": "/health/live", "port": "http"}
    assert web["readinessProbe"]["httpGet"] == {"path": "/health/ready", "port": "http"}
    assert worker["livenessProbe"]["exec"]["command"] == ["python", "-m", "entrypoints.health", "/data", "8000"]
    ports = {port["name"]: port["containerPort"] for port in web["ports"]}
    assert ports == {"http": 8000, "metrics": int(literals_of(BASE)["METRICS_PORT"])}


def literals_of(directory: Path) -> dict[str, str]:
    """The settings that a kustomization gives."""
    kustomization = yaml.safe_load((directory / "kustomization.yaml").read_text(encoding="utf-8"))
    (settings,) = kustomization["configMapGenerator"]
    assert settings["name"] == "settings"
    return dict(one.split("=", 1) for one in settings["literals"])


def test_a_policy_denies_what_none_allows() -> None:
    policies = of_kind("NetworkPolicy")
    assert policies["nothing-else"]["spec"] == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}
    assert all(one["spec"].get("ingress", [{"from": 1}])[0].get("from") for one in policies.values())


def test_the_collector_is_reached_by_the_processes_that_are_told_of_it() -> None:
    (policy,) = of_kind("NetworkPolicy", TELEMETRY).values()
    spec = policy["spec"]
    (who,) = spec["podSelector"]["matchExpressions"]
    assert {*who["values"]} == {*of_kind("Deployment")}
    ((collector,),) = (rule["to"] for rule in spec["egress"])
    (port,) = (port["port"] for rule in spec["egress"] for port in rule["ports"])
    host = collector["podSelector"]["matchLabels"]["app.kubernetes.io/name"]
    namespace = collector["namespaceSelector"]["matchLabels"]["kubernetes.io/metadata.name"]
    assert literals_of(TELEMETRY) == {"OTEL_EXPORTER_OTLP_ENDPOINT": f"http://{host}.{namespace}:{port}"}


def test_workers_are_scaled_by_a_metric_that_an_alert_watches() -> None:
    (scaled,) = of_kind("ScaledObject", DEPLOY / "kubernetes" / "keda").values()
    (metric,) = re.findall(r"gemini_chat_\w+", scaled["spec"]["triggers"][0]["metadata"]["query"])
    assert metric in (DEPLOY / "observability" / "alerts.yml").read_text(encoding="utf-8")
    assert scaled["spec"]["scaleTargetRef"]["name"] in of_kind("Deployment")


def test_settings_that_are_set_are_settings() -> None:
    production = compose(DEPLOY / "compose.production.yml")
    given = {*literals_of(BASE), *literals_of(TELEMETRY)}
    given |= set(production["x-service"]["environment"])
    given |= set(tomllib.loads((ROOT / "fly.toml").read_text(encoding="utf-8"))["env"])
    render = yaml.safe_load((ROOT / "render.yaml").read_text(encoding="utf-8"))
    for group in (*render["envVarGroups"], *render["services"]):
        given |= {one["key"] for one in group.get("envVars", []) if "key" in one}
    assert len(given) > 10
    assert given - NAMES == set()


def test_in_production_the_proxy_alone_is_reached() -> None:
    production = compose(DEPLOY / "compose.production.yml")["services"]
    development = compose(ROOT / "docker-compose.yml")["services"]
    assert [name for name, one in production.items() if one.get("ports")] == ["caddy"]
    assert "ports" in production["web"]
    for name, service in development.items():
        assert name in {"web", "grafana"} or "ports" not in service
    published = [port for service in development.values() for port in service.get("ports", [])]
    assert published
    assert all(port.startswith("127.0.0.1:") for port in published)


def test_every_container_rotates_its_log_and_has_a_limit_of_memory() -> None:
    for name, service in compose(ROOT / "docker-compose.yml")["services"].items():
        assert service["logging"]["options"]["max-size"], name
        if name not in {"postgres", "redis"}:  # limited in production
            assert service["deploy"]["resources"]["limits"]["memory"], name


@pytest.mark.parametrize("name", ["docker-compose.yml", "deploy/compose.production.yml"])
def test_files_that_are_mounted_exist(name: str) -> None:
    for service in compose(ROOT / name)["services"].values():
        for volume in service.get("volumes") or []:
            source = volume.split(":")[0]
            assert not source.startswith("./") or (ROOT / source).exists(), source


def commands_of_platforms() -> list[str]:
    """Every command line that a platform is told to run."""
    fly = tomllib.loads((ROOT / "fly.toml").read_text(encoding="utf-8"))
    render = yaml.safe_load((ROOT / "render.yaml").read_text(encoding="utf-8"))
    railway = [json.loads((ROOT / name).read_text("utf-8")) for name in ("railway.json", "deploy/railway.worker.json")]
    units = [re.findall(r"^ExecStart=/\S+/(.+)$", unit.read_text(), re.MULTILINE) for unit in SYSTEMD]
    return [
        *fly["processes"].values(),
        fly["deploy"]["release_command"],
        *(one[key] for one in render["services"] for key in ("preDeployCommand", "dockerCommand") if key in one),
        *(one["deploy"]["startCommand"] for one in railway),
        *railway[0]["deploy"]["preDeployCommand"],
        *(line for unit in units for line in unit),
    ]


def test_platforms_run_commands_that_there_are() -> None:
    commands = [line.split() for line in commands_of_platforms()]
    assert len(commands) == 12
    assert {tuple(one) for one in commands} == {("gemini-chat", name) for name in ("web", "worker", "migrate")}


def test_platforms_ask_the_web_server_for_its_readiness() -> None:
    fly = tomllib.loads((ROOT / "fly.toml").read_text(encoding="utf-8"))
    render = yaml.safe_load((ROOT / "render.yaml").read_text(encoding="utf-8"))
    railway = json.loads((ROOT / "railway.json").read_text(encoding="utf-8"))
    (web,) = (one for one in render["services"] if one["type"] == "web")
    asked = [fly["http_service"]["checks"][0]["path"], web["healthCheckPath"], railway["deploy"]["healthcheckPath"]]
    assert asked == ["/health/ready"] * 3
    assert f"PORT={fly['http_service']['internal_port']} " in (ROOT / "Dockerfile").read_text(encoding="utf-8")


def test_who_is_stopped_has_the_time_it_may_need() -> None:
    """A worker's grace and some seconds: replies that are cut off would be asked for twice."""
    needed = read_settings({"DATA_DIR": "/nowhere", "JWT_SECRET": "x" * 32}).worker_grace.total_seconds() + 5
    render = yaml.safe_load((ROOT / "render.yaml").read_text(encoding="utf-8"))
    (worker,) = (one for one in render["services"] if one["type"] == "worker")
    unit = (DEPLOY / "systemd" / "gemini-chat-worker@.service").read_text(encoding="utf-8")
    given = {
        "kubernetes": of_kind("Deployment")["worker"]["spec"]["template"]["spec"]["terminationGracePeriodSeconds"],
        "compose": int(compose(ROOT / "docker-compose.yml")["services"]["worker"]["stop_grace_period"].rstrip("s")),
        "fly": int(tomllib.loads((ROOT / "fly.toml").read_text("utf-8"))["kill_timeout"].rstrip("s")),
        "render": worker["maxShutdownDelaySeconds"],
        "railway": json.loads((DEPLOY / "railway.worker.json").read_text("utf-8"))["deploy"]["drainingSeconds"],
        "systemd": int(re.findall(r"TimeoutStopSec=(\d+)", unit)[0]),
    }
    assert {where: seconds for where, seconds in given.items() if seconds < needed} == {}
