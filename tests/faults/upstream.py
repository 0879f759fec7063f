"""An upstream of endless images: `library/rN:1` is made from the number N, the same each time it is asked for.

Bodies leave in slices with a pause between, so that a kill finds fetches under way.
"""
import hashlib
import json
import random
import re
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

MANIFEST = "application/vnd.oci.image.manifest.v1+json"
SLICE = 128 * 1024


def digest_of(data):
    return "sha256:" + hashlib.sha256(data).hexdigest()


def make_image(source):
    """A manifest and its blobs by digest, sizes from 1 KiB to 2 MiB, from this source of chance."""
    blobs = [source.randbytes(int(2 ** source.uniform(10, 21))) for _ in range(source.randint(1, 3))]
    config = json.dumps({"architecture": "amd64", "os": "linux", "rootfs": {"type": "layers", "diff_ids": [digest_of(b) for b in blobs]}}).encode()
    manifest = json.dumps({
        "schemaVersion": 2, "mediaType": MANIFEST,
        "config": {"mediaType": "application/vnd.oci.image.config.v1+json", "digest": digest_of(config), "size": len(config)},
        "layers": [{"mediaType": "application/vnd.oci.image.layer.v1.tar", "digest": digest_of(b), "size": len(b)} for b in blobs],
    }).encode()
    return manifest, {digest_of(b): b for b in [config, *blobs]}


class Answer(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def do_GET(self):
        asked = re.fullmatch(r"/v2/library/r(\d+)/(manifests|blobs)/([^?]+)(\?.*)?", self.path)
        if self.path.split("?")[0] == "/v2/":
            return self.say(200, b"{}", "application/json")
        if not asked:
            return self.say(404, b'{"errors":[{"code":"MANIFEST_UNKNOWN","message":"not here"}]}', "application/json")
        manifest, blobs = make_image(random.Random(int(asked[1])))
        if asked[2] == "manifests" and asked[3] in ("1", digest_of(manifest)):
            return self.say(200, manifest, MANIFEST)
        if asked[2] == "blobs" and asked[3] in blobs:
            return self.say(200, blobs[asked[3]], "application/octet-stream")
        return self.say(404, b'{"errors":[{"code":"BLOB_UNKNOWN","message":"not here"}]}', "application/json")

    do_HEAD = do_GET

    def say(self, status, body, kind):
        start, part = 0, re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
        total = len(body)
        if status == 200 and part and int(part[1]) < total:
            status, start = 206, int(part[1])
            body = body[start:int(part[2] or total - 1) + 1]
        self.send_response(status)
        if status == 206:
            self.send_header("Content-Range", f"bytes {start}-{start + len(body) - 1}/{total}")
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        if kind == MANIFEST:
            self.send_header("Docker-Content-Digest", digest_of(body))
        self.end_headers()
        if self.command == "HEAD":
            return
        try:
            for position in range(0, len(body), SLICE):
                self.wfile.write(body[position:position + SLICE])
                time.sleep(0.01)
        except OSError:
            self.close_connection = True  # the server was killed: what this is for


class Upstream(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Answer)
        self.url = f"http://127.0.0.1:{self.server_address[1]}"
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def handle_error(self, *_):
        pass
