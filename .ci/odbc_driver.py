"""Prints the path of Microsoft's ODBC driver for Debian, which `pip install mssql-python-odbc` brings."""

from pathlib import Path

import mssql_python_odbc

libraries = Path(mssql_python_odbc.__file__).parent / "libs" / "linux" / "debian_ubuntu" / "x86_64" / "lib"
print(*sorted(libraries.glob("libmsodbcsql-18*")))
