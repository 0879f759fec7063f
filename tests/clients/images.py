#!/usr/bin/env python3
"""Pushes the test images to a registry: `images.py REGISTRY_URL DEBIAN_ROOT BUSYBOX`.

What every client test pulls: a real Debian in two layers with Docker's media types, an OCI index of two
platforms, and a small image that runs. Needs only the standard library; the layers are made with tar and gzip.
"""
import gzip
import hashlib
import io
import json
import subprocess
import sys
import tarfile
import urllib.error
import urllib.request

DOCKER = {
    "manifest": "application/vnd.docker.distribution.manifest.v2+json",
    "config": "application/vnd.docker.container.image.v1+json",
    "layer": "application/vnd.docker.image.rootfs.diff.tar.gzip",
}
OCI = {
    "manifest": "application/vnd.oci.image.manifest.v1+json",
    "config": "application/vnd.oci.image.config.v1+json",
    "layer": "application/vnd.oci.image.layer.v1.tar+gzip",
    "index": "application/vnd.oci.image.index.v1+json",
}
MADE = "2025-01-01T00:00:00Z"


def digest(data):
    return "sha256:" + hashlib.sha256(data).hexdigest()


def send(method, url, body=None, kind="application/octet-stream"):
    request = urllib.request.Request(url, data=body, method=method, headers={"Content-Type": kind})
    return urllib.request.urlopen(request)


def push_blob(registry, repository, data):
    location = send("POST", f"{registry}/v2/{repository}/blobs/uploads/", b"").headers["Location"]
    joint = "&" if "?" in location else "?"
    send("PUT", f"{location}{joint}digest={digest(data)}", data)


def push_manifest(registry, repository, reference, kind, document):
    data = json.dumps(document).encode()
    send("PUT", f"{registry}/v2/{repository}/manifests/{reference or digest(data)}", data, kind)
    return {"mediaType": kind, "digest": digest(data), "size": len(data)}


def push_image(registry, repository, reference, layers, kinds, architecture="amd64"):
    """Pushes one image and returns its descriptor. `layers` are uncompressed tar archives."""
    packed = [gzip.compress(layer, compresslevel=6, mtime=0) for layer in layers]
    config = json.dumps({
        "architecture": architecture, "os": "linux", "created": MADE,
        "config": {"Cmd": ["/bin/sh"], "Env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"]},
        "rootfs": {"type": "layers", "diff_ids": [digest(layer) for layer in layers]},
        "history": [{"created": MADE, "created_by": "entrepot tests"} for _ in layers],
    }).encode()
    for blob in [config, *packed]:
        push_blob(registry, repository, blob)
    return push_manifest(registry, repository, reference, kinds["manifest"], {
        "schemaVersion": 2, "mediaType": kinds["manifest"],
        "config": {"mediaType": kinds["config"], "digest": digest(config), "size": len(config)},
        "layers": [{"mediaType": kinds["layer"], "digest": digest(blob), "size": len(blob)} for blob in packed],
    })


def push_index(registry, repository, tag, layers):
    children = []
    for architecture in ["amd64", "arm64"]:
        child = push_image(registry, repository, None, layers, OCI, architecture)
        children.append({**child, "platform": {"os": "linux", "architecture": architecture}})
    push_manifest(registry, repository, tag, OCI["index"], {"schemaVersion": 2, "mediaType": OCI["index"], "manifests": children})


def tar_of(folder, *arguments):
    command = ["tar", "-C", folder, "--numeric-owner", "--sort=name", "-c", *arguments]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout


def add_folder(archive, name):
    entry = tarfile.TarInfo(name)
    entry.type, entry.mode = tarfile.DIRTYPE, 0o755
    archive.addfile(entry)


def busybox_layers(busybox):
    """Two layers: the program with the names it is called by, and a file."""
    program, note = io.BytesIO(), io.BytesIO()
    with tarfile.open(fileobj=program, mode="w") as archive:
        add_folder(archive, "bin")
        with open(busybox, "rb") as file:
            entry = tarfile.TarInfo("bin/busybox")
            entry.size, entry.mode = len(file.read()), 0o755
            file.seek(0)
            archive.addfile(entry, file)
        for name in ["sh", "true", "cat"]:
            link = tarfile.TarInfo(f"bin/{name}")
            link.type, link.linkname = tarfile.SYMTYPE, "busybox"
            archive.addfile(link)
    with tarfile.open(fileobj=note, mode="w") as archive:
        add_folder(archive, "etc")
        entry = tarfile.TarInfo("etc/made-by")
        text = b"entrepot tests\n"
        entry.size = len(text)
        archive.addfile(entry, io.BytesIO(text))
    return [program.getvalue(), note.getvalue()]


def main(registry, debian, busybox):
    shared = ["--exclude=./var/cache/apt/*", "--exclude=./dev/*"]
    debian_layers = [tar_of(debian, *shared, "--exclude=./usr/share", "."), tar_of(debian, *shared, "./usr/share")]
    small = busybox_layers(busybox)
    push_image(registry, "library/debian", "12", debian_layers, DOCKER)
    push_image(registry, "library/small", "1", small, OCI)
    push_index(registry, "library/multi", "1", small)


if __name__ == "__main__":
    main(*sys.argv[1:])
