"""docker compose under a project name of its own, and the images for it."""

import json
import os
import pathlib
import secrets
import shutil
import socket
import subprocess
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
PATIENCE = 120.0
BASES = {
    "RUST_IMAGE": ("rust", "rust:1-slim-bookworm"),
    "RUNTIME_IMAGE": ("runtime", "gcr.io/distroless/cc-debian12"),
    "HAPROXY_IMAGE": ("haproxy", "haproxy:lts-alpine"),
    "CADDY_IMAGE": ("caddy", "caddy:2-alpine"),
    "REDIS_IMAGE": ("redis", "redis:7-bookworm"),
}
SECRETS = ["DOORBELL_ADMIN_TOKEN", "KLADANA_PATH_SECRET", "QUABLE_AUTHORIZATION", "POSTER_SECRET", "SHAREACTOR_SECRET"]


PORTS = ["DOORBELL_HTTP", "DOORBELL_ADMIN", "DOORBELL_TLS_HTTP", "DOORBELL_TLS_HTTPS"]


def run(*command, env=None, check=True, quiet=True):
    """Runs a command; its output is shown only if it fails."""
    done = subprocess.run(command, env=env, cwd=ROOT, text=True, stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE if quiet else None, stderr=subprocess.STDOUT if quiet else None)
    if check and done.returncode != 0:
        said = (done.stdout or "")[-4000:]
        raise AssertionError(f"{' '.join(map(str, command))}: exit code {done.returncode}\n{said}")
    return done.stdout or ""


def until(what, condition, patience=PATIENCE):
    """Waits until `condition` gives something true, and gives that back."""
    end = time.monotonic() + patience
    while True:
        found = condition()
        if found:
            return found
        if time.monotonic() > end:
            raise AssertionError(f"{what}: not within {patience:.0f} s")
        time.sleep(0.1)


def free_ports(count):
    """Ports of the loopback that nobody has now."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


class Stack:
    def __init__(self):
        self.project = f"doorbell-test-{os.getpid()}"
        self.work = pathlib.Path(tempfile.mkdtemp(prefix="doorbell-compose-"))
        self.secrets = {name: secrets.token_hex(24) for name in SECRETS}
        self.compose = ["docker", "compose"]
        if subprocess.run([*self.compose, "version"], capture_output=True).returncode != 0:
            if not shutil.which("docker-compose"):
                raise SystemExit("there is neither `docker compose` nor docker-compose; install one of them")
            self.compose = ["docker-compose"]
        (self.work / "env").write_text("".join(f"{name}={value}\n" for name, value in self.secrets.items()))
        self.env = {
            **{key: value for key, value in os.environ.items() if not key.startswith("COMPOSE_")},
            "DOORBELL_ENV_FILE": str(self.work / "env"),
            "DOORBELL_IMAGE": f"{self.project}:doorbell",
            "DOORBELL_PROXY_IMAGE": f"{self.project}:proxy",
            "DOORBELL_TLS_IMAGE": f"{self.project}:tls",
            **{key: f"127.0.0.1:{port}" for key, port in zip(PORTS, free_ports(len(PORTS)))},
            "DOORBELL_DOMAIN": "localhost",
            "DOORBELL_ACME_EMAIL": "internal",
        }

    # What it is made of.

    def configure(self, sink):
        """Lets everything that comes be sent to this address, and nothing else differ from what is shipped."""
        shipped = (ROOT / "deploy/compose.toml").read_text()
        target = "target = { log = {} }"
        assert shipped.count(target) == 1, "deploy/compose.toml has another target now"
        config = self.work / "doorbell.toml"
        config.write_text(shipped.replace(target, f'target = {{ http = "http://{sink}/" }}'))
        config.chmod(0o644)
        self.work.chmod(0o755)
        self.env["DOORBELL_TOML"] = str(config)

    def build(self):
        if not self._pull():
            print("no registry can be reached; making stand-ins for the base images", flush=True)
            binary = os.environ.get("DOORBELL_BIN")
            if not binary:
                run("cargo", "build", "--release", "--locked", "--package", "doorbell", "--bin", "doorbell",
                    quiet=False)
                binary = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")) / "release/doorbell"
            run("tests/compose/standins/build", str(self.work / "standins"), str(binary), self.project)
            self.env |= {key: f"{self.project}:{name}" for key, (name, _) in BASES.items()}
        self("--profile", "tls", "build")

    def host(self):
        """The address by which containers reach this machine."""
        hosts = run("docker", "run", "--rm", "--add-host", "sink:host-gateway", "--entrypoint", "cat",
                    self.env["REDIS_IMAGE"], "/etc/hosts")
        return next(line.split()[0] for line in hosts.splitlines() if line.endswith("\tsink"))

    def _pull(self):
        for key, (_, image) in BASES.items():
            image = self.env.setdefault(key, image)
            if subprocess.run(["docker", "image", "inspect", image], capture_output=True).returncode == 0:
                continue
            try:
                done = subprocess.run(["docker", "pull", "-q", image], capture_output=True, timeout=300)
            except subprocess.TimeoutExpired:
                return False
            if done.returncode != 0:
                return False
        return True

    def remove(self):
        """Everything that was made: containers, networks, volumes, images, files."""
        self("--profile", "tls", "down", "--volumes", "--remove-orphans", "--timeout", "10", check=False)
        # The steps of a build leave images without a name behind; ours are those that stand on the stand-ins' root.
        ids = run("docker", "image", "ls", "--all", "--quiet", "--no-trunc").split()
        images = json.loads(run("docker", "image", "inspect", *set(ids), check=False) or "[]") if ids else []
        root = next((image["RootFS"]["Layers"] for image in images if f"{self.project}:root" in image["RepoTags"]), None)
        steps = [image["Id"] for image in images
                 if root and not image["RepoTags"] and image["RootFS"]["Layers"][:len(root)] == root]
        tags = ["doorbell", "proxy", "tls", *(name for name, _ in BASES.values()), "root"]
        run("docker", "image", "rm", "--force", *(f"{self.project}:{tag}" for tag in tags), check=False)
        # A step goes with the last that stands on it; those that are gone already are no trouble.
        if steps:
            run("docker", "image", "rm", "--force", *steps, check=False)
        shutil.rmtree(self.work, ignore_errors=True)

    # What is done with it.

    def __call__(self, *arguments, check=True):
        return run(*self.compose, "--project-name", self.project, "--env-file", str(self.work / "env"),
                   *arguments, env=self.env, check=check)

    def up(self, *services, **scale):
        scales = [part for service, count in scale.items() for part in ("--scale", f"{service}={count}")]
        self("up", "--detach", "--no-recreate", *scales, *services)

    def containers(self, service, running=True):
        """The ids of this service's containers, the oldest first."""
        ids = run("docker", "ps", *([] if running else ["--all"]), "--quiet", "--no-trunc",
                  "--filter", f"label=com.docker.compose.project={self.project}",
                  "--filter", f"label=com.docker.compose.service={service}").split()
        return ids[::-1]

    def inspect(self, container):
        return json.loads(run("docker", "inspect", container))[0]

    def healthy(self, *services):
        """Waits until every container of these services says that it is well."""
        for service in services:
            until(f"{service} is healthy", lambda service=service: all(
                self.inspect(container)["State"].get("Health", {}).get("Status") == "healthy"
                for container in self.containers(service)) and self.containers(service))

    def kill(self, container):
        run("docker", "kill", container)

    def start(self, container):
        run("docker", "start", container)

    def port(self, name):
        """Where the proxy is found on the host: the port by one of the names in `PORTS`."""
        return int(self.env[name].rsplit(":", 1)[1])

    def logs(self):
        return self("--profile", "tls", "logs", "--no-color")
