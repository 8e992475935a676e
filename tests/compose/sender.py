"""Two senders, true to the vendors. Poster signs its bodies and repeats a delivery to the byte until it is acknowledged as
it wants it. Kladana proves itself by a secret in the path, tries four times in all, at once, and not after a timeout."""

import collections
import hashlib
import http.client
import json
import threading
import time
import uuid

# What both allow for an answer, in seconds, connecting included.
DEADLINE = 1.5
# Poster asks again for two days; here it is not waited for as long.
PAUSE = 0.05
KLADANA_TRIES = 4

Trouble = collections.namedtuple("Trouble", "thing what seconds")
Message = collections.namedtuple("Message", "thing path headers body success")


def poster(number, secret):
    data = json.dumps({"type": 2, "element_id": number, "storage_id": 1, "value_absolute": 23.5})
    fields = {"account": "demo-cafe", "object": "stock", "object_id": number, "action": "changed",
              "time": str(int(time.time())), "account_number": "401122", "data": data}
    signed = ";".join([fields["account"], fields["object"], str(number), fields["action"], data, fields["time"],
                       secret])
    fields["verify"] = hashlib.md5(signed.encode()).hexdigest()
    return Message(str(number), "/in/poster", {"content-type": "application/json"}, json.dumps(fields).encode(),
                   b'{"status":"accept"}')


def kladana(secret):
    thing = str(uuid.uuid4())
    base = "https://api.kladana.com/api/remap/1.2"
    body = {"auditContext": {"meta": {"type": "audit", "href": f"{base}/audit/{uuid.uuid4()}"},
                             "uid": "manager@democafe", "moment": time.strftime("%Y-%m-%d %H:%M:%S")},
            "events": [{"meta": {"type": "customerorder", "href": f"{base}/entity/customerorder/{thing}"},
                        "action": "UPDATE", "accountId": str(uuid.UUID(int=1))}]}
    return Message(thing, f"/in/kladana/{secret}?requestId={uuid.uuid4()}",
                   {"content-type": "application/json; charset=UTF-8"}, json.dumps(body).encode(), b'{"status":"ok"}')


class Load:
    """Many senders, each with one delivery after the other, until `stop`."""

    def __init__(self, connect, secrets, numbers, senders=8):
        self._connect, self._secrets, self._numbers = connect, secrets, numbers
        self._stopping = threading.Event()
        self._changed = threading.Condition()
        self.acknowledged, self.given_up, self.troubles, self.slowest = set(), set(), [], 0.0
        self._threads = [threading.Thread(target=self._send, args=(at,), daemon=True) for at in range(senders)]
        for thread in self._threads:
            thread.start()

    def wait_for(self, count, patience):
        """Waits until this many more have been acknowledged from now on; gives back whether they have."""
        with self._changed:
            goal = len(self.acknowledged) + count
            return self._changed.wait_for(lambda: len(self.acknowledged) >= goal, patience)

    def stop(self, patience):
        """Begins no further delivery, and waits until those under way are acknowledged or given up."""
        self._stopping.set()
        end = time.monotonic() + patience
        for thread in self._threads:
            thread.join(max(0.0, end - time.monotonic()))
        if any(thread.is_alive() for thread in self._threads):
            raise AssertionError(f"a delivery is not taken any more; the last troubles: {self.troubles[-5:]}")
        return self.acknowledged

    def _send(self, at):
        kept = None
        while not self._stopping.is_set():
            if at % 4 == 0:
                self._kladana(kladana(self._secrets["KLADANA_PATH_SECRET"]))
            else:
                with self._changed:
                    number = next(self._numbers)
                kept = self._poster(poster(number, self._secrets["POSTER_SECRET"]), kept)
            # What tills send, not as much as will go through.
            time.sleep(0.02)

    def _kladana(self, message):
        """Each try on a connection of its own. What is not acknowledged then is lost for good, and nobody is to blame but
        whoever let it come to that: what counts is that nothing acknowledged is lost."""
        for _ in range(KLADANA_TRIES):
            connection, late = self._try(message, None)
            if connection is not None:
                connection.close()
                return
            if late:
                break
        with self._changed:
            self.given_up.add(message.thing)

    def _poster(self, message, kept):
        """On a connection that is kept, which it gives back."""
        while True:
            kept, _ = self._try(message, kept)
            if kept is not None:
                return kept
            time.sleep(PAUSE)

    def _try(self, message, connection):
        """Sends it once. The connection, if it was acknowledged, otherwise None; and whether no reply came in time."""
        began = time.monotonic()
        late = False
        try:
            if connection is None:
                connection = self._connect(DEADLINE)
                connection.connect()
            if connection.sock is not None:
                connection.sock.settimeout(max(0.001, DEADLINE - (time.monotonic() - began)))
            connection.request("POST", message.path, message.body, message.headers)
            reply = connection.getresponse()
            answer = reply.read()
            if reply.status == 200 and answer == message.success:
                with self._changed:
                    self.acknowledged.add(message.thing)
                    self.slowest = max(self.slowest, time.monotonic() - began)
                    self._changed.notify_all()
                return connection, False
            trouble = f"status {reply.status}"
        except (OSError, http.client.HTTPException) as error:
            late = isinstance(error, TimeoutError)
            trouble = f"{type(error).__name__}: {error}"
        connection.close()
        with self._changed:
            self.troubles.append(Trouble(message.thing, trouble, time.monotonic() - began))
        return None, late
