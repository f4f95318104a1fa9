"""A Hub on this machine: as much of its HTTP interface as pushing and pulling a model needs."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

import yaml


@dataclass
class SmallHub:
    """A server and what was pushed to it.

    Attributes:
        url: Its address.
        models: Model name -> file name -> bytes.
        unknown: Requests it has no answer to.
    """

    url: str
    models: dict[str, dict[str, bytes]] = field(default_factory=dict)
    unknown: list[str] = field(default_factory=list)

    def commit(self, name: str) -> str:
        """A hash of the files of a model."""
        text = json.dumps({file: _sha(data) for file, data in sorted(self.models[name].items())})
        return _sha(text.encode())

    def create(self, request: dict[str, Any]) -> dict[str, Any]:
        """A new, empty model."""
        name = f"{request['organization']}/{request['name']}"
        self.models.setdefault(name, {})
        return {"url": f"{self.url}/{name}"}

    def post(self, path: str, body: bytes) -> dict[str, Any] | None:
        """The answer to a POST."""
        if path == "/api/repos/create":
            return self.create(json.loads(body))
        if path == "/api/validate-yaml":
            yaml.safe_load(json.loads(body)["content"].split("---")[1])
            return {"errors": [], "warnings": []}
        name, action = _target(path)
        if action == "preupload":
            files = json.loads(body)["files"]
            return {
                "files": [
                    {"path": f["path"], "uploadMode": "regular", "shouldIgnore": False, "oid": None}
                    for f in files
                ]
            }
        if action == "commit":
            for line in body.splitlines():
                entry = json.loads(line)
                if entry["key"] == "file":
                    self.models[name][entry["value"]["path"]] = base64.b64decode(entry["value"]["content"])
            commit = self.commit(name)
            return {"commitUrl": f"{self.url}/{name}/commit/{commit}", "commitOid": commit}
        return None

    def get(self, path: str) -> dict[str, Any] | list[Any] | bytes | None:
        """The answer to a GET: JSON, or the bytes of a file."""
        if not path.startswith("/api/"):
            name, file = path[1:].split("/resolve/")
            return self.models.get(name, {}).get(file.split("/", 1)[1])
        name, action = _target(path)
        if name not in self.models:
            return None
        files = self.models[name].items()
        if action == "tree":
            return [{"type": "file", "path": f, "size": len(data), "oid": _sha(data)} for f, data in files]
        siblings = [{"rfilename": file} for file, _ in files]
        return {"id": name, "sha": self.commit(name), "siblings": siblings, "private": False, "tags": []}


def _target(path: str) -> tuple[str, str]:
    """The model a request is about, and what is asked of it."""
    found = re.fullmatch(r"/api/models/(.+)/(revision|tree|preupload|commit)/.*", path)
    return (found[1], found[2]) if found else (path, "")


def _sha(data: bytes) -> str:
    return hashlib.sha1(data).hexdigest()


@contextmanager
def serving() -> Iterator[SmallHub]:
    """Run a Hub in a thread of this process."""

    class Handler(BaseHTTPRequestHandler):
        def _answer(self, value: dict[str, Any] | list[Any] | bytes | None, *, body: bool = True) -> None:
            path = urlsplit(self.path).path
            answer = {"error": "Repository not found"} if value is None else value
            data = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
            self.send_response(404 if value is None else 200)
            if value is None:
                hub.unknown.append(f"{self.command} {path}")
                self.send_header("X-Error-Code", "RepoNotFound")
            if isinstance(value, bytes):
                self.send_header("ETag", f'"{_sha(value)}"')
                self.send_header("X-Repo-Commit", hub.commit(path[1:].split("/resolve/")[0]))
            else:
                self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            if body:
                self.wfile.write(data)

        def do_GET(self) -> None:
            self._answer(hub.get(urlsplit(self.path).path))

        def do_HEAD(self) -> None:
            self._answer(hub.get(urlsplit(self.path).path), body=False)

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"] or 0))
            self._answer(hub.post(urlsplit(self.path).path, body))

        def log_message(self, format: str, *args: Any) -> None:
            """Quiet."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        hub = SmallHub(f"http://127.0.0.1:{server.server_port}")
        thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        yield hub
        server.shutdown()
        thread.join()
