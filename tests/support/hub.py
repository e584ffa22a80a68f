"""A small Hugging Face hub on this machine: repositories of folders, one commit each, and those that refuse."""

import hashlib
import json
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

COMMIT = hashlib.sha1(b"the only one").hexdigest()


@contextmanager
def small_hub(repositories: dict[str, Path], gated: tuple[str, ...] = ()):
    """A hub with these repositories (org/name -> folder) for as long as the context lasts.

    Yields its address, and a list that gets the path of every file that is asked for.
    """
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            self._answer(with_body=True)

        def do_HEAD(self):
            self._answer(with_body=False)

        def log_message(self, *_):
            pass

        def _answer(self, with_body):
            path = self.path.partition("?")[0]
            parts = path.strip("/").split("/")
            is_api = parts[:2] == ["api", "models"]
            repo, rest = "/".join(parts[2:4] if is_api else parts[:2]), parts[4:] if is_api else parts[2:]
            if repo in gated and not is_api:
                return self._refuse(403, "GatedRepo")
            if repo not in repositories and repo not in gated:
                return self._refuse(401, "RepoNotFound")
            if rest[1:2] not in (["main"], [COMMIT]):
                return self._refuse(404, "RevisionNotFound")
            files = {f.name: f.read_bytes() for f in sorted(repositories.get(repo, Path()).glob("*")) if f.is_file()}
            if repo in gated:
                files = {"config.json": b"{}", "model.safetensors": b""}
            if not is_api:
                asked.append(f"{repo}/{rest[2]}")
                return self._file(files.get(rest[2]), with_body)
            if rest[0] == "tree":
                return self._json(
                    [{"type": "file", "path": n, "size": len(b), "oid": _id(b)} for n, b in files.items()]
                )
            siblings = [{"rfilename": n, "size": len(b), "blobId": _id(b)} for n, b in files.items()]
            return self._json({"id": repo, "sha": COMMIT, "siblings": siblings})

        def _file(self, content, with_body):
            if content is None:
                self._refuse(404, "EntryNotFound")
                return
            begin = int(self.headers.get("Range", "bytes=0-").removeprefix("bytes=").partition("-")[0])
            self.send_response(206 if begin else 200)
            self.send_header("ETag", f'"{_id(content)}"')
            self.send_header("X-Repo-Commit", COMMIT)
            self.send_header("Content-Length", str(len(content) - begin))
            self.end_headers()
            if with_body:
                self.wfile.write(content[begin:])

        def _json(self, content):
            body = json.dumps(content).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def _refuse(self, status, code):
            self.send_response(status)
            self.send_header("X-Error-Code", code)
            self.send_header("X-Error-Message", code)
            self.send_header("Content-Length", "0")
            self.end_headers()

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", asked
    finally:
        server.shutdown()
        server.server_close()


def _id(content: bytes) -> str:
    return hashlib.sha1(content).hexdigest()
