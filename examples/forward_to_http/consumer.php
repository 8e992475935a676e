<?php
// Takes events from Doorbell: checks the signature, and lets each job take effect once. PHP's own functions are enough.
//
//     WEBHOOK_SECRET=whsec_... php -S 127.0.0.1:3000 consumer.php
//
// Answers 204 when the effect is durable (Doorbell takes any 2xx for done), 401 when the signature is wrong. Anything but
// a 2xx, and an answer that never comes, has Doorbell try again later.

declare(strict_types=1);

// Standard Webhooks: the HMAC of "id.timestamp.body". There may be several signatures, while a secret is changed.
function is_signed(string $key, string $id, string $time, string $signatures, string $body): bool
{
    if ($id === '' || !ctype_digit($time) || abs(time() - (int) $time) > 300) {
        return false;
    }
    $expected = 'v1,' . base64_encode(hash_hmac('sha256', "$id.$time.$body", $key, true));
    foreach (explode(' ', $signatures) as $signature) {
        // Not ===, which would tell by its time how much of it was right.
        if (hash_equals($expected, $signature)) {
            return true;
        }
    }
    return false;
}

// The effect of this example is a line in a file, and the job's id stands in that line: both are there, or neither is.
// With a database, put the id into a table with a unique key, in the same transaction as the effect.
function take_effect(string $job, string $kind, string $body): bool
{
    $file = fopen('effects.jsonl', 'a+');
    if ($file === false || !flock($file, LOCK_EX)) {
        throw new RuntimeException('effects.jsonl can\'t be opened');
    }
    rewind($file);
    while (($line = fgets($file)) !== false) {
        // A line that a crash cut short is no JSON: its job was not answered, and comes again.
        if ((json_decode($line, true)['job'] ?? null) === $job) {
            return false;
        }
    }
    $event = json_decode($body, false, 512, JSON_THROW_ON_ERROR);
    $line = json_encode(['job' => $job, 'kind' => $kind, 'data' => $event], JSON_THROW_ON_ERROR);
    // A line break in front, as the line before may have been cut short.
    if (fwrite($file, "\n$line") !== strlen($line) + 1 || !fsync($file)) {
        throw new RuntimeException('effects.jsonl can\'t be written');
    }
    return true;
}

$key = base64_decode(preg_replace('/^whsec_/', '', (string) getenv('WEBHOOK_SECRET')));
if ($key === '' || $key === false) {
    throw new RuntimeException('WEBHOOK_SECRET is not set; expected whsec_ and base64');
}
$header = fn (string $name): string => $_SERVER['HTTP_' . strtoupper(strtr($name, '-', '_'))] ?? '';
$body = (string) file_get_contents('php://input');
if (!is_signed($key, $header('webhook-id'), $header('webhook-timestamp'), $header('webhook-signature'), $body)) {
    http_response_code(401);
    return;
}
// An exception is a 500: Doorbell tries again.
$first = take_effect($header('webhook-id'), $header('ce-type'), $body);
file_put_contents('php://stdout', ($first ? 'took effect' : 'known already') . ": {$header('ce-type')} {$header('webhook-id')}\n");
http_response_code(204);
