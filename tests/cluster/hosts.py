"""Hosts of a network: namespaces of this machine with an address each, on a switch where each can be unplugged."""

import contextlib
import os
import shutil
import subprocess
from collections.abc import Iterator

from tests.cluster.programs import PATH

# For tests of networks (RFC 2544): nobody's own.
NETWORK = "198.18.0"


def find_ip() -> str | None:
    return shutil.which("ip", path=PATH)


def may_make_hosts() -> bool:
    """Whether this process has the right to: root outside of a container has."""
    tag = f"probe{os.getpid()}"
    if os.geteuid() != 0 or _ip("netns", "add", tag, check=False):
        return False
    return not _ip("netns", "delete", tag, check=False)


class Network:
    def __init__(self) -> None:
        self.here = f"{NETWORK}.1"
        """The address of this process on it."""
        self._tag = f"hosts{os.getpid()}"
        self._names: list[str] = []

    def host(self, name: str) -> str:
        """A new host; its address."""
        address = f"{NETWORK}.{10 + len(self._names)}"
        self._add(name)
        namespace = self._namespace(name)
        _ip("-n", namespace, "link", "set", "lo", "up")
        self._plug(name, "eth0", namespace)
        _ip("-n", namespace, "address", "add", f"{address}/24", "dev", "eth0")
        _ip("-n", namespace, "link", "set", "eth0", "up")
        return address

    def at(self, name: str) -> list[str]:
        """What to put before a command for it to run on that host."""
        return [find_ip() or "", "netns", "exec", self._namespace(name)]

    def unplug(self, name: str) -> None:
        """Its packets are lost, and those for it; no connection is told."""
        self._set_port(name, "down")

    def plug_in(self, name: str) -> None:
        self._set_port(name, "up")

    def open(self) -> None:
        self._add("switch")
        switch = self._namespace("switch")
        _ip("-n", switch, "link", "add", "name", "switch", "type", "bridge")
        _ip("-n", switch, "link", "set", "switch", "up")
        self._plug("here", self._tag, str(os.getpid()))
        _ip("address", "add", f"{self.here}/24", "dev", self._tag)
        _ip("link", "set", self._tag, "up")

    def close(self) -> None:
        for name in self._names:
            _ip("netns", "delete", self._namespace(name), check=False)

    def _add(self, name: str) -> None:
        self._names.append(name)
        _ip("netns", "add", self._namespace(name))

    def _namespace(self, name: str) -> str:
        return f"{self._tag}-{name}"

    def _plug(self, name: str, interface: str, namespace: str) -> None:
        cable = ("type", "veth", "peer", "name", interface, "netns", namespace)
        _ip("-n", self._namespace("switch"), "link", "add", "name", name, *cable)
        _ip("-n", self._namespace("switch"), "link", "set", "dev", name, "master", "switch")
        self._set_port(name, "up")

    def _set_port(self, name: str, state: str) -> None:
        _ip("-n", self._namespace("switch"), "link", "set", "dev", name, state)


@contextlib.contextmanager
def network() -> Iterator[Network]:
    """Gone when the block ends; the processes on its hosts must have ended before."""
    made = Network()
    try:
        made.open()
        yield made
    finally:
        made.close()


def _ip(*arguments: str, check: bool = True) -> int:
    command = [find_ip() or "ip", *arguments]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert done.returncode == 0 or not check, f"{' '.join(command)}: {done.stderr}"
    return done.returncode
