#!/usr/bin/env python3
"""Everything that the roles of a deployment do, so that each call is seen once: `every_permission.py PROGRAM SETTINGS`.

SETTINGS is what recorder.py wrote: the outputs of a new deployment, with the recorder's addresses. LEDGERLINE_AWS is the stand-in's
own address: what an operator does here, such as entering secrets, goes there and is not written down. Each role runs with the
settings that its container gets, but for addresses, times of leases and a small limit of records, and signs with its name.
"""

import hashlib
import hmac
import http.client
import json
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.parse
import urllib.request

SECRET = "whsec_made_up_for_this_machine"
LIMITS = 'record_kib_max = 4\n\n[aws.leases]\nlasts_seconds = 3\nrenew_seconds = 1\nseek_seconds = 1\n'


class Operator:
    """Who set the deployment up: talks to the stand-in itself."""

    def __init__(self, address, region):
        self.address, self.region = address, region

    def call(self, service, target, body):
        """A call of a service that takes JSON."""
        headers = {"X-Amz-Target": target, "Content-Type": "application/x-amz-json-1.0", **self.signed(service)}
        request = urllib.request.Request(self.address, json.dumps(body).encode(), headers)
        return json.loads(urllib.request.urlopen(request, timeout=30).read() or b"{}")

    def signed(self, service):
        """A header that says who calls what; the stand-in does not check more."""
        return {"Authorization": f"AWS4-HMAC-SHA256 Credential=operator/20260101/{self.region}/{service}/aws4_request, SignedHeaders=host, Signature=0"}

    def object(self, method, path, body=None):
        """A call of S3."""
        request = urllib.request.Request(f"{self.address}/{path}", body, self.signed("s3"), method=method)
        return urllib.request.urlopen(request, timeout=30).read().decode()

    def keys(self, bucket, below):
        """Names of objects."""
        text = self.object("GET", f"{bucket}?list-type=2&prefix={urllib.parse.quote(below)}")
        return re.findall("<Key>([^<]+)</Key>", text)


class Scenario:
    """A deployment in use."""

    def __init__(self, program, outputs, folder):
        self.program, self.folder, self.served = os.path.realpath(program), folder, {}
        self.outputs = {name: output["value"] for name, output in outputs.items()}
        self.deployment, self.aws = self.outputs["deployment"], self.outputs["aws"]
        self.operator = Operator(os.environ["LEDGERLINE_AWS"], self.aws["region"])
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]

    def settings(self, role, providers=()):
        """A file with the settings of a role's container. People have those of replay."""
        text = self.deployment["settings"].get(role) or self.deployment["settings"]["replay"]
        for service, address in self.aws["endpoints"].items():
            text = re.sub(rf'^{service} = ".*"$', f'{service} = "{address}"', text, flags=re.MULTILINE)
        text = text.replace("[aws.log]\n", "[aws.log]\n" + LIMITS.split("\n\n")[0] + "\n")
        text += "\n" + LIMITS.split("\n\n")[1]
        if providers:
            text = f"providers = {json.dumps(list(providers))}\n" + text
        file = os.path.join(self.folder, f"{role}.toml")
        with open(file, "w", encoding="utf-8") as out:
            out.write(text)
        return file

    def command(self, role, arguments, providers=()):
        """Command line and environment of the program as a role."""
        environment = {**os.environ, "AWS_ACCESS_KEY_ID": role, "LEDGERLINE_LOG": os.environ.get("LEDGERLINE_LOG", "info")}
        for name in ("LEDGERLINE_CONFIG", "LEDGERLINE_SETTINGS"):
            environment.pop(name, None)
        data = os.path.join(self.folder, f"data-{role}")
        return [self.program, "--config", self.settings(role, providers), "--data", data, *arguments], environment

    def serve(self, role, providers=()):
        """Starts a role."""
        command, environment = self.command(role, ["serve", "--role", role, "--listen", f"127.0.0.1:{self.port}"], providers)
        with open(os.path.join(self.folder, f"{role}.log"), "a", encoding="utf-8") as log:
            self.served[role] = subprocess.Popen(command, env=environment, stdout=log, stderr=log)

    def stop(self, role, how=signal.SIGTERM):
        """Stops a role, in good order or not."""
        process = self.served.pop(role)
        process.send_signal(how)
        code = process.wait(60)
        if how == signal.SIGTERM and code != 0:
            sys.exit(f"{role} did not stop in good order: {code}")

    def run(self, role, *arguments, codes=(0,), quiet=False):
        """Runs a command to its end and gives what it printed."""
        command, environment = self.command(role, arguments)
        done = subprocess.run(command, env={**environment, "LEDGERLINE_LOG": "warn"}, capture_output=True, text=True, timeout=120)
        if done.returncode not in codes:
            sys.exit(f"{role}: {' '.join(arguments)} ended with {done.returncode}\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}")
        if not quiet:
            print(f"{role}: {' '.join(arguments)}", flush=True)
        return done.stdout

    def until(self, what, holds, seconds=60):
        """Waits until something holds."""
        ends = time.monotonic() + seconds
        while not holds():
            for role, process in self.served.items():
                if process.poll() is not None:
                    sys.exit(f"{role} ended by itself while waiting for {what}")
            if time.monotonic() > ends:
                sys.exit(f"not within {seconds} s: {what}")
            time.sleep(0.5)

    def post(self, event, secret=SECRET):
        """Sends a signed webhook; the status of the answer."""
        body, now = json.dumps(event).encode(), int(time.time())
        signature = hmac.new(secret.encode(), f"{now}.".encode() + body, hashlib.sha256).hexdigest()
        headers = {"Content-Type": "application/json", "Stripe-Signature": f"t={now},v1={signature}"}
        try:
            request = urllib.request.Request(f"http://127.0.0.1:{self.port}/webhooks/stripe-eu", body, headers)
            return urllib.request.urlopen(request, timeout=60).status
        except urllib.error.HTTPError as error:
            return error.code

    def is_ready(self):
        """Whether the door takes requests."""
        try:
            return urllib.request.urlopen(f"http://127.0.0.1:{self.port}/readyz", timeout=5).status == 200
        except (urllib.error.URLError, http.client.HTTPException, OSError):
            return False

    def listed(self, *filters):
        """Entities by key."""
        lines = self.run("reader", "list", "--json", *filters, quiet=True).splitlines()
        return [line for line in lines if line.startswith("{")]

    def own_provider(self):
        """The built-in provider file as one's own, with a word more: texts of a generation that have changed."""
        text = self.run("reader", "check", "--provider", "stripe", quiet=True)
        file = os.path.join(self.folder, "stripe.toml")
        with open(file, "w", encoding="utf-8") as out:
            out.write(text + "\n# Our own from here on.\n")
        return file


def payment(number, amount=1000, note=""):
    """An event of a payment that waits for its customer."""
    about = {"id": f"pi_seen_{number}", "object": "payment_intent", "amount": amount, "currency": "eur", "status": "processing", "description": note}
    return {"id": f"evt_seen_{number}", "object": "event", "type": "payment_intent.processing", "created": 1764000000 + number, "data": {"object": about}}


def serving(scenario):
    """The three roles at work: webhooks of every kind in, folded and archived."""
    operator, tables = scenario.operator, scenario.aws["tables"]
    for secret in scenario.deployment["secret_arns"].values():
        value = "44782DEF547AAA06C910C43932B1EB0C71FC68D9D0C057550C48EC2ACF6BA056" if "/adyen" in secret else SECRET
        operator.call("secretsmanager", "secretsmanager.PutSecretValue", {"SecretId": secret, "SecretString": value})
    # Leases of shards that the stream has forgotten are removed by whoever meets them.
    for table in (f"{tables}-leases", f"{tables}-leases-archiver"):
        old = {"leaseKey": {"S": "shardId-000000000999"}, "leaseCounter": {"N": "7"}, "checkpoint": {"S": "SHARD_END"}}
        operator.call("dynamodb", "DynamoDB_20120810.PutItem", {"TableName": table, "Item": old})
    # The first one that starts begins generation 1; the next one gives it provider files, the next one another.
    control = {"TableName": f"{tables}-control", "Select": "COUNT"}
    scenario.serve("archiver")
    scenario.until("a first generation", lambda: operator.call("dynamodb", "DynamoDB_20120810.Scan", control)["Count"] > 0)
    scenario.serve("ingest")
    scenario.until("the door", scenario.is_ready)
    scenario.serve("processor", [scenario.own_provider()])
    large = payment(9, note="x" * 9000)
    sent = [payment(1), payment(2), payment(3), payment(1), payment(1, amount=77), large]
    if [scenario.post(event) for event in sent] != [200] * len(sent) or scenario.post(payment(4), "whsec_wrong") != 401:
        sys.exit("the door answered otherwise than 200 for good signatures and 401 for a wrong one")
    print("sent: webhooks, a copy, a contradiction, one above the record limit, one with a wrong signature", flush=True)
    scenario.until("the payments", lambda: len(scenario.listed()) == 4)
    scenario.until("the archive", lambda: agrees(scenario))


def agrees(scenario):
    """Whether a replay agrees with the state; not before there is an archive."""
    command, environment = scenario.command("replay", ["replay", "verify"])
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120).returncode == 0


def segments(scenario):
    """Names of all segments."""
    return scenario.operator.keys(scenario.aws["bucket"], scenario.aws["prefix"] + "/segments/")


def looking(scenario):
    """People who look."""
    scenario.run("reader", "list")
    scenario.run("reader", "list", "--attention")
    scenario.run("reader", "show", "stripe-eu/payment/pi_seen_1")
    scenario.run("reader", "shards")
    parked = json.loads(scenario.run("reader", "quarantine", "list", "--json").splitlines()[0])
    scenario.run("reader", "quarantine", "show", parked["id"])
    return parked["id"]


def replaying(scenario, parked):
    """One-off tasks, most of them beside the roles at work."""
    today = time.strftime("%Y-%m-%d", time.gmtime())
    yes = ("--yes", "--reason", "every permission")
    scenario.run("replay", "quarantine", "release", parked)
    scenario.run("replay", "replay", "verify", "--signatures")
    scenario.run("replay", "replay", "export", "--as-of", today, "--totals")
    scenario.run("replay", "replay", "close", "--day", today, "--by", "nobody", "--open")
    scenario.run("replay", "replay", "close", "--day", today, "--check")
    scenario.run("replay", "replay", "adjustments", "--period", today)
    scenario.run("replay", "replay", "redrive", "--source", "stripe-eu", *yes)
    scenario.until("a redrive that changes nothing", lambda: agrees(scenario))
    scenario.run("replay", "replay", "rebuild", *yes)
    scenario.run("replay", "replay", "generations")
    scenario.run("replay", "replay", "promote", *yes)
    scenario.run("replay", "replay", "rollback", *yes)
    scenario.run("replay", "replay", "retire", "--generation", "2", *yes)
    damage_state(scenario)
    scenario.run("replay", "replay", "repair", *yes)
    scenario.run("replay", "replay", "runs")
    scenario.run("replay", "archive", "check")


def damage_state(scenario):
    """One payment is lost from the state, by a hand that should not have been there."""
    key = {"key": {"S": "stripe-eu/payment/pi_seen_3"}}
    scenario.operator.call("dynamodb", "DynamoDB_20120810.DeleteItem", {"TableName": f"{scenario.aws['tables']}-records-0001", "Key": key})


def mending(scenario):
    """The archive's derived objects are damaged and made again, which wants nobody at work."""
    bucket, below = scenario.aws["bucket"], scenario.aws["prefix"]
    for family in ("manifests", "heads"):
        key = scenario.operator.keys(bucket, f"{below}/{family}/")[0]
        scenario.operator.object("PUT", f"{bucket}/{urllib.parse.quote(key)}", b"damaged")
    scenario.run("replay", "archive", "check", codes=(3,))
    scenario.run("replay", "archive", "manifests", "--yes", "--reason", "every permission")
    scenario.run("replay", "archive", "check")
    scenario.run("replay", "archive", "compact", "--before", "2000-01-01", "--yes", codes=(0, 5, 6))
    scenario.run("replay", "replay", "verify")


def main():
    """See the module."""
    with open(sys.argv[2], encoding="utf-8") as file:
        outputs = json.load(file)
    with tempfile.TemporaryDirectory() as folder:
        scenario = Scenario(sys.argv[1], outputs, folder)
        try:
            serving(scenario)
            parked = looking(scenario)
            # Those that hold leases die without a word; the next ones take them over.
            scenario.stop("processor", signal.SIGKILL)
            scenario.stop("archiver", signal.SIGKILL)
            scenario.serve("processor", [os.path.join(folder, "stripe.toml")])
            scenario.serve("archiver")
            before = len(segments(scenario))
            scenario.post(payment(5))
            scenario.until("a processor that takes over", lambda: len(scenario.listed()) == 5)
            scenario.until("an archiver that takes over", lambda: len(segments(scenario)) > before)
            replaying(scenario, parked)
            time.sleep(11)  # a refusal is counted within ten seconds
            for role in list(scenario.served):
                scenario.stop(role)
            mending(scenario)
        except SystemExit:
            for role in ("ingest", "processor", "archiver"):
                log = os.path.join(folder, f"{role}.log")
                if os.path.exists(log):
                    with open(log, encoding="utf-8") as text:
                        print(f"--- {role}", *text.readlines()[-8:], sep="\n", file=sys.stderr)
            raise
        finally:
            for process in scenario.served.values():
                process.kill()
    print("every permission: each role did what it is for")


if __name__ == "__main__":
    main()
