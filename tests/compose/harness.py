"""Each function whose name begins with `test_` is a test. They share one stack and run in the order in which they stand
here; after each, whatever was acknowledged has to have been handled."""

import collections
import contextlib
import http.client
import itertools
import json
import signal
import ssl
import sys
import time
import traceback

from sender import Load
from sink import Sink
from stack import PATIENCE, Stack, run, until

# How many acknowledgements before and after something is done to the stack.
SOME = 150


class Bench:
    """The stack, the target, and all that was acknowledged so far."""

    def __init__(self, stack, sink):
        self.stack, self.sink = stack, sink
        self.numbers = itertools.count(1)
        self.acknowledged = set()

    def connect(self, timeout):
        return http.client.HTTPConnection("127.0.0.1", self.stack.port("DOORBELL_HTTP"), timeout=timeout)

    @contextlib.contextmanager
    def load(self, connect=None):
        """Sends while the block runs; then everything acknowledged has to be handled. It is under way when the block
        begins, and goes on for a while after it."""
        load = Load(connect or self.connect, self.stack.secrets, self.numbers)
        try:
            flowing(load)
            yield load
            flowing(load)
        finally:
            acknowledged = load.stop(PATIENCE)
            self.acknowledged |= acknowledged
        lost = self.sink.wait_for(self.acknowledged, PATIENCE)
        assert not lost, f"acknowledged and never handled: {len(lost)}, among them {sorted(lost)[:10]}"
        kinds = collections.Counter(trouble.what for trouble in load.troubles)
        print(f"    {len(acknowledged)} acknowledged, the slowest in {load.slowest * 1000:.0f} ms; "
              f"{len(load.given_up)} given up; not at once: {dict(kinds) or 'none'}", flush=True)

    def effects_are_right(self):
        """One job for each delivery, and no attempt that took effect twice."""
        jobs = collections.defaultdict(set)
        attempts = collections.Counter()
        for effect in self.sink.effects():
            jobs[effect.thing].add(effect.job)
            attempts[effect.job, effect.attempt] += 1
        several = {thing: found for thing, found in jobs.items() if len(found) > 1}
        assert not several, f"deliveries that became several jobs: {list(several.items())[:5]}"
        twice = [key for key, count in attempts.items() if count > 1]
        assert not twice, f"attempts that took effect twice: {twice[:5]}"

    def repeated(self):
        """How many jobs took effect more than once so far."""
        jobs = collections.Counter(effect.job for effect in self.sink.effects())
        return sum(count > 1 for count in jobs.values())


    def idle(self):
        """Waits until no job waits or runs: what a killed worker ran is taken over only when its lease has run out."""
        def settled():
            connection = http.client.HTTPConnection("127.0.0.1", self.stack.port("DOORBELL_ADMIN"), timeout=5)
            try:
                token = self.stack.secrets["DOORBELL_ADMIN_TOKEN"]
                connection.request("GET", "/api/stats", headers={"authorization": f"Bearer {token}"})
                jobs = json.load(connection.getresponse())["jobs"]
            except (OSError, http.client.HTTPException, ValueError, KeyError):
                return False
            finally:
                connection.close()
            return jobs["queued"] == jobs["running"] == jobs["retrying"] == 0
        until("no job waits or runs", settled)


def flowing(load):
    assert load.wait_for(SOME, PATIENCE), f"nothing is acknowledged any more: {load.troubles[-5:]}"


def answered(load):
    """Asserts that every request got the right answer at once. Late ones are forgiven, and so is who was told just before
    its deadline that it can't be taken in by then: the machine may be slow."""
    def late(trouble):
        return (trouble.what.startswith(("TimeoutError", "timeout"))
                or trouble.what == "status 503" and trouble.seconds >= 1.3)

    wrong = [trouble for trouble in load.troubles if not late(trouble)]
    assert not wrong, f"not taken in at the first time: {wrong[:5]}"


def test_takes_in_while_there_is_no_redis(bench):
    bench.stack.up("--no-deps", "proxy", "ingress", ingress=2)
    bench.stack.healthy("proxy", "ingress")
    load = Load(bench.connect, bench.stack.secrets, bench.numbers)
    flowing(load)
    bench.acknowledged |= load.stop(PATIENCE)
    answered(load)
    assert not bench.sink.effects(), "there are no workers yet"
    bench.stack.up(ingress=2, worker=2)
    bench.stack.healthy("proxy", "ingress", "worker", "redis")
    with bench.load() as load:
        pass
    answered(load)
    assert bench.repeated() == 0


def test_every_container_is_locked_in(bench):
    for service in ("proxy", "ingress", "worker", "redis"):
        for container in bench.stack.containers(service):
            found = bench.stack.inspect(container)
            host = found["HostConfig"]
            assert found["Config"]["User"].split(":")[0] not in ("", "0", "root"), service
            assert host["ReadonlyRootfs"] and not host["Privileged"], service
            assert host["CapDrop"] == ["ALL"], service
            assert not host["CapAdd"], service
            assert any("no-new-privileges" in option for option in host["SecurityOpt"]), service
            assert host["LogConfig"]["Config"]["max-size"], service
            published = found["NetworkSettings"]["Ports"].values()
            assert service == "proxy" or not any(published), f"{service} is reached past the proxy"


def test_an_ingress_is_killed(bench):
    with bench.load():
        killed = bench.stack.containers("ingress")[0]
        bench.stack.kill(killed)
    with bench.load():
        bench.stack.start(killed)
        bench.stack.healthy("ingress")


def test_a_worker_is_killed(bench):
    with bench.load() as load:
        killed = bench.stack.containers("worker")[0]
        bench.stack.kill(killed)
    answered(load)
    bench.stack.start(killed)
    bench.stack.healthy("worker")


def test_redis_is_killed(bench):
    with bench.load() as load:
        killed = bench.stack.containers("redis")[0]
        bench.stack.kill(killed)
        flowing(load)
        bench.stack.start(killed)
        bench.stack.healthy("redis")
    answered(load)


def test_the_proxy_is_killed(bench):
    with bench.load():
        killed = bench.stack.containers("proxy")[0]
        bench.stack.kill(killed)
        bench.stack.start(killed)
        bench.stack.healthy("proxy")


def test_both_ingresses_are_killed(bench):
    with bench.load():
        killed = bench.stack.containers("ingress")
        for container in killed:
            bench.stack.kill(container)
        for container in killed:
            bench.stack.start(container)
        bench.stack.healthy("ingress")


def test_scaling_down_refuses_nothing_and_repeats_nothing(bench):
    bench.idle()
    before = bench.repeated()
    with bench.load() as load:
        bench.stack.up(ingress=1, worker=1)
        until("one of each is left", lambda: [len(bench.stack.containers(service)) for service in
                                              ("ingress", "worker")] == [1, 1])
    answered(load)
    assert bench.repeated() == before, "an orderly end cut jobs off"
    with bench.load() as load:
        bench.stack.up(ingress=2, worker=2)
        bench.stack.healthy("ingress", "worker")
    answered(load)


def test_an_ingress_is_removed_with_deliveries_that_redis_lacks(bench):
    redis = bench.stack.containers("redis")[0]
    load = Load(bench.connect, bench.stack.secrets, bench.numbers)
    flowing(load)
    bench.stack.kill(redis)
    flowing(load)
    removed = bench.stack.containers("ingress")[0]
    run("docker", "rm", "--force", removed)
    flowing(load)
    bench.acknowledged |= load.stop(PATIENCE)
    # The slot is in the volume, and whichever ingress starts next takes it over.
    bench.stack.start(redis)
    bench.stack.healthy("redis")
    with bench.load():
        bench.stack.up(ingress=2, worker=2)
        bench.stack.healthy("ingress")


def test_with_a_certificate(bench):
    with bench.load(over_tls(bench)) as load:
        pass
    answered(load)
    plain = http.client.HTTPConnection("localhost", bench.stack.port("DOORBELL_TLS_HTTP"), timeout=PATIENCE)
    plain.request("GET", "/in/poster")
    reply = plain.getresponse()
    assert reply.status in (301, 308) and reply.getheader("location").startswith("https://localhost/"), reply.status


def test_what_has_the_certificate_is_killed(bench):
    with bench.load(over_tls(bench)):
        killed = bench.stack.containers("tls")[0]
        bench.stack.kill(killed)
        bench.stack.start(killed)
        bench.stack.healthy("tls")


def over_tls(bench):
    """Connections to the stack's other door, which is open from now on."""
    bench.stack("--profile", "tls", "up", "--detach", "--no-recreate", "--no-deps", "tls")
    bench.stack.healthy("tls")
    # Its certificate is signed by itself here.
    trusting = ssl.create_default_context()
    trusting.check_hostname, trusting.verify_mode = False, ssl.CERT_NONE

    def connect(timeout):
        port = bench.stack.port("DOORBELL_TLS_HTTPS")
        return http.client.HTTPSConnection("localhost", port, timeout=timeout, context=trusting)

    return connect


def test_no_log_holds_a_secret(bench):
    secret = bench.stack.secrets["KLADANA_PATH_SECRET"]

    def ask(path):
        connection = bench.connect(PATIENCE)
        headers = {"authorization": f"Bearer {secret}", "cookie": secret, "referer": f"/{secret}"}
        connection.request("GET", path, headers=headers)
        return connection.getresponse().status

    assert ask(f"/in/kladana/{secret}") == 200
    for path in (f"/in/poster/{secret}", f"/{secret}", f"//in/kladana/{secret}", f"/in/poster?x={secret}",
                 f"/in/{secret}", f"/in/{secret}/", f"/in/{secret}?x=y"):
        ask(path)
    # With nobody behind it, the proxy logs what it could not pass on.
    for container in bench.stack.containers("ingress"):
        bench.stack.kill(container)
    assert ask(f"/in/kladana/{secret}") in (502, 503)
    assert ask(f"/in/{secret}") in (502, 503)
    for container in bench.stack.containers("ingress", running=False):
        bench.stack.start(container)
    logs = bench.stack.logs()
    assert "source=kladana status=200" in logs, "requests are logged"
    assert "source=kladana status=503" in logs, "failures are logged"
    for name, value in bench.stack.secrets.items():
        assert value not in logs, f"{name} stands in a log: {[line for line in logs.splitlines() if value in line][:3]}"


def main(wanted):
    tests = [(name, test) for name, test in globals().items() if name.startswith("test_")]
    chosen = [(name, test) for name, test in tests
              if not wanted or name == tests[0][0] or any(part in name for part in wanted)]
    passed, failed, began = 0, [], time.monotonic()
    # Ctrl-C and SIGTERM clean up as well.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    stack = Stack()
    try:
        stack.build()
        sink = Sink(stack.host())
        stack.configure(f"{sink.host}:{sink.port}")
        bench = Bench(stack, sink)
        print(f"built after {time.monotonic() - began:.0f} s; running {len(chosen)} tests", flush=True)
        for name, test in chosen:
            try:
                test(bench)
                bench.effects_are_right()
            except (AssertionError, OSError, http.client.HTTPException):
                failed.append(name)
                traceback.print_exc(file=sys.stdout)
                print(stack.logs()[-6000:])
                print(f"test {name[5:]} ... FAILED", flush=True)
                if name == tests[0][0]:
                    break
            else:
                passed += 1
                print(f"test {name[5:]} ... ok", flush=True)
        print(f"\n{len(bench.acknowledged)} deliveries acknowledged, {len(sink.effects())} effects, "
              f"{bench.repeated()} jobs handled again after a crash")
    finally:
        stack.remove()
    left_out = len(tests) - passed - len(failed)
    print(f"\ntest result: {'FAILED' if failed else 'ok'}. {passed} passed; {len(failed)} failed; {left_out} ignored; "
          f"finished in {time.monotonic() - began:.0f} s")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
