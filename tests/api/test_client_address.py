"""The address and device of a client, behind trusted proxies."""

from ipaddress import ip_network

import pytest

from entrypoints.api.client import Proxies, read_origin

PROXIES = Proxies((ip_network("10.0.0.0/8"), ip_network("2001:db8:1::/48")))


def origin_of(remote: str, *forwarded: str, agent: str = "") -> tuple[str | None, str | None]:
    # As WSGI hands on several headers of one name.
    found = read_origin(remote, ",".join(forwarded), agent, PROXIES)
    return found.address, found.device


@pytest.mark.parametrize(
    ("remote", "forwarded", "address"),
    [
        ("203.0.113.7", [], "203.0.113.7"),
        ("203.0.113.7", ["198.51.100.1"], "203.0.113.7"),  # not through a proxy of ours: anybody can say that
        ("203.0.113.7", ["10.0.0.1"], "203.0.113.7"),
        ("10.0.0.1", [], "10.0.0.1"),
        ("10.0.0.1", ["198.51.100.1"], "198.51.100.1"),
        ("10.0.0.1", ["1.2.3.4, 198.51.100.1"], "198.51.100.1"),  # what the client wrote stands further left
        ("10.0.0.1", ["1.2.3.4, 198.51.100.1, 10.0.0.2"], "198.51.100.1"),
        ("10.0.0.1", ["1.2.3.4", "198.51.100.1"], "198.51.100.1"),
        ("10.0.0.1", ["10.0.0.3, 10.0.0.2"], "10.0.0.3"),
        ("10.0.0.1", ["garbage"], "10.0.0.1"),
        ("10.0.0.1", ["198.51.100.1, garbage"], "10.0.0.1"),
        ("10.0.0.1", ["198.51.100.1, , 10.0.0.2"], "10.0.0.2"),
        ("10.0.0.1", ["198.51.100.1:443"], "10.0.0.1"),
        ("10.0.0.1", [", ".join(["198.51.100.1"] * 5_000)], "198.51.100.1"),
        ("2001:db8:1::1", ["2001:db8:ffff:1:2:3:4:5"], "2001:db8:ffff:1::/64"),
        ("2001:db8:ffff:1::1", [], "2001:db8:ffff:1::/64"),
        ("2001:db8:ffff:1:ffff::", [], "2001:db8:ffff:1::/64"),
        ("::ffff:203.0.113.7", [], "203.0.113.7"),
        ("::ffff:10.0.0.1", ["198.51.100.1"], "198.51.100.1"),
        ("", ["198.51.100.1"], None),
        ("unix:", ["198.51.100.1"], None),
    ],
)
def test_an_address_is_what_our_own_proxies_say(remote: str, forwarded: list[str], address: str | None):
    assert origin_of(remote, *forwarded)[0] == address


@pytest.mark.parametrize(
    ("hops", "forwarded", "address"),
    [
        (1, "198.51.100.1", "198.51.100.1"),  # Render, Railway, Fly: the nearest proxy wrote the last entry
        (1, "1.2.3.4, 198.51.100.1", "198.51.100.1"),  # what the client wrote stands further left
        (1, "1.2.3.4,5.6.7.8,198.51.100.1", "198.51.100.1"),
        (2, "1.2.3.4, 198.51.100.1, 172.16.0.9", "198.51.100.1"),  # a CDN before the platform
        (2, "198.51.100.1, 172.16.0.9", "198.51.100.1"),
        (2, "1.2.3.4", "203.0.113.7"),  # not by way of both: nothing of it need be true
        (1, "", "203.0.113.7"),
        (1, "1.2.3.4, garbage", "203.0.113.7"),
        (1, "1.2.3.4, ", "203.0.113.7"),
        (1, "2001:db8:ffff:1::1", "2001:db8:ffff:1::/64"),
    ],
)
def test_with_a_number_of_hops_the_address_is_what_the_farthest_of_them_saw(hops: int, forwarded: str, address: str):
    assert read_origin("203.0.113.7", forwarded, "", Proxies(hops=hops)).address == address


def test_a_device_is_what_can_be_printed():
    assert origin_of("203.0.113.7")[1] is None
    assert origin_of("203.0.113.7", agent="A phone/1.0")[1] == "A phone/1.0"
    assert origin_of("203.0.113.7", agent="x" * 1_000)[1] == "x" * 200
