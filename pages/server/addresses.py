"""Internet addresses of visitors, for the limits of a demo: a script can drop its cookie, but not its address."""

import ipaddress
from collections.abc import Mapping

from starlette.datastructures import MutableHeaders
from starlette.requests import HTTPConnection

from pages.server.limits import demo_limits, owner_mark

ADDRESS_HEADER = "x-vit-address"
"""Header of this server's own, by which a page learns the mark of an address; one that a browser sends is removed."""
PROXIED = "behind a proxy"
"""In place of the address of visitors whose proxy is not configured."""


def address_mark(connection: HTTPConnection) -> str:
    """Return a hash of the address that a request comes from; empty if it is unknown."""
    limits = demo_limits()
    address = visitor_address(connection, limits.address_header if limits else "")
    return owner_mark("address", address) if address else ""


def mark_of_page(headers: Mapping[str, str]) -> str:
    """Return the mark of the address that a page was opened from; empty if it is unknown."""
    return headers.get(ADDRESS_HEADER) or ""


def pass_on(connection: HTTPConnection) -> None:
    """Write the mark of the address into the headers of a request, where the page finds it."""
    mark = address_mark(connection)
    headers = MutableHeaders(scope=connection.scope)
    del headers[ADDRESS_HEADER]
    headers[ADDRESS_HEADER] = mark


def visitor_address(connection: HTTPConnection, header: str) -> str:
    """Return the address of a visitor; an IPv6 address without its last 64 bits, which belong to one household.

    Args:
        connection: the request.
        header: name of the header in which the operator's proxy writes the address of its visitor; of several
            addresses, the last one, which the proxy has added. Without it, the address of the connection counts.
    """
    if header:
        told = ", ".join(connection.headers.getlist(header)).rpartition(",")[2].strip()
        return _network(told) or PROXIED
    host = connection.client.host if connection.client else ""
    # uvicorn takes this header from every program on this machine, not only from a proxy.
    if host and host in ", ".join(connection.headers.getlist("x-forwarded-for")):
        return PROXIED
    return _network(host)


def _network(text: str) -> str:
    try:
        address = ipaddress.ip_address(text.strip("[]").partition("%")[0])
    except ValueError:
        return ""
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped is None:
            return str(ipaddress.ip_network((address, 64), strict=False))
        address = address.ipv4_mapped
    return str(address)
