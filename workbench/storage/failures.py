"""What the operating system and the libraries raise, in workbench's own words."""

from __future__ import annotations

import errno

from workbench.errors import (
    AlreadyExistsError,
    ConflictError,
    MissingPackageError,
    NotFoundError,
    ReadOnlyError,
    StorageError,
    StorageFullError,
    WorkbenchError,
)

_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_READ_ONLY = {errno.EROFS, errno.EACCES, errno.EPERM}
_ABSENT = (
    FileNotFoundError,
    IsADirectoryError,
    NotADirectoryError,
    FileExistsError,
)  # the last: of memory://
_BAD_CREDENTIALS = {
    "InvalidAccessKeyId",
    "SignatureDoesNotMatch",
    "InvalidToken",
    "ExpiredToken",
    "403",
    "Forbidden",
}
_CREDENTIALS_HINT = (
    "Check the key and secret in storage_options ({'key': ..., 'secret': ..., 'endpoint_url': ...}) or in the "
    "environment (AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY)."
)


def is_foreign(error: Exception) -> bool:
    """Tell whether an error is one of the S3 and network libraries' own, most of which are no OSError."""
    return type(error).__module__.startswith(("botocore", "aiobotocore", "aiohttp", "fsspec", "s3fs"))


def is_full(error: OSError) -> bool:
    """Tell whether an error of the operating system means that nothing more can be written."""
    return error.errno in _FULL


def bucket_absent(url: str, bucket: str) -> NotFoundError:
    """Return the error for a bucket that is not there."""
    return NotFoundError(
        f"The bucket {bucket!r} of {url} does not exist. Create it (for instance: aws s3 mb s3://{bucket}) "
        "or check the name and storage_options['endpoint_url']."
    )


def translate(error: Exception, url: str, collection: str, key: str | None, writing: bool) -> WorkbenchError:
    """Return the error to raise for one that came from below.

    Parameters
    ----------
    error : Exception
        What was raised.
    url : str
        Where, without credentials.
    collection, key : str
        What was asked for; no key where it was about the collection.
    writing : bool
        Whether something was to be changed.
    """
    what = f"{collection}/{key}" if key else (f"Collection {collection!r}" if collection else "The store")
    if isinstance(error, ImportError):
        return MissingPackageError(
            f"{url} needs a package that is not installed: {error}. Install it with pip.",
            package=error.name or "",
        )
    if writing and isinstance(error, FileExistsError):
        return AlreadyExistsError(
            f"{what} is already in {url}. Pass overwrite=True to replace it, or take another key."
        )
    if writing and isinstance(error, (IsADirectoryError, NotADirectoryError)):
        return ConflictError(
            f"{what} cannot be stored in {url}: a part of the key is an object, or the key is the beginning of other "
            "keys, and a folder cannot be a file. Take another key."
        )
    if isinstance(error, _ABSENT):
        return NotFoundError(f"{what} is not in {url}. See store.list({collection!r}) for what is there.")
    code = error_code(error)
    if code in _BAD_CREDENTIALS or type(error).__name__ in {"NoCredentialsError", "PartialCredentialsError"}:
        return StorageError(f"{url} refuses the credentials: {error}. {_CREDENTIALS_HINT}")
    if isinstance(error, PermissionError) or (
        isinstance(error, OSError) and error.errno in _READ_ONLY and not code
    ):
        if writing:
            return ReadOnlyError(
                f"{what} cannot be written: {url} is read-only for you ({error.strerror or error}). "
                "Ask for the right to write, or open a workspace elsewhere."
            )
        return StorageError(
            f"{what} cannot be read from {url}: {error}. Check the rights of the files. {_hint(code)}"
        )
    if isinstance(error, OSError) and is_full(error) and not code:
        return StorageFullError(
            f"{what} was not stored: no space is left at {url} ({error.strerror}). Nothing was changed. Free some "
            "space there, or open a workspace elsewhere."
        )
    if is_foreign(error) or isinstance(error, (ConnectionError, TimeoutError)):
        return StorageError(
            f"{url} cannot be reached: {error}. Check storage_options['endpoint_url'], the network, and that the "
            "server runs."
        )
    return StorageError(f"{what} could not be {'written to' if writing else 'read from'} {url}: {error}")


def _hint(code: str) -> str:
    return _CREDENTIALS_HINT if code else ""


def error_code(error: BaseException) -> str:
    """Return the S3 code of an error, such as ``AccessDenied``; empty if it is no answer of an S3 server."""
    for one in (error, error.__cause__):
        response = getattr(one, "response", None)
        if isinstance(response, dict):
            return str(response.get("Error", {}).get("Code", ""))
    return ""
