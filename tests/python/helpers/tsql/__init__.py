"""The static gate of the SQL Server target: what can be known of T-SQL without a server."""
