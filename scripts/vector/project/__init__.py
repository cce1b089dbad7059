"""What dbt knows of the project: its profile and target, its variables, and where its relations are."""
