"""ETags follow the rule of S3."""

from __future__ import annotations

import hashlib
from pathlib import Path
from random import Random

import pytest
from s3server import BUCKET, S3Server

from workbench.storage.etags import (
    MAX_PARTS,
    PART_SIZE,
    etag,
    file_etag,
    is_multipart,
    multipart_etag,
    object_etag,
    part_size,
)


def test_plain_etag_is_the_quoted_md5() -> None:
    assert etag(b"") == '"d41d8cd98f00b204e9800998ecf8427e"'
    assert etag(b"hello") == f'"{hashlib.md5(b"hello").hexdigest()}"'


def test_multipart_etag_is_the_md5_of_the_parts_md5s() -> None:
    parts = [b"aaaa", b"bbbb", b"c"]
    joined = hashlib.md5(b"".join(hashlib.md5(part).digest() for part in parts)).hexdigest()
    assert multipart_etag(b"".join(parts), 4) == f'"{joined}-3"'


def test_empty_input_counts_as_one_part() -> None:
    assert multipart_etag(b"") == f'"{hashlib.md5(hashlib.md5(b"").digest()).hexdigest()}-1"'


@pytest.mark.parametrize(
    "size", [0, 1, PART_SIZE, 2 * PART_SIZE - 1, 2 * PART_SIZE, 2 * PART_SIZE + 1, 3 * PART_SIZE]
)
def test_object_and_file_of_any_size_have_the_same_etag(size: int, tmp_path: Path) -> None:
    data = Random(size).randbytes(size)
    (tmp_path / "file").write_bytes(data)
    expected = etag(data) if size < 2 * PART_SIZE else multipart_etag(data, PART_SIZE)
    assert object_etag(data) == object_etag(memoryview(data)) == file_etag(tmp_path / "file") == expected
    assert expected.endswith('-3"') == (size > 2 * PART_SIZE)


def test_any_buffer_is_hashed_by_its_bytes() -> None:
    from array import array

    numbers = array("d", [1.0, 2.0, 3.0])
    assert object_etag(memoryview(numbers)) == etag(numbers.tobytes())
    assert multipart_etag(memoryview(numbers), 8).endswith('-3"')


@pytest.mark.parametrize("size", [0, 1, PART_SIZE * MAX_PARTS, PART_SIZE * MAX_PARTS + 1, 5 * 2**40])
def test_part_size_keeps_within_the_parts_s3_allows(size: int) -> None:
    assert part_size(size) % PART_SIZE == 0
    assert part_size(size) * MAX_PARTS >= size
    assert (part_size(size) == PART_SIZE) == (size <= PART_SIZE * MAX_PARTS)


def test_no_object_of_two_parts_is_sent_in_one() -> None:
    assert [is_multipart(n) for n in (0, 2 * PART_SIZE - 1, 2 * PART_SIZE)] == [False, False, True]


@pytest.mark.s3
def test_server_computes_the_same_etags(s3: S3Server) -> None:
    data = Random(7).randbytes(2 * PART_SIZE + 5)
    client = s3.client()
    try:
        assert client.put_object(Bucket=BUCKET, Key="etags/one", Body=data[:1000])["ETag"] == etag(
            data[:1000]
        )
        upload = client.create_multipart_upload(Bucket=BUCKET, Key="etags/many")["UploadId"]
        where = {"Bucket": BUCKET, "Key": "etags/many", "UploadId": upload}
        parts = []
        for number, start in enumerate(range(0, len(data), PART_SIZE), 1):
            answer = client.upload_part(**where, PartNumber=number, Body=data[start : start + PART_SIZE])
            parts.append({"PartNumber": number, "ETag": answer["ETag"]})
        client.complete_multipart_upload(**where, MultipartUpload={"Parts": parts})
        assert client.head_object(Bucket=BUCKET, Key="etags/many")["ETag"] == multipart_etag(data)
    finally:
        client.close()
