"""``xet cp`` and ``xet sync`` between an S3 server and a branch."""

from __future__ import annotations

import os
import random
import uuid
from collections.abc import Iterator

import boto3
import pytest
from moto.server import ThreadedMotoServer
from support.cli import Cli

import pyxet

MIB = 1024 * 1024
BIG = random.Random(77).randbytes(12 * MIB)
CONTENT = {"a.txt": b"a", "sub/b.bin": b"\xff\x00b", "sub/deep/c[1].txt": b"c", "big.bin": BIG}


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    """An S3 server."""
    running = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    running.start()
    host, port = running.get_host_and_port()
    yield f"http://{host}:{port}"
    running.stop()


@pytest.fixture
def s3(server: str, cli: Cli) -> Iterator[boto3.client]:
    """Its client; commands get the same server and account from the environment."""
    account = {"AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "x", "AWS_DEFAULT_REGION": "us-east-1"}
    cli.variables |= account | {"AWS_ENDPOINT_URL": server}
    client = boto3.client(
        "s3", endpoint_url=server, aws_access_key_id="x", aws_secret_access_key="x", region_name="us-east-1"
    )
    yield client
    client.close()


@pytest.fixture
def bucket(s3: boto3.client) -> str:
    """A bucket with a few files below ``data/``."""
    name = uuid.uuid4().hex
    s3.create_bucket(Bucket=name)
    for key, content in CONTENT.items():
        s3.put_object(Bucket=name, Key=f"data/{key}", Body=content)
    # As some tools make them: what stands for a folder.
    s3.put_object(Bucket=name, Key="data/sub/", Body=b"")
    return name


def in_bucket(s3: boto3.client, bucket: str, prefix: str) -> dict[str, bytes]:
    found = s3.list_objects_v2(Bucket=bucket, Prefix=prefix).get("Contents", [])
    return {
        item["Key"].removeprefix(prefix): s3.get_object(Bucket=bucket, Key=item["Key"])["Body"].read()
        for item in found
        if not item["Key"].endswith("/")
    }


def in_branch(fs: pyxet.XetFS, path: str) -> dict[str, bytes]:
    fs.invalidate_cache()
    return {name.removeprefix(f"{path}/"): content for name, content in fs.cat(path, recursive=True).items()}


def test_cp_into_a_branch_is_one_commit(cli: Cli, xet: pyxet.XetFS, main: str, bucket: str) -> None:
    done = cli("cp", "-r", f"s3://{bucket}/data/", f"{main}/up", "-m", "From S3", "--json").json
    assert (done["files"], done["bytes"]) == (4, sum(map(len, CONTENT.values())))
    assert in_branch(xet, f"{main}/up") == CONTENT
    assert [commit.message for commit in xet.log(main)][:-1] == ["From S3"]
    cli("cp", f"s3://{bucket}/data/a.txt", f"{main}/one.txt")
    cli("cp", "-r", f"s3://{bucket}/data", main, "--include", "*.txt")
    assert in_branch(xet, f"{main}/data") == {name: CONTENT[name] for name in CONTENT if name.endswith("txt")}


def test_cp_out_of_a_branch(cli: Cli, xet: pyxet.XetFS, main: str, s3: boto3.client, bucket: str) -> None:
    xet.pipe({f"{main}/d/{name}": content for name, content in CONTENT.items()})
    told = cli("cp", "-r", f"{main}/d", f"s3://{bucket}/copies/")
    assert "copied 4 files" in told.err
    assert in_bucket(s3, bucket, "copies/d/") == CONTENT
    cli("cp", f"{main}/d/a.txt", f"s3://{bucket}/one.txt")
    assert in_bucket(s3, bucket, "one.txt") == {"": b"a"}


@pytest.mark.parametrize("option", [[], ["--checksum"], ["--use-mtime"]])
def test_sync_into_a_branch(
    cli: Cli, xet: pyxet.XetFS, main: str, s3: boto3.client, bucket: str, option: list[str]
) -> None:
    command = ("sync", *option, f"s3://{bucket}/data", f"{main}/d", "--json")
    assert cli(*command).json["files"] == 4
    assert in_branch(xet, f"{main}/d") == CONTENT
    again = cli(*command).json
    assert (again["files"], again["skipped"], again["sent"], again["commits"]) == (0, 4, 0, [])
    s3.put_object(Bucket=bucket, Key="data/a.txt", Body=b"longer")
    s3.put_object(Bucket=bucket, Key="data/new", Body=b"new")
    s3.delete_object(Bucket=bucket, Key="data/sub/b.bin")
    done = cli(*command, "--delete").json
    assert (done["files"], done["deleted"], len(done["commits"])) == (2, 1, 1)
    assert in_branch(xet, f"{main}/d") == in_bucket(s3, bucket, "data/")


def test_sync_out_of_a_branch(cli: Cli, xet: pyxet.XetFS, main: str, s3: boto3.client, bucket: str) -> None:
    xet.pipe({f"{main}/d/{name}": content for name, content in CONTENT.items()})
    s3.put_object(Bucket=bucket, Key="data/old[1].txt", Body=b"old")
    s3.put_object(Bucket=bucket, Key="data/old1.txt", Body=b"old")
    s3.put_object(Bucket=bucket, Key="data/sub/b.bin", Body=b"\xff\x00B")
    command = ("sync", f"{main}/d", f"s3://{bucket}/data", "--json")
    assert cli(*command).json["files"] == 0
    done = cli(*command, "--checksum", "--delete").json
    assert (done["files"], done["skipped"], done["deleted"]) == (1, 3, 2)
    assert in_bucket(s3, bucket, "data/") == CONTENT


def test_what_goes_wrong(cli: Cli, xet: pyxet.XetFS, main: str, s3: boto3.client, bucket: str) -> None:
    assert "nothing" in cli("cp", f"s3://{bucket}/nothing", main, code=3).err
    assert "-r" in cli("cp", f"s3://{bucket}/data", main, code=1).err
    cli("sync", f"s3://{uuid.uuid4().hex}/data", main, code=3)
    # A key that no path could be.
    s3.put_object(Bucket=bucket, Key="data/sub/../up", Body=b"x")
    assert "name of a copy" in cli("cp", "-r", f"s3://{bucket}/data/", main, code=1).err
    s3.delete_object(Bucket=bucket, Key="data/sub/../up")
    assert len(xet.log(main)) == 1
    assert os.listdir(cli.folder) == []
    cli.variables["AWS_ENDPOINT_URL"] = "http://127.0.0.1:9"
    assert "s3://" in cli("cp", "-r", f"s3://{bucket}/data/", main, code=1).err
