"""The target: an HTTP server that writes down every effect."""

import collections
import http.server
import json
import threading

Effect = collections.namedtuple("Effect", "thing job attempt")


class Sink:
    """Listens on `host` at any free port."""

    def __init__(self, host):
        self._effects = []
        self._changed = threading.Condition()
        sink = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                body = json.loads(self.rfile.read(int(self.headers["content-length"])))
                effect = Effect(thing_of(body), self.headers["webhook-id"], int(self.headers["doorbell-attempt"]))
                with sink._changed:
                    sink._effects.append(effect)
                    sink._changed.notify_all()
                self.send_response(204)
                self.end_headers()

            def log_message(self, *_):
                pass

        class Server(http.server.ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, *_):
                """A worker that is killed leaves its connections behind; nothing is wrong here."""

        self._server = Server((host, 0), Handler)
        self.host, self.port = self._server.server_address
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def effects(self):
        with self._changed:
            return list(self._effects)

    def wait_for(self, things, patience):
        """Waits until all of these things have taken effect; gives back those that have not."""
        with self._changed:
            def missing():
                return things - {effect.thing for effect in self._effects}

            self._changed.wait_for(lambda: not missing(), patience)
            return missing()

    def close(self):
        self._server.shutdown()
        self._server.server_close()


def thing_of(body):
    """What a delivery was about: unlike in every delivery that this test sends."""
    if "events" in body:
        return body["events"][0]["meta"]["href"].rsplit("/", 1)[1]
    return str(body["object_id"])
