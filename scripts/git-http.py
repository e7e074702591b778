#!/usr/bin/env python3
"""Serves the git repositories in a folder over HTTP, by `git http-backend`. For the demo and the tests.

git-http.py FOLDER ADDRESS PORT: prints the port, of use where 0 leaves the choice to the system.
GIT_HTTP_LOGIN=user:password is what the repositories below private/ ask for, and every push. Without it, nobody pushes.
"""

import base64
import hmac
import os
import subprocess
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class GitBackend(BaseHTTPRequestHandler):
    """Hands each request to git's CGI program and passes on what it answers."""

    folder = "."
    login = ""

    def user(self):
        """Who asks; empty for anybody."""
        wanted = b"Basic " + base64.b64encode(self.login.encode())
        given = self.headers.get("Authorization", "").encode()
        known = self.login and hmac.compare_digest(given, wanted)
        return self.login.partition(":")[0] if known else ""

    def answer(self):
        path, _, query = self.path.partition("?")
        user = self.user()
        pushes = path.endswith("/git-receive-pack") or "service=git-receive-pack" in query
        if not user and (pushes or path.startswith("/private/")):
            self.send_response(401)
            self.send_header("WWW-Authenticate", 'Basic realm="git"')
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        done = subprocess.run(
            ["git", "http-backend"],
            input=body,
            capture_output=True,
            check=False,
            env={
                "PATH": os.environ["PATH"],
                "GIT_PROJECT_ROOT": self.folder,
                "GIT_HTTP_EXPORT_ALL": "1",
                # The folder may belong to another user than ours.
                "GIT_CONFIG_COUNT": "1",
                "GIT_CONFIG_KEY_0": "safe.directory",
                "GIT_CONFIG_VALUE_0": "*",
                "REQUEST_METHOD": self.command,
                "PATH_INFO": path,
                "QUERY_STRING": query,
                "CONTENT_TYPE": self.headers.get("Content-Type", ""),
                "CONTENT_LENGTH": str(len(body)),
                "HTTP_CONTENT_ENCODING": self.headers.get("Content-Encoding", ""),
                "HTTP_GIT_PROTOCOL": self.headers.get("Git-Protocol", ""),
                "GIT_PROTOCOL": self.headers.get("Git-Protocol", ""),
                "REMOTE_ADDR": self.client_address[0],
                # git takes pushes of those only whose names are known.
                **({"REMOTE_USER": user} if user else {}),
            },
        )
        head, _, content = done.stdout.partition(b"\r\n\r\n")
        fields = [line.split(": ", 1) for line in head.decode().splitlines() if ": " in line]
        status = next((value for name, value in fields if name.lower() == "status"), "200 OK")
        self.send_response(int(status.split()[0]) if head else 500)
        for name, value in fields:
            if name.lower() not in ("status", "content-length"):
                self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    do_GET = do_POST = answer


def main():
    folder, address, port = sys.argv[1], sys.argv[2], int(sys.argv[3])
    GitBackend.folder = os.path.abspath(folder)
    GitBackend.login = os.environ.get("GIT_HTTP_LOGIN", "")
    server = ThreadingHTTPServer((address, port), GitBackend)
    print(server.server_port, flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
