// Takes events from Doorbell: checks the signature, and lets each job take effect once. Node's own library is enough.
//
//     WEBHOOK_SECRET=whsec_... node consumer.mjs          # PORT=3000 by default
//
// Answers 204 when the effect is durable (Doorbell takes any 2xx for done), 401 when the signature is wrong. Anything but
// a 2xx, and an answer that never comes, has Doorbell try again later.

import { createHmac, timingSafeEqual } from "node:crypto";
import { fsyncSync, openSync, readFileSync, writeSync } from "node:fs";
import { createServer } from "node:http";

const key = Buffer.from((process.env.WEBHOOK_SECRET ?? "").replace(/^whsec_/, ""), "base64");
if (key.length === 0) throw new Error("WEBHOOK_SECRET is not set; expected whsec_ and base64");

// Standard Webhooks: the HMAC of "id.timestamp.body". There may be several signatures, while a secret is changed.
function isSigned(headers, body) {
  const { "webhook-id": id, "webhook-timestamp": time, "webhook-signature": signatures } = headers;
  if (!id || !time || !signatures || !(Math.abs(Date.now() / 1000 - Number(time)) <= 300)) return false;
  const expected = createHmac("sha256", key).update(`${id}.${time}.`).update(body).digest();
  return signatures.split(" ").some((signature) => {
    const [version, value] = signature.split(",", 2);
    const given = Buffer.from(value ?? "", "base64");
    // Not ===, which would tell by its time how much of it was right.
    return version === "v1" && given.length === expected.length && timingSafeEqual(given, expected);
  });
}

// The effect of this example is a line in a file, and the job's id stands in that line: both are there, or neither is. With
// a database, put the id into a table with a unique key, in the same transaction as the effect.
const file = openSync("effects.jsonl", "a");
const handled = new Set();
for (const line of readFileSync("effects.jsonl", "utf8").split("\n")) {
  try {
    handled.add(JSON.parse(line).job);
  } catch {
    // The end of the file, or a line that a crash cut short: its job was not answered, and comes again.
  }
}

function takeEffect(job, kind, body) {
  if (handled.has(job)) return false;
  // A line break in front, as the line before may have been cut short.
  writeSync(file, `\n${JSON.stringify({ job, kind, data: JSON.parse(body) })}`);
  fsyncSync(file);
  handled.add(job);
  return true;
}

const server = createServer((request, response) => {
  const chunks = [];
  request.on("data", (chunk) => chunks.push(chunk));
  request.on("end", () => {
    const body = Buffer.concat(chunks);
    if (!isSigned(request.headers, body)) return response.writeHead(401).end();
    const { "webhook-id": job, "ce-type": kind } = request.headers;
    try {
      const first = takeEffect(job, kind, body);
      console.log(`${first ? "took effect" : "known already"}: ${kind} ${job}`);
      response.writeHead(204).end();
    } catch (error) {
      console.error(error);
      response.writeHead(500).end(String(error)); // Doorbell shows it, and tries again
    }
  });
});
server.listen(Number(process.env.PORT ?? 3000), "127.0.0.1", () => {
  console.log(`listening on http://127.0.0.1:${server.address().port}/`);
});
