{{ config(materialized='ledger', unique_key='chunk_id') }}

{#- The whole cut is read with `cut_all`; why only what changed is cut, docs/decisions/0022 says. -#}
{%- set document = ref('vector_runtime', 'document') -%}
{%- set chunk_window = ref('vector_runtime', 'chunk_window') -%}
{%- set source_registry = ref('vector_runtime', 'source_registry') -%}
{%- set changes_only = cuts_changes_only() -%}
{%- set ledger = 'ledger_rows' if changes_only else this -%}
{%- set columns = [
    'source_id', 'source_type', 'source_ref_json', 'offsets_json', 'content', 'context', 'content_sha256',
    'byte_count', 'policy_json', 'managed_by', 'document_sha256'
] -%}
{%- set extracted_columns = [] -%}
{%- for column in columns -%}
    {%- set of = 'source_registry' if column in ('source_type', 'source_ref_json') else 'extracted' -%}
    {%- do extracted_columns.append(of ~ '.' ~ column) -%}
{%- endfor -%}
{#- What CHUNK_SOURCE has cut of a payload stays as long as the registry has the extraction. -#}
{%- set current -%}
(
    select
        chunk_id,
        {{ columns | join(',\n        ') }}
    from {{ 'chunk_windows' if changes_only else chunk_window }}
    union all
    select
        extracted.chunk_id,
        {{ extracted_columns | join(',\n        ') }}
    from {{ ledger }} as extracted
    inner join {{ source_registry }} as source_registry
        on extracted.source_id = source_registry.source_id
    where
        extracted.managed_by = 'dbt'
        and extracted.retired_utc is null
        and source_registry.extracted_sha256 is not null
        and source_registry.managed_by = 'dbt'
        and source_registry.retired_utc is null
)
{%- endset -%}
{%- set ctes -%}
with

{{ changed_document_ctes(document, this, source_registry) }},

{{ chunk_window_ctes() }}
{%- endset -%}

{{ ctes if changes_only }}
{{ ledger_changes(
    current=current,
    unique_key='chunk_id',
    columns=columns,
    compare=[
        'source_type', 'source_ref_json', 'context', 'content_sha256', 'policy_json', 'managed_by', 'document_sha256'
    ],
    ledger=ledger
) }}
