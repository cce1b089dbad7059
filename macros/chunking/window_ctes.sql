{% macro window_ctes() %}
{#- A substring by code point reads its text from the start, so a long text is split in two steps before it is cut. -#}
{%- set windows_per_block = 16 -%}
{%- set windows_per_segment = 256 -%}
segments as (

    select
        documents.*,
        segment.n as segment_index,
        {{ vector_runtime.substring_chars(
            'documents.content',
            'segment.n * ' ~ windows_per_segment ~ ' * documents.step',
            (windows_per_segment - 1) ~ ' * documents.step + documents.chunk_size') }} as segment_text
    from documents
    {{ vector_runtime.cross_join_series(
        vector_runtime.ceil_divide('documents.chunk_count', windows_per_segment), 'segment') }}

),

segment_sizes as (

    select
        *,
        case
            when chunk_count - segment_index * {{ windows_per_segment }} < {{ windows_per_segment }}
                then chunk_count - segment_index * {{ windows_per_segment }}
            else {{ windows_per_segment }}
        end as segment_window_count
    from segments

),

blocks as (

    select
        segment_sizes.*,
        block.n as block_index,
        {{ vector_runtime.substring_chars(
            'segment_sizes.segment_text',
            'block.n * ' ~ windows_per_block ~ ' * segment_sizes.step',
            (windows_per_block - 1) ~ ' * segment_sizes.step + segment_sizes.chunk_size') }} as block_text
    from segment_sizes
    {{ vector_runtime.cross_join_series(
        vector_runtime.ceil_divide('segment_sizes.segment_window_count', windows_per_block), 'block') }}

),

block_sizes as (

    select
        *,
        case
            when segment_window_count - block_index * {{ windows_per_block }} < {{ windows_per_block }}
                then segment_window_count - block_index * {{ windows_per_block }}
            else {{ windows_per_block }}
        end as block_window_count
    from blocks

),

window_texts as (

    select
        block_sizes.source_id,
        block_sizes.source_type,
        block_sizes.source_ref_json,
        block_sizes.title,
        block_sizes.document_sha256,
        block_sizes.policy_version,
        block_sizes.chunk_size,
        block_sizes.overlap,
        block_sizes.max_chunks_per_source,
        block_sizes.step,
        block_sizes.window_count,
        block_sizes.segment_index * {{ windows_per_segment }} + block_sizes.block_index * {{ windows_per_block }}
        + block_window.n as chunk_index,
        {{ vector_runtime.substring_chars(
            'block_sizes.block_text', 'block_window.n * block_sizes.step', 'block_sizes.chunk_size') }}
            as window_text
    from block_sizes
    {{ vector_runtime.cross_join_series('block_sizes.block_window_count', 'block_window') }}

),

measured as (

    select
        *,
        {{ vector_runtime.char_count('window_text') }} as window_length,
        {{ vector_runtime.last_space_offset('window_text') }} as last_space_offset
    from window_texts

),

-- A window that does not reach the end is cut at its last space, where that leaves no gap before the next window.
cut as (

    select
        *,
        case
            when chunk_index < window_count - 1 and last_space_offset >= step then last_space_offset
            else window_length
        end as chunk_length
    from measured

),

windows as (

    select
        *,
        chunk_index * step as start_offset,
        chunk_index * step + chunk_length as end_offset,
        case
            when chunk_length = window_length then window_text
            else {{ vector_runtime.substring_chars('window_text', '0', 'chunk_length') }}
        end as content
    from cut

)
{% endmacro %}
