"""A private bucket in Moto's S3, which checks signatures with botocore's own code, and a server that does
nothing but check them, of any service and path (tools/setup-peers).

Usage: s3_server.py

Prints one line of JSON: the ports on 127.0.0.1, the bucket, a key and its secret. Then serves until its
standard input ends. Everything that is not signed, or not rightly, is refused.
"""
import json
import os
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import quote, unquote, urlsplit

KEYS = {"AWS_ACCESS_KEY_ID": "setup", "AWS_SECRET_ACCESS_KEY": "setup", "AWS_DEFAULT_REGION": "eu-central-1"}
os.environ.update(KEYS)

import boto3
from botocore.auth import S3SigV4Auth, SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from moto import settings
from moto.core.authorization import ActionAuthenticatorMixin
from moto.server import ThreadedMotoServer

BUCKET = "media"


def start_store():
    """Moto, with a bucket and a user who may do everything to it."""
    settings.INITIAL_NO_AUTH_ACTION_COUNT = float("inf")
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    port = server.get_host_and_port()[1]
    endpoint = f"http://127.0.0.1:{port}"
    iam = boto3.client("iam", endpoint_url=endpoint)
    iam.create_user(UserName="edge")
    allowed = {"Effect": "Allow", "Action": "s3:*", "Resource": "*"}
    policy = json.dumps({"Version": "2012-10-17", "Statement": [allowed]})
    iam.put_user_policy(UserName="edge", PolicyName="all", PolicyDocument=policy)
    key = iam.create_access_key(UserName="edge")["AccessKey"]
    s3 = boto3.client("s3", endpoint_url=endpoint)
    place = {"LocationConstraint": "eu-central-1"}
    s3.create_bucket(Bucket=BUCKET, CreateBucketConfiguration=place)
    for name in ["plain.txt", "deep/er//one.txt"]:
        s3.put_object(Bucket=BUCKET, Key=name, Body=f"content of {name}".encode())
    ActionAuthenticatorMixin.request_count = 0
    settings.INITIAL_NO_AUTH_ACTION_COUNT = 0
    return server, port, key["AccessKeyId"], key["SecretAccessKey"]


class Checker(BaseHTTPRequestHandler):
    """Answers with what it was asked for, if that is signed as botocore would sign it."""

    protocol_version = "HTTP/1.1"
    credentials = None

    def do_GET(self):
        content = self.rfile.read(int(self.headers.get("content-length", 0)))
        try:
            problem = self.problem()
        except Exception as failure:  # Whatever it is, the request was not as it should be.
            problem = repr(failure)
        answer = {"problem": problem, "target": self.path, "content": content.decode()}
        answer["fields"] = {name.lower(): value for name, value in self.headers.items()}
        text = json.dumps(answer).encode()
        self.send_response(403 if problem else 200)
        self.send_header("content-length", str(len(text)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(text)

    do_HEAD = do_PUT = do_DELETE = do_POST = do_GET

    def problem(self):
        words = self.headers["authorization"].removeprefix("AWS4-HMAC-SHA256 ").split(", ")
        given = dict(word.split("=", 1) for word in words)
        name, _, region, service, _ = given["Credential"].split("/")
        if name != self.credentials.access_key:
            return "another key"
        signed = given["SignedHeaders"].split(";")
        required = {"host", "x-amz-date"} | ({"x-amz-content-sha256"} if service == "s3" else set())
        required |= {n.lower() for n in self.headers if n.lower().startswith("x-amz-")}
        if not required <= set(signed):
            return f"{required - set(signed)} not signed"
        path = urlsplit(self.path).path
        # S3 makes the canonical path of the object's name.
        if service == "s3" and quote(unquote(path), safe="/~") != path:
            return f"the path is not canonical: {path}"
        request = AWSRequest(self.command, f"http://{self.headers['host']}{self.path}")
        for field in signed:
            request.headers[field] = ",".join(self.headers.get_all(field, []))
        request.context["timestamp"] = self.headers["x-amz-date"]
        kind = S3SigV4Auth if service == "s3" else SigV4Auth
        auth = kind(self.credentials, service, region)
        canonical = auth.canonical_request(request)
        text = auth.string_to_sign(request, canonical)
        return None if auth.signature(text, request) == given["Signature"] else canonical

    def log_message(self, *words):
        pass


store, port, key, secret = start_store()
Checker.credentials = Credentials(key, secret)
checker = ThreadingHTTPServer(("127.0.0.1", 0), Checker)
threading.Thread(target=checker.serve_forever, daemon=True).start()
answer = {"store": port, "checker": checker.server_address[1], "bucket": BUCKET, "key": key, "secret": secret}
print(json.dumps(answer), flush=True)
sys.stdin.read()
checker.shutdown()
store.stop()
