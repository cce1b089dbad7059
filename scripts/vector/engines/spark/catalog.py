"""The connection of a JDBC catalog, as Iceberg's leaves it: with a statement open from its start. SQLite takes that for
a transaction that still reads, and so keeps the connection at what it saw first: it sees no other driver's commits, and
cannot commit after one. A connection without such a statement is put in its place."""

from __future__ import annotations

import logging
from typing import Any

logger = logging.getLogger(__name__)

_JDBC = "org.apache.iceberg.jdbc.JdbcCatalog"


def renew_connections(session: Any, catalog: str) -> None:
    """Opens the connections of the session's catalog anew, if it is a JDBC one. A catalog that is built otherwise than
    is expected stays as it is, which a log line says."""
    try:
        found = session._jsparkSession.sessionState().catalogManager().catalog(catalog)
        inner = found.icebergCatalog() if hasattr(found, "icebergCatalog") else found
        if inner.getClass().getName() == _JDBC:
            _renew(session.sparkContext._gateway, inner)
    except Exception as error:
        first = next(iter(str(error).splitlines()), "")
        logger.warning("catalog %s: its connections are as Iceberg left them (%s)", catalog, first)


def _renew(gateway: Any, catalog: Any) -> None:
    pool = _field(catalog.getClass(), "connections").get(catalog)
    clients = _field(pool.getClass().getSuperclass(), "clients").get(pool)
    opening = pool.getClass().getDeclaredMethod("newClient", gateway.new_array(gateway.jvm.java.lang.Class, 0))
    opening.setAccessible(True)
    for _ in range(clients.size()):
        old = clients.removeFirst()
        clients.addLast(opening.invoke(pool, gateway.new_array(gateway.jvm.java.lang.Object, 0)))
        old.close()


def _field(kind: Any, name: str) -> Any:
    found = kind.getDeclaredField(name)
    found.setAccessible(True)
    return found
