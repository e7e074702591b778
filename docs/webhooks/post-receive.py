#!/usr/bin/env python3
"""A post-receive hook for plain git servers: tells Slipway of every branch and tag that was pushed.

For a trigger of the provider `generic`. In the bare repository, as the user that receives its pushes:

    install -m 755 post-receive.py hooks/post-receive
    git config slipway.hook https://slipway.example.com/hooks/TRIGGER
    git config slipway.secretFile /etc/slipway/app.secret

The secret is in a file that only this user can read. It needs Python 3.8 and git, and nothing else. When it runs, the
push has been taken already: what goes wrong here is said to whoever pushed, and undoes nothing.
"""

import hashlib
import hmac
import http.client
import json
import subprocess
import sys
import time
import urllib.error
import urllib.request
import uuid

# Whoever pushes waits for all of them, so many seconds at most for each answer.
TRIES = 3
PAUSE = 2
TIMEOUT = 10
# Of a commit's message, in characters: what says [skip build] in it is near its beginning.
MESSAGE = 10_000


def git(*arguments):
    done = subprocess.run(["git", *arguments], capture_output=True, check=True)
    return done.stdout.decode(errors="replace").strip()


def told(ref, new):
    """What is told of a ref and the object that it names now; nothing but zeros, if it is gone."""
    if not new.strip("0"):
        return {"ref": ref, "commit": new}
    # An annotated tag is an object of its own, which names the commit.
    commit = git("rev-parse", "--verify", "--quiet", new + "^{commit}")
    message = git("log", "--max-count=1", "--encoding=UTF-8", "--format=%B", commit)
    return {"ref": ref, "commit": commit, "message": message[:MESSAGE]}


def deliver(hook, secret, body):
    """Sends one signed delivery, and answers what came of it. It counts once, however often it has to be sent."""
    headers = {
        "Content-Type": "application/json",
        "Idempotency-Key": str(uuid.uuid4()),
        "X-Hub-Signature-256": "sha256=" + hmac.new(secret, body, hashlib.sha256).hexdigest(),
    }
    request = urllib.request.Request(hook, data=body, headers=headers)
    for left in reversed(range(TRIES)):
        try:
            with urllib.request.urlopen(request, timeout=TIMEOUT) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as error:
            if not left or (error.code < 500 and error.code != 429):
                raise
        except (OSError, http.client.HTTPException):
            if not left:
                raise
        time.sleep(PAUSE)


def what_came_of(hook, secret, ref, new):
    try:
        receipt = deliver(hook, secret, json.dumps(told(ref, new)).encode())
        came = " ".join(receipt["builds"]) or receipt["reason"]
        return f"{receipt['verdict']}: {came}"
    except subprocess.CalledProcessError:
        return "not delivered: it names no commit"
    except urllib.error.HTTPError as error:
        return f"not delivered: {error.code} {error.read(2000).decode(errors='replace')}"
    except (OSError, http.client.HTTPException, ValueError, LookupError) as error:
        return f"not delivered: {error}"


def main():
    try:
        hook = git("config", "slipway.hook")
        with open(git("config", "--type=path", "slipway.secretFile"), "rb") as file:
            secret = file.read().strip()
    except (subprocess.CalledProcessError, OSError) as error:
        sys.exit(f"slipway: nothing is delivered: set slipway.hook and slipway.secretFile ({error})")
    for line in sys.stdin:
        _, new, ref = line.rstrip("\n").split(" ", 2)
        if ref.startswith(("refs/heads/", "refs/tags/")):
            print(f"slipway: {ref}: {what_came_of(hook, secret, ref, new)}", flush=True)


if __name__ == "__main__":
    main()
