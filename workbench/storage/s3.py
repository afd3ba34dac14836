"""Objects on S3: what a `FsspecStore` on ``s3://`` does better than on any fsspec file system.

Listings come page by page and sorted by the server, creating is conditional on the server, whole reads take one request
(large ones several at once, all of the same version of the object), and uploads are cut by the rule of the ETags.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from workbench.models import ObjectInfo
from workbench.storage.etags import PART_SIZE, Bytes, is_multipart, part_size
from workbench.storage.failures import bucket_absent, error_code
from workbench.storage.remote import MARKER, Remote, is_hidden
from workbench.storage.threads import in_threads

PAGE = 1000  # keys in one answer or one deletion; the protocol's own limit
READ_ATTEMPTS = 3
_CHANGED = frozenset(["PreconditionFailed", "412", "ConditionalRequestConflict"])  # since it was looked at


class S3(Remote):
    """Objects below ``bucket/prefix``."""

    def __init__(self, root: str, options: Mapping[str, Any], threads: int) -> None:
        super().__init__("s3", root, options, threads)
        self.bucket, _, self.prefix = root.partition("/")
        self._server = ""  # its name, from its answers

    def _connect(self) -> Any:
        import fsspec

        options = dict(self._options)
        # The libraries' defaults try for minutes to reach a server that is not there.
        config = {
            "connect_timeout": 3,
            "read_timeout": 30,
            "retries": {"mode": "standard", "max_attempts": 3},
            "max_pool_connections": 2 * self.workers,
            **options.pop("config_kwargs", {}),
        }
        # Another process may write at any time, so a listing is never remembered.
        fs = fsspec.filesystem("s3", **{"use_listings_cache": False, **options}, config_kwargs=config)
        fs.retries = (
            1  # s3fs's own tries, each of all of the above; more of them once the server has answered
        )
        return fs

    def _call(self, method: str, **arguments: Any) -> Any:
        answer = self.fs.call_s3(method, Bucket=self.bucket, **arguments)
        self.fs.retries = READ_ATTEMPTS
        self._server = answer["ResponseMetadata"]["HTTPHeaders"].get("server", "")
        return answer

    def _key(self, collection: str, key: str) -> str:
        return "/".join(part for part in (self.prefix, collection, key) if part)

    # -- collections

    def collections(self) -> list[str]:
        base = f"{self.prefix}/" if self.prefix else ""
        names: list[str] = []
        for page in self._pages(Prefix=base, Delimiter="/"):
            names += [found["Prefix"][len(base) : -1] for found in page.get("CommonPrefixes", [])]
        names = sorted(name for name in names if name and not is_hidden(name))
        there = in_threads(self.workers, self.has_collection, names)
        return [name for name, has in zip(names, there, strict=True) if has]

    def has_collection(self, name: str) -> bool:
        return super().has_collection(name) or self._check_bucket()

    def _check_bucket(self) -> bool:
        # An absent key and an absent bucket give the same bare 404, and some servers create a bucket on the first put.
        try:
            self._call("head_bucket")
        except FileNotFoundError:
            raise bucket_absent(f"s3://{self.root}", self.bucket) from None
        except PermissionError:  # rights on objects only
            pass
        return False

    def is_empty(self) -> bool:
        self._check_bucket()
        prefix = f"{self.prefix}/" if self.prefix else ""
        return not self._call("list_objects_v2", Prefix=prefix, MaxKeys=1).get("KeyCount")

    def drop_collection(self, name: str) -> None:
        base = self._key(name, "") + "/"
        for page in self._pages(Prefix=base):
            keys = [found["Key"] for found in page.get("Contents", [])]
            self._remove([key for key in keys if key != base + MARKER])
        self._remove([base + MARKER])  # last: until then it is there

    def sweep(self, name: str, older_than_s: float) -> int:
        """Abort uploads that dead processes left unfinished; return how many."""
        limit = datetime.now(UTC) - timedelta(seconds=older_than_s)
        found = self._call("list_multipart_uploads", Prefix=self._key(name, "") + "/")
        stale = [upload for upload in found.get("Uploads", []) if upload["Initiated"] <= limit]
        for upload in stale:
            self._call("abort_multipart_upload", Key=upload["Key"], UploadId=upload["UploadId"])
        return len(stale)

    # -- writing

    def write(self, collection: str, key: str, data: Bytes, overwrite: bool) -> ObjectInfo:
        content = data if isinstance(data, bytes) else bytes(data)
        answer = self._upload(self.fs.pipe_file, content, len(content), collection, key, overwrite)
        if answer is None:  # s3fs gives no answer for an upload in parts
            return self.info(collection, key)
        return ObjectInfo(key=key, size=len(content), modified=datetime.now(UTC), etag=answer["ETag"])

    def replace(self, collection: str, key: str, data: Bytes, was: Bytes) -> ObjectInfo | None:
        from fsspec.asyn import sync

        content, name = bytes(data), self._key(collection, key)
        if is_multipart(len(content)):  # is uploaded in parts, and compared just before
            return super().replace(collection, key, content, was)
        try:
            head, there = sync(self.fs.loop, self._get, name, None, limit=None)
            if there != was:
                return None
            answer = self._call("put_object", Key=name, Body=content, IfMatch=head["ETag"])
        except FileNotFoundError:
            return None
        except OSError as error:
            if error_code(error) not in _CHANGED:
                raise
            # or it was this very request, which was sent again because its answer got lost
            return self.info(collection, key) if self._is_there(collection, key, content) else None
        return ObjectInfo(key=key, size=len(content), modified=datetime.now(UTC), etag=answer["ETag"])

    def _is_there(self, collection: str, key: str, content: bytes) -> bool:
        try:
            return self.read(collection, key, 0, None) == content
        except FileNotFoundError:
            return False

    def publish(self, path: str, collection: str, key: str, overwrite: bool) -> None:
        self._upload(self.fs.put_file, path, Path(path).stat().st_size, collection, key, overwrite)

    def _upload(self, put: Any, source: Any, size: int, collection: str, key: str, overwrite: bool) -> Any:
        target = self._path(collection, key)
        if not overwrite and is_multipart(size) and self.exists(collection, key):
            raise FileExistsError(key)  # known before the upload, not after it
        first, second = (target, source) if put == self.fs.pipe_file else (source, target)
        try:
            return put(
                first,
                second,
                chunksize=part_size(size),
                max_concurrency=self.threads,
                mode="overwrite" if overwrite else "create",
            )
        except OSError as error:
            if not overwrite and error_code(error) in _CHANGED:
                raise FileExistsError(key) from error
            raise

    # -- reading

    def read(self, collection: str, key: str, start: int, stop: int | None) -> bytes:
        from fsspec.asyn import sync

        whole = start == 0 and stop is None
        chosen = None if whole else f"bytes={start}-{'' if stop is None else stop - 1}"
        try:
            data: bytes = sync(self.fs.loop, self._read, self._key(collection, key), chosen)
        except OSError as error:
            if error_code(error) == "InvalidRange":  # begins behind the end
                return b""
            raise
        return data

    async def _read(self, key: str, chosen: str | None) -> bytes:
        for attempt in range(READ_ATTEMPTS):
            try:
                head, data = await self._get(
                    key, chosen, limit=None if attempt == READ_ATTEMPTS - 1 else PART_SIZE
                )
                if data is not None:
                    return data
                return await self._get_parts(key, head)
            except OSError as error:
                if error_code(error) != "PreconditionFailed":
                    raise  # else it was replaced while it was read: again, at last in one piece
        raise AssertionError("the last attempt reads in one piece")

    async def _get(
        self, key: str, chosen: str | None, limit: int | None, **more: Any
    ) -> tuple[Any, bytes | None]:
        """Return the head of an object and its bytes, or None for those if it is over two parts of ``limit``."""
        from s3fs.core import S3_RETRYABLE_ERRORS

        arguments = {"Bucket": self.bucket, "Key": key, **({"Range": chosen} if chosen else {}), **more}
        for attempt in range(READ_ATTEMPTS):
            answer = await self.fs._call_s3("get_object", **arguments)
            try:
                if limit is not None and chosen is None and answer["ContentLength"] >= 2 * limit:
                    return answer, None
                return answer, await answer["Body"].read()
            except S3_RETRYABLE_ERRORS:
                if attempt == READ_ATTEMPTS - 1:
                    raise
            finally:
                answer["Body"].close()
        raise AssertionError("the last attempt returns or raises")

    async def _get_parts(self, key: str, head: Any) -> bytes:
        import asyncio

        size = head["ContentLength"]
        out = bytearray(size)
        gate = asyncio.Semaphore(self.threads)

        async def fetch(start: int) -> None:
            stop = min(start + PART_SIZE, size)
            async with gate:
                _, data = await self._get(key, f"bytes={start}-{stop - 1}", limit=None, IfMatch=head["ETag"])
            out[start:stop] = data or b""

        await asyncio.gather(*(fetch(start) for start in range(0, size, PART_SIZE)))
        return bytes(out)

    def info(self, collection: str, key: str) -> ObjectInfo:
        found = self._call("head_object", Key=self._key(collection, key))
        return ObjectInfo(
            key=key, size=found["ContentLength"], modified=found["LastModified"], etag=found["ETag"]
        )

    def etag(self, collection: str, key: str) -> str:
        found: str = self._call("head_object", Key=self._key(collection, key))["ETag"]
        return found

    def exists(self, collection: str, key: str) -> bool:
        try:
            self._call("head_object", Key=self._key(collection, key))
        except FileNotFoundError:
            return False
        return True

    def scan(self, collection: str, prefix: str, after: str, limit: int | None) -> Iterator[ObjectInfo]:
        # S3 lists in the order of the keys. SeaweedFS and S3's directory buckets go folder by folder instead.
        if self._server.startswith("SeaweedFS") or self.bucket.endswith("--x-s3"):
            found = (o for o in self._objects(collection, prefix, "", None) if o.key > after)
            return iter(sorted(found, key=lambda o: o.key))
        return self._objects(collection, prefix, after, limit)

    def _objects(self, collection: str, prefix: str, after: str, limit: int | None) -> Iterator[ObjectInfo]:
        base = self._key(collection, "") + "/"
        size = PAGE if limit is None else min(PAGE, limit + 1)  # one for the hidden mark of the collection
        start = {"StartAfter": base + after} if after else {}
        for page in self._pages(Prefix=base + prefix, MaxKeys=size, **start):
            for found in page.get("Contents", []):
                key = found["Key"][len(base) :]
                if key and not is_hidden(key):
                    yield ObjectInfo(
                        key=key, size=found["Size"], modified=found["LastModified"], etag=found["ETag"]
                    )

    def _pages(self, **arguments: Any) -> Iterator[Any]:
        while True:
            page = self._call("list_objects_v2", **arguments)
            yield page
            if not page.get("IsTruncated"):
                return
            arguments["ContinuationToken"] = page["NextContinuationToken"]

    # -- deleting

    def delete(self, collection: str, keys: Sequence[str]) -> list[bool]:
        distinct = list(dict.fromkeys(keys))
        flags = in_threads(self.workers, lambda key: self.exists(collection, key), distinct)
        there = {key for key, is_there in zip(distinct, flags, strict=True) if is_there}
        for i in range(0, len(distinct), PAGE):
            self._remove([self._key(collection, key) for key in distinct[i : i + PAGE] if key in there])
        out = []
        for key in keys:
            out.append(key in there)
            there.discard(key)  # the second time it is gone
        return out

    def _remove(self, keys: Sequence[str]) -> None:
        if not keys:
            return
        answer = self._call(
            "delete_objects", Delete={"Objects": [{"Key": key} for key in keys], "Quiet": True}
        )
        for failed in answer.get("Errors", []):
            raise OSError(f"{failed.get('Key')}: {failed.get('Code')} {failed.get('Message')}")
