"""Everything that a user does with Hugging Face's tools against HF_ENDPOINT: `client.py NAMESPACE`.

Writes what it found as JSON.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from huggingface_hub import HfApi, HfFileSystem, hf_hub_download, snapshot_download
from huggingface_hub.errors import (
    BadRequestError,
    HfHubHTTPError,
    RemoteEntryNotFoundError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import AutoConfig, AutoTokenizer, PreTrainedTokenizerFast

LARGE = 5 << 20


def refusal(kind: type[Exception], call: object) -> str:
    """What the tool says when it is refused with its exception `kind`."""
    try:
        call()  # type: ignore[operator]
    except kind as error:
        return str(error)
    raise AssertionError(f"{kind.__name__} was expected")


def make_model(folder: Path) -> None:
    """A folder as somebody would publish it: card, configuration, tokenizer, weights."""
    words = {"<unk>": 0, "hello": 1, "hub": 2}
    tokenizer = Tokenizer(models.WordLevel(words, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, unk_token="<unk>").save_pretrained(folder)
    (folder / "config.json").write_text(json.dumps({"model_type": "bert", "hidden_size": 48}))
    (folder / "README.md").write_text(
        "---\nlicense: mit\npipeline_tag: fill-mask\ntags:\n- tiny\n---\n# Tiny\n"
    )
    (folder / "weights").mkdir()
    (folder / "weights" / "model.safetensors").write_bytes(os.urandom(LARGE))


def main() -> None:
    """See the module docstring."""
    repository, scratch = f"{sys.argv[1]}/tiny", Path(tempfile.mkdtemp())
    source = scratch / "source"
    source.mkdir()
    make_model(source)
    api = HfApi()
    url = api.create_repo(repository)
    assert str(api.create_repo(repository, exist_ok=True)) == str(url)
    first = api.upload_folder(repo_id=repository, folder_path=source, commit_message="All of it")
    again = api.upload_folder(repo_id=repository, folder_path=source)
    assert again.oid == first.oid, "nothing changed"

    for folder in (
        Path(snapshot_download(repository)),
        Path(snapshot_download(repository, local_dir=scratch / "d")),
    ):
        for path in source.rglob("*"):
            assert path.is_dir() or (folder / path.relative_to(source)).read_bytes() == path.read_bytes(), (
                path
            )
    # As users do it: in a shell.
    hf = str(Path(sys.executable).parent / "hf")
    more = scratch / "notes.txt"
    more.write_text("notes")
    subprocess.run([hf, "upload", repository, str(more), "docs/notes.txt"], check=True, capture_output=True)
    subprocess.run(
        [hf, "download", repository, "--local-dir", str(scratch / "cli")], check=True, capture_output=True
    )
    assert (scratch / "cli/docs/notes.txt").read_text() == "notes"
    old = hf_hub_download(repository, "config.json", revision=first.oid)
    assert json.loads(Path(old).read_text())["hidden_size"] == 48

    config, tokenizer = AutoConfig.from_pretrained(repository), AutoTokenizer.from_pretrained(repository)
    files = HfFileSystem()
    weights = (source / "weights/model.safetensors").read_bytes()
    info = api.model_info(repository, files_metadata=True)
    api.create_tag(repository, tag="v1.0", revision=first.oid)
    api.create_tag(repository, tag="v1.0", exist_ok=True)
    assert api.list_repo_refs(repository).tags[0].target_commit == first.oid
    assert api.model_info(repository, revision="v1.0").sha == first.oid
    api.delete_tag(repository, tag="v1.0")
    api.auth_check(repository)
    api.delete_file("docs/notes.txt", repository)
    found = {
        "commit": info.sha,
        "license": info.card_data.license,
        "listed": [one.id for one in api.list_models(search="tin", filter="fill-mask")],
        "files": {one.rfilename: one.size for one in info.siblings},
        "now": api.list_repo_files(repository),
        "commits": [one.title for one in api.list_repo_commits(repository)],
        "hidden_size": config.hidden_size,
        "tokens": tokenizer("hello hub there")["input_ids"],
        "range": files.read_bytes(f"{repository}/weights/model.safetensors", 1000, 5_000_000)
        == weights[1000:5_000_000],
        "refused": {
            "file": refusal(RemoteEntryNotFoundError, lambda: hf_hub_download(repository, "none")),
            "repository": refusal(RepositoryNotFoundError, lambda: hf_hub_download("no/body", "none")),
            "revision": refusal(RevisionNotFoundError, lambda: api.model_info(repository, revision="v9")),
            "pickle": refusal(
                BadRequestError,
                lambda: api.upload_file(
                    path_or_fileobj=b"cos\nsystem\n(S'ls'\ntR.",
                    path_in_repo="pytorch_model.bin",
                    repo_id=repository,
                ),
            ),
            "card": refusal(
                ValueError,
                lambda: api.upload_file(
                    path_or_fileobj=b"---\na: [\n---\n", path_in_repo="README.md", repo_id=repository
                ),
            ),
            "namespace": refusal(
                HfHubHTTPError, lambda: HfApi(token="somebody-else").create_repo(f"{sys.argv[1]}/other")
            ),
        },
    }
    calls = {
        "one_branch": lambda: api.create_branch(repository, branch="next"),
        "nothing_is_deleted": lambda: api.delete_repo(repository),
        "nothing_is_deleted (move)": lambda: api.move_repo(repository, f"{sys.argv[1]}/moved"),
        "nothing_is_deleted (squash)": lambda: api.super_squash_history(repository),
        "no_private_repositories": lambda: api.update_repo_settings(repository, private=True),
        "no_discussions": lambda: api.create_pull_request(repository, title="x"),
        "no_accounts": lambda: api.list_webhooks(),
        "models_only": lambda: api.dataset_info(repository),
        "bad_commit": lambda: api.upload_file(
            path_or_fileobj=b"x", path_in_repo="x", repo_id=repository, create_pr=True
        ),
    }
    found["unoffered"] = {name: refusal(HfHubHTTPError, call) for name, call in calls.items()}
    print(json.dumps(found))


if __name__ == "__main__":
    main()
