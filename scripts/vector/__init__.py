"""The vector runtime: chunks, embeddings and audited search over the schema that dbt declares."""

__version__ = "0.1.0"
