with

inputs as (

    select * from {{ ref('vector_runtime', 'document_input') }}

),

erasures as (

    select * from {{ ref('vector_runtime', 'erasure') }}
    where
        kind = 'source'
        and lifted_utc is null

),

-- Policies of other methods are for what CHUNK_SOURCE is given.
chunk_policies as (

    select
        policy_version,
        source_type,
        chunk_size,
        overlap,
        max_chunks_per_source,
        coalesce(method, 'characters') as method
    from {{ ref('vector_runtime', 'chunk_policy_input') }}
    where
        {{ is_true('is_active') }}
        and coalesce(method, 'characters') in ('characters', 'paragraphs', 'extract')

),

-- A source that was erased stays out, whatever the tables say.
kept as (

    select * from inputs
    where not exists (
        select 1
        from erasures
        where erasures.subject_sha256 = {{ sha256_hex("concat(erasures.salt, ':', inputs.source_id)") }}
    )

),

normalised as (

    select
        {{ as_text('source_id', 400) }} as source_id,
        {{ as_text("coalesce(source_type, 'unknown')", 100) }} as source_type,
        coalesce(source_ref_json, concat('{"source_id":', {{ json_string('source_id') }}, '}')) as source_ref_json,
        title,
        {{ normalize_text('content') }} as content,
        tags_json,
        updated_utc as source_updated_utc,
        case
            when source_type is null then 'source_type is null'
            when source_ref_json is null then 'source_ref_json is null'
            when unfit_updated_utc is not null
                then concat('updated_utc is no time of the years 1 to 9999 in UTC: ', unfit_updated_utc)
        end as metadata_error
    from kept

),

-- A source type without a policy of its own takes the policy of '*'.
with_policy as (

    select
        normalised.*,
        coalesce(own_policy.policy_version, default_policy.policy_version) as policy_version,
        coalesce(own_policy.chunk_size, default_policy.chunk_size) as chunk_size,
        coalesce(own_policy.overlap, default_policy.overlap) as overlap,
        coalesce(own_policy.max_chunks_per_source, default_policy.max_chunks_per_source) as max_chunks_per_source,
        coalesce(own_policy.method, default_policy.method) as method
    from normalised
    left join chunk_policies as own_policy
        on normalised.source_type = own_policy.source_type
    left join chunk_policies as default_policy
        on default_policy.source_type = '*'

),

checked as (

    select
        *,
        {{ char_count('content') }} as char_count,
        case
            when content is null then 'content is null: the payload lacks the text or is not valid JSON'
            when content = '' and {{ char_count('content') }} = 0 then 'content is empty'
            when {{ contains_nul('content') }} then 'content holds the character U+0000'
            when {{ is_blank('content') }} then 'content is blank'
            when policy_version is null then 'no active chunk policy for this source type'
        end as content_error
    from with_policy

),

-- The last window is the first one that reaches the end of the text. A payload to extract from has none; of paragraphs,
-- only a cut text has a number.
counted as (

    select
        *,
        case when content is not null then {{ sha256_hex('content') }} end as content_sha256,
        'newline-1' as normalization_version,
        case
            when content_error is not null or method = 'extract' then 0
            when method = 'paragraphs' then null
            when char_count <= chunk_size then 1
            else {{ ceil_divide("(char_count - chunk_size)", "(chunk_size - overlap)") }} + 1
        end as window_count
    from checked

),

final as (

    select
        source_id,
        source_type,
        source_ref_json,
        title,
        content,
        content_sha256,
        char_count,
        tags_json,
        source_updated_utc,
        normalization_version,
        content_error,
        metadata_error,
        policy_version,
        chunk_size,
        overlap,
        max_chunks_per_source,
        method,
        cast(window_count as integer) as window_count,
        cast(case when window_count > max_chunks_per_source then max_chunks_per_source else window_count end as integer)
            as chunk_count,
        {{ document_fingerprint() }} as document_sha256
    from counted

)

select * from final
