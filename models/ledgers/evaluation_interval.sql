{{ config(materialized='ledger', unique_key='evaluation_interval_id') }}

{{ empty_ledger() }}
