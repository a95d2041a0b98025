from __future__ import annotations

import pytest

from scripts.embedded_engine import Machine, choose

pytestmark = pytest.mark.unit


@pytest.mark.parametrize(
    ("machine", "engine"),
    [
        (Machine(system="Linux", processor="x86_64", libc=("glibc", "2.36")), "moonshine"),
        (Machine(system="Linux", processor="x86_64", libc=("glibc", "2.34")), "moonshine"),
        (Machine(system="Linux", processor="x86_64", libc=("glibc", "2.31")), "pocketsphinx"),
        (Machine(system="Linux", processor="aarch64", libc=("glibc", "2.31")), "moonshine"),
        (Machine(system="Linux", processor="x86_64"), "pocketsphinx"),  # musl
        (Machine(system="Linux", processor="riscv64", libc=("glibc", "2.40")), "pocketsphinx"),
        (Machine(system="Darwin", processor="arm64", macos="15.3"), "moonshine"),
        (Machine(system="Darwin", processor="arm64", macos="14.7.1"), "pocketsphinx"),
        (Machine(system="Darwin", processor="x86_64", macos="15.0"), "pocketsphinx"),
    ],
)
def test_the_engine_is_one_that_the_machine_can_install(machine: Machine, engine: str) -> None:
    assert choose(machine) == engine
