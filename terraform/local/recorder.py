#!/usr/bin/env python3
"""Writes down which permission each call needs: a proxy between the program and AWS's services, or their stand-ins.

    recorder.py OUTPUTS CALLS SETTINGS [--lose PATTERN]

OUTPUTS is what `terraform output -json` wrote. SETTINGS becomes the same with this process's addresses for kinesis, dynamodb,
s3 and secrets_manager, once all of them listen. CALLS gets a line of JSON per call and permission:

    {"role": …, "action": …, "resource": ARN, "keys": {condition key: value}, "status": HTTP status}

The role is the access key id with which the program signs (AWS_ACCESS_KEY_ID, with `local = true`). What a request does not
say is known from earlier answers: the stream of an iterator, the ARN of a secret. A call that is unknown here is written down
under a name that no policy has. `--lose PATTERN` keeps the answer of each role's first put of an object whose name the
pattern matches (`*` and `?`), as a network does now and then.

Each name follows AWS's Service Authorization Reference. Two things are not in a call's name: S3 answers "no such key" only to
who may list the bucket, and a put with `If-Match` reads the object.
"""

import argparse
import fnmatch
import http.client
import http.server
import json
import os
import threading
import urllib.parse

# These are about a connection, not about a call.
HOP_BY_HOP = {"connection", "keep-alive", "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade", "host", "content-length", "expect"}
# S3: what a query says the request is about; anything else is an object or the bucket's list.
SUBRESOURCES = {"acl", "tagging", "policy", "versioning", "lifecycle", "retention", "legal-hold", "versions", "versionId", "delete", "restore", "attributes"}
SERVICES = ("kinesis", "dynamodb", "s3", "secrets_manager")


class Names:
    """Names of permissions and resources."""

    def __init__(self, stream_arn):
        self.partition, self.region, self.account = stream_arn.split(":")[1], stream_arn.split(":")[3], stream_arn.split(":")[4]
        # Stream of each iterator and each page; ARN of each secret.
        self.streams, self.pages, self.secrets = {}, {}, {}

    def arn(self, service, rest):
        """An ARN of this account; S3's have neither region nor account."""
        place = ":" if service == "s3" else f"{self.region}:{self.account}"
        return f"arn:{self.partition}:{service}:{place}:{rest}"

    def kinesis(self, operation, ask, answer):
        """Streams by name or ARN; iterators and pages are of the stream that they were got from."""
        known = self.streams.get(ask.get("ShardIterator")) or self.pages.get(ask.get("NextToken"))
        arn = ask.get("StreamARN") or (self.arn("kinesis", "stream/" + ask["StreamName"]) if "StreamName" in ask else known)
        for given, kept in (("ShardIterator", self.streams), ("NextShardIterator", self.streams), ("NextToken", self.pages)):
            if answer.get(given):
                kept[answer[given]] = arn
        return [("kinesis:" + operation, arn or "unknown", {})]

    def dynamodb(self, operation, ask, _answer):
        """Tables by name; the index of a query; each table of a batch."""
        names = ask["RequestItems"] if "RequestItems" in ask else [ask.get("TableName", "unknown")]
        index = f"/index/{ask['IndexName']}" if "IndexName" in ask else ""
        return [("dynamodb:" + operation, self.arn("dynamodb", f"table/{name.split('/')[-1]}{index}"), {}) for name in names]

    def secrets_manager(self, operation, ask, answer):
        """Secrets by name or ARN; the answer has the ARN."""
        name = ask.get("SecretId", "unknown")
        if "ARN" in answer:
            self.secrets[name] = answer["ARN"]
        return [("secretsmanager:" + operation, self.secrets.get(name, name), {})]

    def s3(self, method, path, headers, status):
        """Objects and buckets by path, as `force_path_style` has it."""
        path, _, query = path.partition("?")
        query = dict(urllib.parse.parse_qsl(query, keep_blank_values=True))
        bucket, _, key = urllib.parse.unquote(path).lstrip("/").partition("/")
        of_bucket, of_object = self.arn("s3", bucket), self.arn("s3", f"{bucket}/{key}")
        if SUBRESOURCES & query.keys() or headers.get("x-amz-copy-source") or headers.get("x-amz-tagging") or headers.get("x-amz-acl"):
            return [(f"s3:unknown {method} {sorted(query)}", of_object, {})]
        if not key:
            keys = {"s3:prefix": query["prefix"]} if "prefix" in query else {}
            return [("s3:ListBucket" if method == "GET" and "uploads" not in query else f"s3:unknown {method}", of_bucket, keys)]
        upload = "uploadId" in query
        names = {
            "GET": "s3:ListMultipartUploadParts" if upload else "s3:GetObject",
            "HEAD": "s3:GetObject",
            "PUT": "s3:PutObject",
            "POST": "s3:PutObject" if upload or "uploads" in query else "s3:unknown POST",
            "DELETE": "s3:AbortMultipartUpload" if upload else "s3:DeleteObject",
        }
        calls = [(names.get(method, f"s3:unknown {method}"), of_object, {})]
        if method == "PUT" and headers.get("if-match"):
            calls.append(("s3:GetObject", of_object, {}))
        if method in ("GET", "HEAD") and status == 404:
            calls.append(("s3:ListBucket", of_bucket, {}))
        return calls


def as_json(text):
    """A JSON object, or an empty one."""
    try:
        value = json.loads(text or b"{}")
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}


class Recorder:
    """All ports of a recorder, and the file of calls."""

    def __init__(self, outputs, calls, lose):
        self.names = Names(outputs["deployment"]["value"]["stream_arn"])
        self.lock, self.calls, self.lose, self.lost = threading.Lock(), open(calls, "a", encoding="utf-8", buffering=1), lose, set()

    def note(self, service, request, status, answer):
        """Writes a call down. Whether its answer is to be lost."""
        method, path, headers, body = request
        credential = headers.get("authorization", "").partition("Credential=")[2]
        role = credential.split("/")[0] or "nobody"
        with self.lock:
            if service == "s3":
                calls = self.names.s3(method, path, headers, status)
            else:
                operation = headers.get("x-amz-target", "unknown").split(".")[-1]
                calls = getattr(self.names, service)(operation, as_json(body), as_json(answer))
            for action, resource, keys in calls:
                self.calls.write(json.dumps({"role": role, "action": action, "resource": resource, "keys": keys, "status": status}) + "\n")
            lose = bool(self.lose) and method == "PUT" and status == 200 and role not in self.lost and fnmatch.fnmatchcase(path, self.lose)
            if lose:
                self.lost.add(role)
            return lose

    def handler(self, service, address):
        """What answers at a service's port."""
        recorder, there, local = self, urllib.parse.urlsplit(address), threading.local()

        def forward(method, path, body, headers):
            """The answer of the service; a connection that it closed meanwhile is made anew, before anything was sent."""
            if getattr(local, "connection", None) is None:
                local.connection = http.client.HTTPConnection(there.hostname, there.port, timeout=60)
            try:
                local.connection.request(method, path, body, headers)
                answer = local.connection.getresponse()
                return answer, answer.read()
            except BaseException:
                local.connection.close()
                local.connection = None
                raise

        class Handler(http.server.BaseHTTPRequestHandler):
            """One connection of the program."""

            protocol_version, disable_nagle_algorithm, wbufsize = "HTTP/1.1", True, -1

            def body(self):
                """The request's body, whether its length was said before or not."""
                if self.headers.get("Transfer-Encoding", "").lower() != "chunked":
                    return self.rfile.read(int(self.headers.get("Content-Length", 0)))
                pieces = []
                while size := int(self.rfile.readline().split(b";")[0], 16):
                    pieces.append(self.rfile.read(size))
                    self.rfile.readline()
                while self.rfile.readline().strip():
                    pass
                return b"".join(pieces)

            def answer(self):
                """Passes a request on and its answer back."""
                body = self.body()
                headers = {name: value for name, value in self.headers.items() if name.lower() not in HOP_BY_HOP}
                try:
                    answer, content = forward(self.command, self.path, body, headers)
                except (OSError, http.client.HTTPException):
                    # As when the service is away: the program repeats the call.
                    self.close_connection = True
                    return
                request = (self.command, self.path, {name.lower(): value for name, value in headers.items()}, body)
                if recorder.note(service, request, answer.status, content):
                    self.close_connection = True
                    return
                self.send_response_only(answer.status, answer.reason)
                for name, value in answer.getheaders():
                    if name.lower() not in HOP_BY_HOP:
                        self.send_header(name, value)
                length = answer.getheader("Content-Length") if self.command == "HEAD" else str(len(content))
                if length is not None and answer.status not in (204, 304):
                    self.send_header("Content-Length", length)
                self.end_headers()
                self.wfile.write(content)

            do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = answer

            def log_message(self, *_args):
                """Nothing beside the calls."""

        return Handler


def main():
    """See the module."""
    parser = argparse.ArgumentParser(description="Writes down which permission each call needs.")
    parser.add_argument("outputs")
    parser.add_argument("calls")
    parser.add_argument("settings")
    parser.add_argument("--lose")
    arguments = parser.parse_args()
    with open(arguments.outputs, encoding="utf-8") as file:
        outputs = json.load(file)
    recorder, endpoints = Recorder(outputs, arguments.calls, arguments.lose), outputs["aws"]["value"]["endpoints"]
    for service in SERVICES:
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), recorder.handler(service, endpoints[service]))
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        endpoints[service] = f"http://127.0.0.1:{server.server_port}"
    with open(arguments.settings + ".new", "w", encoding="utf-8") as file:
        json.dump(outputs, file)
    os.rename(arguments.settings + ".new", arguments.settings)
    threading.Event().wait()


if __name__ == "__main__":
    main()
