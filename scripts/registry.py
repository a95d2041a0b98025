"""How this machine's pip gets at packages, for a build that has neither its files nor settings.

A build behind a company's registry or proxy needs the registry's address and its certificate.
Both are handed to it as secrets, which are files that exist while a command runs and get into
no layer of the image. Folders of wheels on this machine are left out: a build cannot see them.
"""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

#: Where a build sees the secret that holds the certificates; the Dockerfiles say the same.
CERTIFICATES = "/run/secrets/certificates.pem"

#: What is passed on of pip's settings.
_PASSED_ON = (
    "index-url",
    "extra-index-url",
    "find-links",
    "trusted-host",
    "proxy",
    "timeout",
    "default-timeout",
    "retries",
)
_OF_ADDRESSES = {"index-url", "extra-index-url", "find-links"}
#: Sections that count for `pip install`, the stronger ones last.
_SECTIONS = ("global", "install", ":env:")
#: Where programs look for the certificates that they trust, in the order of our preference.
_CERTIFICATE_VARIABLES = ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")


def settings(listing: str) -> dict[str, str]:
    """Return what `pip config list` printed as one value for each setting that counts."""
    found: dict[str, dict[str, str]] = {section: {} for section in _SECTIONS}
    for line in listing.splitlines():
        key, separator, value = line.partition("=")
        section, _, name = key.rpartition(".")
        if separator and section in found:
            found[section][name] = str(ast.literal_eval(value))
    merged: dict[str, str] = {}
    for section in _SECTIONS:
        merged |= found[section]
    return merged


def pip_configuration(chosen: Mapping[str, str], *, certificates: bool) -> str:
    """Return a pip.conf for the build, out of this machine's settings."""
    lines = ["[global]"]
    for name in _PASSED_ON:
        values = chosen.get(name, "").split()
        if name in _OF_ADDRESSES:
            values = [value for value in values if value.startswith(("http://", "https://"))]
        if values:
            lines.append(f"{name} = {' '.join(values)}")
    if certificates:
        lines.append(f"cert = {CERTIFICATES}")
    return "\n".join(lines) + "\n"


def certificates(chosen: Mapping[str, str], environment: Mapping[str, str]) -> Path | None:
    """Return the file of certificates that pip trusts here, None where it is pip's own."""
    named = [chosen.get("cert"), *(environment.get(name) for name in _CERTIFICATE_VARIABLES)]
    return next((Path(name) for name in named if name and Path(name).is_file()), None)


def secrets(folder: Path) -> dict[str, Path]:
    """Write what the build needs into `folder`, and return the files by the secrets' names."""
    call = [sys.executable, "-m", "pip", "config", "list"]
    listing = subprocess.run(call, capture_output=True, text=True, check=False)  # noqa: S603 - this interpreter's own pip
    chosen = settings(listing.stdout)
    trusted = certificates(chosen, os.environ)
    configuration = folder / "pip.conf"
    # The address of a registry may have a password in it.
    configuration.touch(mode=0o600)
    configuration.write_text(pip_configuration(chosen, certificates=trusted is not None))
    return {"pip": configuration} | ({"certificates": trusted} if trusted else {})
