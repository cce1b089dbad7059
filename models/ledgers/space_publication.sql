{{ config(materialized='ledger', unique_key='publication_id') }}

{{ empty_ledger() }}
