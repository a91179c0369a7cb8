"""An S3-compatible server (moto) on a port of this machine, with one bucket and one key that may use it.

Prints the address, the access key and the secret as JSON when it serves, and serves until standard input
ends. From then on every request must be signed with that key.
"""

import json
import os
import sys

import boto3
import requests
from moto.server import ThreadedMotoServer

NOBODY = {"aws_access_key_id": "nobody", "aws_secret_access_key": "nobody", "region_name": "us-east-1"}
POLICY = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "s3:*", "Resource": "*"}]}

os.environ.pop("AWS_PROFILE", None)
server = ThreadedMotoServer(ip_address="127.0.0.1", port=int(sys.argv[1]), verbose=False)
server.start()
url = f"http://127.0.0.1:{sys.argv[1]}"
boto3.client("s3", endpoint_url=url, **NOBODY).create_bucket(Bucket="blobs")
iam = boto3.client("iam", endpoint_url=url, **NOBODY)
iam.create_user(UserName="store")
iam.put_user_policy(UserName="store", PolicyName="all", PolicyDocument=json.dumps(POLICY))
key = iam.create_access_key(UserName="store")["AccessKey"]
requests.post(f"{url}/moto-api/reset-auth", data=b"0", timeout=10).raise_for_status()
print(json.dumps({"url": url, "access": key["AccessKeyId"], "secret": key["SecretAccessKey"]}), flush=True)
sys.stdin.read()
server.stop()
