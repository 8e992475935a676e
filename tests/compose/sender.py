"""Two senders, true to the vendors: Poster signs its bodies, Kladana proves itself by a secret in the path. Both repeat
a delivery to the byte until it is acknowledged as they want it."""

import collections
import hashlib
import http.client
import json
import threading
import time
import uuid

# What both allow for an answer, in seconds.
DEADLINE = 1.5
PAUSE = 0.05

Trouble = collections.namedtuple("Trouble", "thing what")
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
        self.acknowledged, self.troubles, self.slowest = set(), [], 0.0
        self._threads = [threading.Thread(target=self._send, args=(at,), daemon=True) for at in range(senders)]
        for thread in self._threads:
            thread.start()

    def wait_for(self, count, patience):
        """Waits until this many more have been acknowledged from now on; gives back whether they have."""
        with self._changed:
            goal = len(self.acknowledged) + count
            return self._changed.wait_for(lambda: len(self.acknowledged) >= goal, patience)

    def stop(self, patience):
        """Begins no further delivery, and waits until those under way are acknowledged."""
        self._stopping.set()
        end = time.monotonic() + patience
        for thread in self._threads:
            thread.join(max(0.0, end - time.monotonic()))
        if any(thread.is_alive() for thread in self._threads):
            raise AssertionError(f"a delivery is not taken any more; the last troubles: {self.troubles[-5:]}")
        return self.acknowledged

    def _send(self, at):
        connection = None
        while not self._stopping.is_set():
            with self._changed:
                number = next(self._numbers)
            message = kladana(self._secrets["KLADANA_PATH_SECRET"]) if at % 4 == 0 else \
                poster(number, self._secrets["POSTER_SECRET"])
            while True:
                began = time.monotonic()
                try:
                    if connection is None:
                        connection = self._connect(DEADLINE)
                    connection.request("POST", message.path, message.body, message.headers)
                    reply = connection.getresponse()
                    answer = reply.read()
                    if reply.status == 200 and answer == message.success:
                        break
                    trouble = f"status {reply.status}"
                except (OSError, http.client.HTTPException) as error:
                    trouble = f"{type(error).__name__}: {error}"
                    if connection is not None:
                        connection.close()
                    connection = None
                with self._changed:
                    self.troubles.append(Trouble(message.thing, trouble))
                time.sleep(PAUSE)
            with self._changed:
                self.acknowledged.add(message.thing)
                self.slowest = max(self.slowest, time.monotonic() - began)
                self._changed.notify_all()
            # What tills send, not as much as will go through.
            time.sleep(0.02)
