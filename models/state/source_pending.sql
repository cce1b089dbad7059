with

documents as (

    select * from {{ ref('vector_runtime', 'document') }}
    where
        method = 'extract'
        and content_error is null

),

registered_sources as (

    select * from {{ ref('vector_runtime', 'source_registry') }}
    where
        managed_by = 'dbt'
        and retired_utc is null

),

final as (

    select
        documents.source_id,
        documents.source_type,
        documents.policy_version,
        documents.content_sha256 as payload_sha256,
        case
            when registered_sources.extracted_sha256 is null then 'new'
            when registered_sources.extracted_sha256 = '' then 'title_changed'
            when registered_sources.extracted_sha256 <> documents.content_sha256 then 'payload_changed'
            else 'policy_changed'
        end as pending_reason
    from documents
    left join registered_sources
        on documents.source_id = registered_sources.source_id
    where
        registered_sources.extracted_sha256 is null
        or registered_sources.extracted_sha256 <> documents.content_sha256
        or registered_sources.policy_version <> documents.policy_version

)

select * from final
