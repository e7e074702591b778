#!/usr/bin/env python3
"""Receives Slipway's notifications: verifies each by Standard Webhooks, and writes it down. For the demo.

receive-notifications.py ADDRESS PORT SECRET_FILE FILE: FILE gets a line of JSON for each notification, once however
often it is sent. What is not signed with the secret is answered 401, and written as refused, without what it says. The
secret is read each time: it is made after the receiver, whose address the service wants to know first.
"""

import base64
import hashlib
import hmac
import json
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

# How old a signature may be, in seconds: Standard Webhooks' own choice.
TOLERANCE = 300
LARGEST = 1 << 20


class Refused(Exception):
    """Why a notification is not believed."""


def verify(secret, headers, body, now):
    """Answers the notification's id."""
    name, at, signatures = (headers.get(f"webhook-{part}", "") for part in ("id", "timestamp", "signature"))
    if not (name and at.isascii() and at.isdigit() and signatures):
        raise Refused("it is not signed")
    if abs(int(at) - now) > TOLERANCE:
        raise Refused("it was signed too long ago, or in the future")
    key = base64.b64decode(secret.removeprefix("whsec_"))
    signed = hmac.new(key, f"{name}.{at}.".encode() + body, hashlib.sha256).digest()
    wanted = b"v1," + base64.b64encode(signed)
    # While a secret is being replaced there are two.
    if not any(hmac.compare_digest(one.encode(), wanted) for one in signatures.split(" ")):
        raise Refused("its signature is wrong")
    return name


class Receiver(BaseHTTPRequestHandler):
    """Takes what is signed."""

    secret_file = file = ""
    seen = set()
    lock = threading.Lock()

    def do_POST(self):
        length = int(self.headers.get("Content-Length") or 0)
        if length > LARGEST:
            return self.answer(413)
        body = self.rfile.read(length)
        try:
            with open(self.secret_file, encoding="ascii") as file:
                secret = file.read().strip()
            name = verify(secret, self.headers, body, time.time())
        except Refused as why:
            self.write({"verified": False, "reason": str(why)})
            return self.answer(401)
        with self.lock:
            repeated = name in self.seen
            self.seen.add(name)
        if not repeated:
            told = json.loads(body)
            data = told["data"]
            self.write({
                "verified": True,
                "id": name,
                "type": told["type"],
                "build": data.get("id"),
                "state": data.get("state"),
                "destinations": data.get("destinations"),
                "digest": data.get("digest"),
                "url": data.get("url"),
            })
        return self.answer(204)

    def answer(self, status):
        self.send_response(status)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def write(self, line):
        with self.lock, open(self.file, "a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")


def main():
    address, port, Receiver.secret_file, Receiver.file = sys.argv[1:5]
    ThreadingHTTPServer((address, int(port)), Receiver).serve_forever()


if __name__ == "__main__":
    main()
