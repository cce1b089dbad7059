{{ config(materialized='ledger', unique_key='embedding_id') }}

{{ empty_ledger() }}
