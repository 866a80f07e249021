"""Kernels, the fourth kind of repository, as ``huggingface_hub`` uses them."""

from __future__ import annotations

import random

import pytest
from support.hf_client import run_hf
from support.raw_client import RawClient

import pyxet
from pyxet.testing import LocalEndpoint, local_endpoint

CODE = """
import random
repo = "acme/relu"
data = random.Random(9).randbytes(300_000)

api.upload_file(path_or_fileobj=data, path_in_repo="build/relu.bin", repo_id=repo, repo_type="kernel")
api.upload_file(path_or_fileobj=b"text", path_in_repo="README.txt", repo_id=repo, repo_type="kernel")
answer["info"] = api.kernel_info(repo).id
answer["sha"] = api.kernel_info(repo, revision="main").sha == api.repo_info(repo, repo_type="kernel").sha
answer["refs"] = [ref.name for ref in api.list_repo_refs(repo, repo_type="kernel").branches]
answer["tree"] = sorted(item.path for item in api.list_repo_tree(repo, recursive=True, repo_type="kernel"))
path = snapshot_download(repo, repo_type="kernel", endpoint=os.environ["HF_ENDPOINT"], token=os.environ["HF_TOKEN"])
answer["same"] = open(f"{path}/build/relu.bin", "rb").read() == data
answer["model"] = failing(api.model_info, repo)
"""


@pytest.fixture
def endpoint() -> LocalEndpoint:
    return local_endpoint(user="acme")


def test_the_real_client_uses_kernels(endpoint: LocalEndpoint) -> None:
    with endpoint:
        fs = pyxet.XetFS(endpoint.url, endpoint.user, endpoint.token)
        fs.make_repo("kernels/acme/relu")
        found = run_hf(endpoint, CODE)
        assert found["info"] == "acme/relu"
        assert found["sha"] is found["same"] is True
        assert found["refs"] == ["main"]
        assert found["tree"] == [".gitattributes", "README.txt", "build", "build/relu.bin"]
        assert found["model"] == "RepositoryNotFoundError"
        # And pyxet sees the same.
        assert fs.cat("kernels/acme/relu/main/build/relu.bin") == random.Random(9).randbytes(300_000)
        assert fs.ls("kernels/acme", detail=False) == ["kernels/acme/relu"]
        assert not fs.exists("acme/relu")
        with pytest.raises(pyxet.RepositoryNotFoundError, match="there is kernels/acme/relu"):
            fs.cat("acme/relu/main/README.txt")
        client = RawClient(endpoint)
        assert client.get("/kernels/acme/relu/resolve/main/README.txt").body == b"text"
        assert [repo["id"] for repo in client.get("/api/kernels").json] == ["acme/relu"]
        assert client.get("/acme/relu/resolve/main/README.txt").status == 404
