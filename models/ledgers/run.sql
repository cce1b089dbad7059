{{ config(materialized='ledger', unique_key='run_id') }}

{{ empty_ledger() }}
