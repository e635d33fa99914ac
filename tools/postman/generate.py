"""Writes the Postman collection and its environment from the OpenAPI document and flows.yaml: `make clients`."""

import json
import re
from http import HTTPStatus
from pathlib import Path
from typing import Any
from uuid import NAMESPACE_URL, uuid5

import yaml

ROOT = Path(__file__).resolve().parents[2]
DOCUMENT = ROOT / "tests" / "api" / "openapi.json"
FLOWS = ROOT / "tools" / "postman" / "flows.yaml"
TARGET = ROOT / "clients" / "postman"

SCHEMA = "https://schema.getpostman.com/json/collection/v2.1.0/collection.json"

Json = dict[str, Any]


def files() -> dict[Path, str]:
    """What `clients/postman` has to hold, by path."""
    document = json.loads(DOCUMENT.read_text(encoding="utf-8"))
    flows = yaml.safe_load(FLOWS.read_text(encoding="utf-8"))
    return {
        TARGET / "collection.json": _text(Collection(document, flows).written()),
        TARGET / "environment.json": _text(_environment(flows, document["info"]["title"])),
    }


class Collection:
    """A collection in Postman's format 2.1."""

    def __init__(self, document: Json, flows: Json) -> None:
        self._document = document
        self._flows = flows
        self._operations = {
            operation["operationId"]: (method, path, operation, item.get("parameters", []))
            for path, item in document["paths"].items()
            for method, operation in item.items()
            if method != "parameters"
        }

    def written(self) -> Json:
        title = self._document["info"]["title"]
        return {
            "info": {
                "_postman_id": _id(title),
                "name": title,
                "description": self._document["info"]["description"],
                "schema": SCHEMA,
            },
            "auth": {"type": "bearer", "bearer": [{"key": "token", "value": "{{token}}", "type": "string"}]},
            "event": _scripts(self._flows["before"], self._flows["after"]),
            "item": [self._item(step, title) for step in self._flows["flows"]],
        }

    def _item(self, step: Json, within: str) -> Json:
        if step.get("all"):
            return _folder(step, within, [self._tag(tag, within) for tag in self._document["tags"]])
        if "steps" in step:
            inner = f"{within}/{step['name']}"
            return _folder(step, within, [self._item(one, inner) for one in step["steps"]])
        if "request" in step:
            return self._page(step, within)
        return self._step(step, within)

    def _tag(self, tag: Json, within: str) -> Json:
        """Every operation of a tag. In any state of the environment its answer is one that the document has."""
        steps = [
            {"operation": name, "status": sorted(int(code) for code in operation["responses"] if code.isdigit())}
            for name, (_, _, operation, _) in self._operations.items()
            if tag["name"] in operation["tags"]
        ]
        inner = f"{within}/Operations/{tag['name']}"
        return _folder({**tag, "about": tag["description"]}, inner, [self._step(one, inner) for one in steps])

    def _step(self, step: Json, within: str) -> Json:
        method, path, operation, shared = self._operations[step["operation"]]
        name = step.get("name", operation["summary"])
        successes = [int(code) for code in operation["responses"] if code.startswith("2")]
        parameters = [self._resolved(one) for one in (*shared, *operation.get("parameters", []))]
        request = {
            "method": method.upper(),
            "description": operation.get("description", ""),
            "header": self._headers(parameters, step.get("headers", {})),
            "url": _url(path, [one for one in parameters if one["in"] == "query"]),
        }
        if not operation.get("security"):
            request["auth"] = {"type": "noauth"}
        if "requestBody" in operation:
            example = step.get("body", operation["requestBody"]["content"]["application/json"]["example"])
            request["body"] = {
                "mode": "raw",
                "raw": json.dumps(self._filled(example), indent=2, ensure_ascii=False),
                "options": {"raw": {"language": "json"}},
            }
        own = self._flows["after_operation"].get(step["operation"], "")
        after = _expect(step.get("status", successes)) + own + step.get("after", "")
        return {
            "id": _id(f"{within}/{name}"),
            "name": name,
            "request": request,
            "event": _scripts(step.get("before", ""), after),
        }

    def _resolved(self, parameter: Json) -> Json:
        if "$ref" not in parameter:
            return parameter
        shared: Json = self._document["components"]["parameters"][parameter["$ref"].rpartition("/")[2]]
        return shared

    def _page(self, step: Json, within: str) -> Json:
        """A form that is no operation of the API: a page of the sandbox."""
        form = [{"key": key, "value": value} for key, value in step["request"]["form"].items()]
        return {
            "id": _id(f"{within}/{step['name']}"),
            "name": step["name"],
            "protocolProfileBehavior": {"followRedirects": False},
            "request": {
                "method": step["request"]["method"],
                "auth": {"type": "noauth"},
                "url": step["request"]["url"],
                "body": {"mode": "urlencoded", "urlencoded": form},
            },
            "event": _scripts("", _expect(step["status"])),
        }

    def _headers(self, parameters: list[Json], wanted: Json) -> list[Json]:
        """Required ones, keys of idempotency and what the step wants are sent; the others can be ticked."""
        headers = []
        for one in (one for one in parameters if one["in"] == "header"):
            name = one["name"]
            value = "{{$guid}}" if name == "Idempotency-Key" else wanted.get(name, one.get("example", ""))
            sent = one.get("required") or name == "Idempotency-Key" or name in wanted
            described = {"key": name, "value": value, "description": one.get("description", "")}
            headers.append(described if sent else {**described, "disabled": True})
        return headers

    def _filled(self, example: Json) -> Json:
        variables = self._flows["variables"]
        return {key: f"{{{{{variables[key]}}}}}" if key in variables else value for key, value in example.items()}


def _url(path: str, query: list[Json]) -> Json:
    filled = re.sub(r"{(\w+)}", r"{{\1}}", path)
    url: Json = {"raw": "{{baseUrl}}" + filled, "host": ["{{baseUrl}}"], "path": filled.strip("/").split("/")}
    if query:
        url["query"] = [
            {
                "key": one["name"],
                "value": str(one.get("example", one["schema"].get("default", ""))),
                "description": one.get("description", ""),
                "disabled": True,
            }
            for one in query
        ]
    return url


def _expect(statuses: list[int]) -> str:
    said = " or ".join(f"{status} {HTTPStatus(status).phrase}" for status in statuses)
    if len(statuses) > 2:
        said = "The status is one that is documented"
    return f'pm.test("{said}", () => pm.expect(pm.response.code).to.be.oneOf({statuses}));\n'


def _folder(step: Json, within: str, items: list[Json]) -> Json:
    folder = {"id": _id(f"{within}/{step['name']}/"), "name": step["name"], "item": items}
    return {**folder, "description": step["about"]} if "about" in step else folder


def _scripts(before: str, after: str) -> list[Json]:
    return [
        {"listen": listen, "script": {"type": "text/javascript", "exec": text.splitlines()}}
        for listen, text in (("prerequest", before), ("test", after))
        if text
    ]


def _environment(flows: Json, title: str) -> Json:
    values = [
        {"key": key, "value": value, "type": "secret" if key in flows["secret"] else "default", "enabled": True}
        for key, value in flows["environment"].items()
    ]
    return {
        "id": _id(f"{title}/environment"),
        "name": f"{title}: development",
        "values": values,
        "_postman_variable_scope": "environment",
    }


def _id(name: str) -> str:
    """Stays the same as long as the name does: an import of a newer collection replaces the older one."""
    return str(uuid5(NAMESPACE_URL, name))


def _text(value: Json) -> str:
    return json.dumps(value, indent=1, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    TARGET.mkdir(parents=True, exist_ok=True)
    for path, text in files().items():
        path.write_text(text, encoding="utf-8")
