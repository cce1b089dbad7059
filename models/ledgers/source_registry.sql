{{ config(materialized='ledger', unique_key='source_id') }}

{#- The whole count is read with `cut_all`; why only what changed is counted, docs/decisions/0022 says. -#}
{%- set document = ref('vector_runtime', 'document') -%}
{%- set document_registration = ref('vector_runtime', 'document_registration') -%}
{%- set changes_only = cuts_changes_only() -%}
{#- What CHUNK_SOURCE has extracted stays until it extracts anew. A source that was retired has lost its chunks. -#}
{#- Its chunks have the title in their context, so an edited one is reason enough. -#}
{%- set title_is_edited = is_distinct('registration.title', 'extracted.title', 'text') -%}
{%- set extraction_is_of_payload -%}
    extracted.extracted_sha256 = registration.content_sha256 and extracted.policy_version = registration.policy_version
    and not ({{ title_is_edited }})
{%- endset -%}
{%- set current -%}
(
    select
        registration.source_id,
        registration.source_type,
        registration.source_ref_json,
        registration.title,
        registration.content_sha256,
        case when extracted.source_id is null then registration.char_count else extracted.char_count end as char_count,
        case when extracted.source_id is null then registration.policy_version else extracted.policy_version end as policy_version,
        case when extracted.source_id is null then registration.chunk_count else extracted.chunk_count end as chunk_count,
        case when extracted.source_id is null then registration.chunk_capped_flag else extracted.chunk_capped_flag end as chunk_capped_flag,
        case when extracted.source_id is null then registration.blank_char_count else extracted.blank_char_count end as blank_char_count,
        registration.tags_json,
        {{ as_text(
            "case"
            ~ " when extracted.source_id is null or registration.status = 'error' then registration.status"
            ~ " when " ~ extraction_is_of_payload ~ " then"
            ~ " case when extracted.extraction_error is null then 'indexed' else 'error' end"
            ~ " when extracted.chunk_count > 0 then 'pending'"
            ~ " else 'registered' end") }} as status,
        coalesce(
            registration.error_message, case when {{ extraction_is_of_payload }} then extracted.extraction_error end
        ) as error_message,
        registration.managed_by,
        registration.source_updated_utc,
        registration.last_indexed_utc,
        case
            when extracted.extracted_sha256 = registration.content_sha256 and ({{ title_is_edited }}) then ''
            else extracted.extracted_sha256
        end as extracted_sha256,
        case when {{ extraction_is_of_payload }} then extracted.extraction_error end as extraction_error,
        registration.document_sha256
    from {{ 'registrations' if changes_only else document_registration }} as registration
    left join {{ this }} as extracted
        on
            registration.source_id = extracted.source_id
            and {{ is_true('registration.extract_flag') }}
            and extracted.extracted_sha256 is not null
            and extracted.managed_by = 'dbt'
            and extracted.retired_utc is null
)
{%- endset -%}
{%- set ctes -%}
with

{{ counted_document_ctes(document, this) }},

{{ registration_ctes(known=true) }}
{%- endset -%}

{{ ctes if changes_only }}
{{ ledger_changes(
    current=current,
    unique_key='source_id',
    columns=[
        'source_type', 'source_ref_json', 'title', 'content_sha256', 'char_count', 'policy_version', 'chunk_count',
        'chunk_capped_flag', 'blank_char_count', 'tags_json', 'status', 'error_message', 'managed_by', 'source_updated_utc',
        'last_indexed_utc', 'extracted_sha256', 'extraction_error', 'document_sha256'
    ],
    compare=[
        'source_type', 'source_ref_json', 'title', 'content_sha256', 'char_count', 'policy_version', 'chunk_count',
        'chunk_capped_flag', 'blank_char_count', 'tags_json', 'status', 'error_message', 'managed_by', 'source_updated_utc',
        'extracted_sha256', 'extraction_error', 'document_sha256'
    ]
) }}
