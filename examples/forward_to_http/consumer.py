#!/usr/bin/env python3
"""Takes events from Doorbell: checks the signature, and lets each job take effect once.

    pip install standardwebhooks
    WEBHOOK_SECRET=whsec_... python3 consumer.py        # PORT=3000 by default

Answers 204 when the effect is durable (Doorbell takes any 2xx for done), 401 when the signature is wrong. Anything but a
2xx, and an answer that never comes, has Doorbell try again later.
"""

import json
import os
import sqlite3
import sys
from contextlib import closing
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from standardwebhooks.webhooks import Webhook, WebhookVerificationError

webhook = Webhook(os.environ["WEBHOOK_SECRET"])


def connect():
    """A connection of each thread's own; who writes waits for who writes now, for 20 seconds at most."""
    database = sqlite3.connect("effects.db", timeout=20)
    database.execute("PRAGMA synchronous = FULL")
    return database


with closing(connect()) as database, database:
    database.execute("CREATE TABLE IF NOT EXISTS handled (job TEXT PRIMARY KEY)")
    database.execute("CREATE TABLE IF NOT EXISTS effect (kind TEXT, subject TEXT, data TEXT)")


def take_effect(job, kind, subject, event):
    """The job's id and its effect in one transaction: both are there, or neither is."""
    with closing(connect()) as database, database:
        try:
            database.execute("INSERT INTO handled (job) VALUES (?)", (job,))
        except sqlite3.IntegrityError:
            return False
        database.execute("INSERT INTO effect VALUES (?, ?, ?)", (kind, subject, json.dumps(event)))
        return True


class Consumer(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"  # keeps connections open, as Doorbell does

    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        try:
            # The signature covers webhook-id, webhook-timestamp and the body as it came. Old ones are refused, too.
            event = webhook.verify(body, dict(self.headers))
        except WebhookVerificationError:
            return self.answer(401)
        job, kind = self.headers["webhook-id"], self.headers["ce-type"]
        first = take_effect(job, kind, self.headers["ce-subject"], event)
        # In one piece, as other threads write, too.
        sys.stdout.write(f"{'took effect' if first else 'known already'}: {kind} {job}\n")
        sys.stdout.flush()
        self.answer(204)

    def answer(self, status):
        self.send_response(status)
        if status != 204:
            self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


class Server(ThreadingHTTPServer):
    """A thread for each connection: Doorbell opens up to 32 at once, and keeps them open between jobs."""

    request_queue_size = 64


server = Server(("127.0.0.1", int(os.environ.get("PORT", "3000"))), Consumer)
print(f"listening on http://127.0.0.1:{server.server_port}/", flush=True)
server.serve_forever()
