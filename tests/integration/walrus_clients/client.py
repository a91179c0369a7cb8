"""walrus-python, unmodified, against the store whose address is its argument: everything that it can do."""

import io
import json
import pathlib
import sys
import tempfile

from walrus import WalrusAPIError, WalrusClient

url, text = sys.argv[1], b"some string"
client = WalrusClient(publisher_base_url=url, aggregator_base_url=url, timeout=120)
said = {}

first = client.put_blob(text, encoding_type="RS2", epochs=2, deletable=True)
made = first["newlyCreated"]["blobObject"]
said["id"], said["encoded"] = made["blobId"], made["storage"]["storageSize"]
said["again"] = client.put_blob(text)["alreadyCertified"]["blobId"]
with tempfile.TemporaryDirectory() as folder:
    source, target = pathlib.Path(folder, "source"), pathlib.Path(folder, "target")
    source.write_bytes(text)
    said["file"] = client.put_blob_from_file(str(source))["alreadyCertified"]["blobId"]
    stream = client.put_blob_from_stream(io.BytesIO(text + b"!"))
    said["stream"] = stream["newlyCreated"]["blobObject"]["blobId"]
    client.get_blob_as_file(made["blobId"], str(target))
    said["to_file"] = target.read_bytes().decode()
said["got"] = client.get_blob(made["blobId"]).decode()
said["by_object"] = client.get_blob_by_object_id(made["id"]).decode()
said["streamed"] = client.get_blob_as_stream(made["blobId"]).read().decode()
said["length"] = client.get_blob_metadata(made["blobId"])["content-length"]
said["errors"] = []
for ask in (
    lambda: client.get_blob("A" * 43),
    lambda: client.get_blob("short"),
    lambda: client.put_blob(text, epochs=1_000),
    lambda: client.put_blob(text, send_object_to="0x" + "0" * 64),
):
    try:
        ask()
    except WalrusAPIError as error:
        said["errors"].append([error.code, error.status, error.details[0]["metadata"]["code"]])
print(json.dumps(said))
