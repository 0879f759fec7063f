"""What kills and power cuts share: the server, clients that push and pull, and the ledger of what was acknowledged.

A promise enters the ledger only when its answer was read whole; a name enters it before the question is sent, because
an answer that was lost may still have been a yes.
"""
import base64
import http.client
import json
import os
import random
import signal
import socket
import subprocess
import threading
import time
import urllib.parse

from upstream import MANIFEST, digest_of, make_image

PASSWORD = "right-" + os.urandom(6).hex()
PUSHERS = 4
PULLERS = 2
READY_WITHIN = 30


class Server:
    """The program under test, always on the same address and data."""

    def __init__(self, folder, data, upstream):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.folder, self.data, self.process = folder, data, None
        self.log = os.path.join(folder, "entrepot.log")
        self.config = os.path.join(folder, "entrepot.toml")
        with open(self.config, "w") as file:
            file.write(f"""
[server]
listen = ["127.0.0.1:{self.port}"]
[storage]
data = "{data}"
[[upstream]]
registry = "docker.io"
endpoints = ["{upstream.url}"]
insecure = true
[auth]
admin_password = "{PASSWORD}"
""")

    def start(self):
        """Starts it and waits until it is ready; False when it does not get there by itself."""
        with open(self.log, "ab") as log:
            command = [os.environ["ENTREPOT"], "serve", "--config", self.config]
            self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        end = time.monotonic() + READY_WITHIN
        while time.monotonic() < end and self.process.poll() is None:
            try:
                if self.ask("GET", "/readyz")[0] == 200:
                    return True
            except OSError:
                pass
            time.sleep(0.02)
        return False

    def freeze(self):
        """From now on it answers nobody: whatever the kernel still does for it, it does not learn."""
        self.process.send_signal(signal.SIGSTOP)

    def kill(self):
        if self.process:
            self.process.send_signal(signal.SIGKILL)
            self.process.wait()

    def ask(self, method, path, body=None, headers=None):
        """One request on a connection of its own: status, headers, the whole body. A short body is an OSError."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            connection.request(method, path, body, headers or {})
            answer = connection.getresponse()
            return answer.status, answer.headers, answer.read()
        except http.client.HTTPException as broken:
            raise ConnectionError(repr(broken)) from broken
        finally:
            connection.close()

    def token(self, repository):
        basic = base64.b64encode(f"admin:{PASSWORD}".encode()).decode()
        scope = urllib.parse.quote(f"repository:{repository}:pull,push,delete")
        status, _, body = self.ask("GET", f"/token?service=entrepot&scope={scope}", headers={"Authorization": "Basic " + basic})
        if status != 200:
            raise ConnectionError(f"/token answered {status}")
        answer = json.loads(body)
        return {"Authorization": "Bearer " + (answer.get("token") or answer["access_token"])}


class Ledger:
    """Who was promised what. Every entry is touched by one pusher alone while pushers run."""

    def __init__(self):
        self.blobs = {}  # (repository, digest) -> was its 201 read
        self.manifests = {}  # (repository, digest) -> "asked", "kept", "leaving" or "gone"
        self.members = {}  # (repository, digest) of a manifest -> its blobs, which no other image shares
        self.tags = {}  # (repository, tag) -> the digests it may have; None: it may be absent
        self.removed = 0  # blobs that nobody needed
        self.complaints = []
        self.cut = threading.Event()  # set just before the server is taken away; no error is excused earlier

    def promised(self):
        """How many blobs and manifests must be there."""
        return sum(self.blobs.values()) + sum(state == "kept" for state in self.manifests.values())

    def complain(self, text):
        self.complaints.append(text)

    def sizes(self):
        return len(self.blobs), len(self.manifests), len(self.tags)

    def excuse(self, error):
        """What ends a client is the end of its server, and nothing else."""
        if not self.cut.is_set():
            self.complain(f"before the fault: {error}")


class Pusher:
    """Pushes, moves tags and deletes in one repository until the server goes away."""

    def __init__(self, server, ledger, repository, source):
        self.server, self.ledger, self.repository, self.source = server, ledger, repository, source
        self.headers = {}

    def run(self):
        try:
            self.headers = self.server.token(self.repository)
            while True:
                self.push()
                if self.source.random() < 0.15:
                    self.delete()
        except OSError as error:
            self.ledger.excuse(error)

    def ask(self, method, path, body=None, headers=None):
        status, answer, content = self.server.ask(method, path, body, {**self.headers, **(headers or {})})
        if status >= 500:
            raise ConnectionError(f"{method} {path} answered {status}")
        return status, answer, content

    def expect(self, wanted, method, path, body=None, headers=None):
        status, answer, content = self.ask(method, path, body, headers)
        if status != wanted:
            self.ledger.complain(f"{method} {path} answered {status}: {content[:200]!r}")
            raise ConnectionError("unexpected answer")
        return answer

    def push(self):
        manifest, blobs = make_image(self.source)
        for digest, data in blobs.items():
            self.ledger.blobs[self.repository, digest] = False
            self.push_blob(digest, data)
            self.ledger.blobs[self.repository, digest] = True
        digest, tag = digest_of(manifest), self.source.choice(["latest", f"t{self.source.getrandbits(32):x}"])
        may_be = self.ledger.tags.setdefault((self.repository, tag), {None})
        self.ledger.manifests[self.repository, digest] = "asked"
        self.ledger.members[self.repository, digest] = list(blobs)
        may_be.add(digest)
        self.expect(201, "PUT", f"/v2/{self.repository}/manifests/{tag}", manifest, {"Content-Type": MANIFEST})
        self.ledger.manifests[self.repository, digest] = "kept"
        self.ledger.tags[self.repository, tag] = {digest}

    def push_blob(self, digest, data):
        uploads = f"/v2/{self.repository}/blobs/uploads/"
        octets = {"Content-Type": "application/octet-stream"}
        place = self.expect(202, "POST", uploads, b"")["Location"]
        if self.source.random() < 0.5:
            middle = len(data) // 2
            for start, part in [(0, data[:middle]), (middle, data[middle:])]:
                span = {"Content-Range": f"{start}-{start + len(part) - 1}"}
                place = self.expect(202, "PATCH", relative(place), part, {**octets, **span})["Location"]
            data = b""
        self.expect(201, "PUT", relative(place) + ("&" if "?" in place else "?") + "digest=" + digest, data, octets)

    def delete(self):
        kept = [digest for (name, digest), state in list(self.ledger.manifests.items()) if name == self.repository and state == "kept"]
        digest = self.source.choice(kept)
        self.ledger.manifests[self.repository, digest] = "leaving"
        for blob in self.ledger.members[self.repository, digest]:
            self.ledger.blobs[self.repository, blob] = False
        for key, may_be in list(self.ledger.tags.items()):
            if key[0] == self.repository and digest in may_be:
                may_be.add(None)
        self.expect(202, "DELETE", f"/v2/{self.repository}/manifests/{digest}")
        self.ledger.manifests[self.repository, digest] = "gone"
        for key, may_be in list(self.ledger.tags.items()):
            if key[0] == self.repository:
                may_be.discard(digest)
                may_be or may_be.add(None)


def relative(location):
    parts = urllib.parse.urlsplit(location)
    return parts.path + ("?" + parts.query if parts.query else "")


class Puller:
    """Pulls images that nobody pulled before through the cache, each body against its digest."""

    def __init__(self, server, ledger, numbers):
        self.server, self.ledger, self.numbers = server, ledger, numbers

    def run(self):
        try:
            while True:
                pull(self.server, self.ledger, next(self.numbers))
        except OSError as error:
            self.ledger.excuse(error)


def pull(server, ledger, number):
    manifest, blobs = make_image(random.Random(number))
    answers = [(f"/v2/library/r{number}/manifests/1?ns=docker.io", manifest)]
    answers += [(f"/v2/library/r{number}/blobs/{digest}?ns=docker.io", data) for digest, data in blobs.items()]
    for path, data in answers:
        status, _, body = server.ask("GET", path, headers={"Accept": MANIFEST})
        if status >= 500:
            raise ConnectionError(f"{path} answered {status}")
        if status != 200 or body != data:
            ledger.complain(f"pulled through: {path} answered {status} with {len(body)} of {len(data)} bytes, digest {digest_of(body)}")


class Collector:
    """Has what nobody needs removed, again and again. When the server has gone, the command in between works by itself and is waited for."""

    def __init__(self, server, ledger):
        self.server, self.ledger = server, ledger

    def run(self):
        command = [os.environ["ENTREPOT"], "gc", "--untagged", "--json", "--config", self.server.config]
        while not self.ledger.cut.is_set():
            done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True)
            if done.returncode and not self.ledger.cut.is_set():
                self.ledger.complain(f"gc ended with {done.returncode}: {done.stderr[-300:]}")
            self.ledger.removed += sum(json.loads(line).get("done", {}).get("blobs", 0) for line in done.stdout.splitlines())


class Verifier:
    """Asks for all that was promised, and for all that was only asked for."""

    def __init__(self, server, ledger):
        self.server, self.ledger, self.tokens = server, ledger, {}

    def get(self, repository, path):
        if repository not in self.tokens:
            self.tokens[repository] = self.server.token(repository)
        return self.server.ask("GET", f"/v2/{repository}/{path}", headers={**self.tokens[repository], "Accept": MANIFEST})

    def check(self, blobs, manifests, tags):
        for repository, digest in blobs:
            status, _, body = self.get(repository, f"blobs/{digest}")
            self.judge("blob", repository, digest, status, body, self.ledger.blobs[repository, digest])
        for repository, digest in manifests:
            state = self.ledger.manifests[repository, digest]
            status, _, body = self.get(repository, f"manifests/{digest}")
            self.judge("manifest", repository, digest, status, body, state == "kept")
            if state == "gone" and status != 404:
                self.ledger.complain(f"deleted manifest {repository}@{digest} answered {status}")
        for repository, tag in tags:
            status, _, body = self.get(repository, f"manifests/{tag}")
            found = digest_of(body) if status == 200 else None if status == 404 else status
            may_be = self.ledger.tags[repository, tag]
            if found not in may_be:
                self.ledger.complain(f"tag {repository}:{tag} is {found}, should be one of {may_be}")

    def judge(self, what, repository, digest, status, body, promised):
        if status == 200 and digest_of(body) != digest:
            self.ledger.complain(f"{what} {repository}@{digest} came with wrong bytes, {len(body)} of them")
        if status != 200 and (promised or status != 404):
            self.ledger.complain(f"{what} {repository}@{digest} answered {status}, {'promised' if promised else 'not promised'}")

    def look(self, complaint, since=(0, 0, 0), count=0, pulls=()):
        """What is new since the last look (all, by default), `count` of what is older, and pulls through the cache."""
        before, chosen = len(self.ledger.complaints), []
        for kind, seen in zip([self.ledger.blobs, self.ledger.manifests, self.ledger.tags], since):
            keys = list(kind)
            chosen.append(keys[seen:] + random.sample(keys[:seen], min(count, seen)))
        try:
            self.check(*chosen)
            for number in pulls:
                pull(self.server, self.ledger, number)
        except OSError as error:
            self.ledger.complain(str(error))
        self.ledger.complaints[before:] = [f"{complaint}: {text}" for text in self.ledger.complaints[before:]]


class Traffic:
    """Pushers, pullers and, where it may be, a collector of one round; they end when the server goes away."""

    def __init__(self, server, ledger, source, numbers, collects=False):
        ledger.cut.clear()
        pushers = [Pusher(server, ledger, f"faults/p{n}", random.Random(source.getrandbits(64))) for n in range(PUSHERS)]
        pullers = [Puller(server, ledger, numbers) for _ in range(PULLERS)]
        others = [Collector(server, ledger)] if collects else []
        self.threads = [threading.Thread(target=client.run, daemon=True) for client in [*pushers, *pullers, *others]]
        for thread in self.threads:
            thread.start()

    def wait(self):
        for thread in self.threads:
            thread.join()


def report(name, sentence, complaints):
    """One line PASS or FAIL, and the first complaints."""
    print(f"{'FAIL' if complaints else 'PASS'} {name}: {sentence}", flush=True)
    for complaint in complaints[:10]:
        print(f"  | {complaint}")


def last_words(server):
    with open(server.log, errors="replace") as log:
        for line in log.readlines()[-10:]:
            print(f"  server | {line.rstrip()[:400]}")
