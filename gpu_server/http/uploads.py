"""Uploads: a `multipart/form-data` body, written to disk as it arrives.

No file is kept in memory, and its size is checked as it arrives, whatever was announced.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from typing import Any, Final

from python_multipart import MultipartParser
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import parse_options_header

from foundation.minimum_rate import TooSlow
from gpu_server.http.transfers import Transfer
from gpu_server.problems import InvalidRequest, UploadStalled
from gpu_server.work.spool import SpoolFile

#: The name of the field with the recording.
FILE: Final = "file"
#: The most that all other fields may have together, bytes.
MAX_FIELDS_BYTES: Final = 16 * 1024
#: The most that headers and boundaries add to a recording, bytes.
MAX_OVERHEAD_BYTES: Final = 64 * 1024
#: A part's headers, bytes.
MAX_HEADER_BYTES: Final = 8 * 1024
#: The most parts of a form: unknown fields are kept in memory, too.
MAX_PARTS: Final = 16
#: The most that may follow the last boundary, bytes. Some clients end with another line break.
MAX_EPILOGUE_BYTES: Final = 1024
#: Written to disk at once, bytes.
BLOCK: Final = 1024 * 1024


async def receive_form(
    headers: Mapping[str, str],
    body: AsyncIterator[bytes],
    file: SpoolFile,
    transfer: Transfer,
) -> dict[str, str]:
    """Write the recording of a form to `file`; return the other fields.

    Args:
        headers: of the request, looked up without regard to case.
        body: as it arrives.
        file: an empty file.
        transfer: the limits.

    Raises:
        InvalidRequest: the body is not a form with exactly one recording.
        UploadStalled: the body arrives too slowly, or takes too long altogether.
        Unprocessable: the recording is too large.
        NoSpace: the disk, or the uploads' part of it, is full.
    """
    kind, options = parse_options_header(headers.get("content-type", ""))
    boundary = options.get(b"boundary")
    if kind != b"multipart/form-data" or not boundary:
        raise InvalidRequest(f"Send a form (multipart/form-data) with the field {FILE!r}.")
    announced = headers.get("content-length", "")
    if announced.isdecimal():
        file.check_size(int(announced) - MAX_OVERHEAD_BYTES)
        transfer.check_room(int(announced))
    form = _Form()
    limits = transfer.transfers
    try:
        async with asyncio.timeout(limits.longest):
            pieces = transfer.pieces(body)
            await _read(MultipartParser(boundary, form.callbacks()), form, pieces, file)
    except FormParserError as error:
        raise InvalidRequest("The form is malformed.") from error
    except TooSlow:
        raise UploadStalled(
            f"The upload brings less than {limits.rate:g} bytes per second, or nothing for "
            f"{limits.patience:g} seconds."
        ) from None
    except TimeoutError:
        raise UploadStalled(f"The upload has taken more than {limits.longest:g} seconds.") from None
    await asyncio.to_thread(file.write, form.take())
    if not form.complete:
        raise InvalidRequest("The form ends in the middle.")
    if form.files != 1:
        raise InvalidRequest(f"Send exactly one recording, in the field {FILE!r}.")
    return form.fields()


async def _read(
    parser: MultipartParser,
    form: _Form,
    pieces: AsyncIterator[bytes],
    file: SpoolFile,
) -> None:
    epilogue = 0
    async for piece in pieces:
        if form.complete:
            epilogue += len(piece)
            if epilogue > MAX_EPILOGUE_BYTES:
                raise InvalidRequest("There is data after the end of the form.")
            continue
        parser.write(piece)
        if len(form.waiting) >= BLOCK:
            await asyncio.to_thread(file.write, form.take())
    parser.finalize()


class _Form:
    """What has been parsed of a form so far."""

    def __init__(self) -> None:
        self.waiting = bytearray()  # of the recording, not on the disk yet
        self.files = 0
        self.complete = False
        self._parts = 0
        self._fields: dict[str, bytearray] = {}
        self._fields_bytes = 0
        self._header_bytes = 0
        self._header_name = bytearray()
        self._header_value = bytearray()
        self._disposition = b""
        self._target: bytearray | None = None

    def callbacks(self) -> Any:
        return {
            "on_part_begin": self._begin,
            "on_header_field": self._name,
            "on_header_value": self._value,
            "on_header_end": self._header,
            "on_headers_finished": self._headers,
            "on_part_data": self._data,
            "on_end": self._end,
        }

    def take(self) -> bytearray:
        """Return the part of the recording that is not on the disk yet, and forget it."""
        taken, self.waiting = self.waiting, bytearray()
        if self._target is taken:
            self._target = self.waiting
        return taken

    def fields(self) -> dict[str, str]:
        """Return the other fields.

        Raises:
            InvalidRequest: a field is not UTF-8.
        """
        try:
            return {name: value.decode() for name, value in self._fields.items()}
        except UnicodeDecodeError:
            raise InvalidRequest("A field of the form is no text.") from None

    def _begin(self) -> None:
        self._parts += 1
        if self._parts > MAX_PARTS:
            raise InvalidRequest(f"The form has more than {MAX_PARTS} parts.")
        self._disposition = b""
        self._header_bytes = 0

    def _name(self, data: bytes, start: int, end: int) -> None:
        self._header_name += self._header_part(data, start, end)

    def _value(self, data: bytes, start: int, end: int) -> None:
        self._header_value += self._header_part(data, start, end)

    def _header_part(self, data: bytes, start: int, end: int) -> bytes:
        self._header_bytes += end - start
        if self._header_bytes > MAX_HEADER_BYTES:
            raise InvalidRequest("The headers of a part of the form are too long.")
        return data[start:end]

    def _header(self) -> None:
        if self._header_name.lower() == b"content-disposition":
            self._disposition = bytes(self._header_value)
        self._header_name.clear()
        self._header_value.clear()

    def _headers(self) -> None:
        _, options = parse_options_header(self._disposition)
        name = options.get(b"name", b"").decode("utf-8", "backslashreplace")
        if name == FILE:
            self.files += 1
            self._target = self.waiting
            if self.files > 1:
                raise InvalidRequest(f"Send exactly one recording, in the field {FILE!r}.")
        else:
            self._target = self._fields.setdefault(name, bytearray())

    def _data(self, data: bytes, start: int, end: int) -> None:
        if self._target is None:
            return
        if self._target is not self.waiting:
            self._fields_bytes += end - start
            if self._fields_bytes > MAX_FIELDS_BYTES:
                raise InvalidRequest("The fields of the form are too long.")
        self._target += memoryview(data)[start:end]

    def _end(self) -> None:
        self.complete = True
