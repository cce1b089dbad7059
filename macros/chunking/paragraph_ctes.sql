{% macro paragraph_ctes() %}
{#- In stretches: how much of a text each level takes, whose pieces the next one cuts. -#}
{%- set levels = [4096, 256, 16] -%}
{%- set kept = [
    'source_id', 'source_type', 'source_ref_json', 'title', 'document_sha256', 'policy_version', 'char_count', 'chunk_size',
    'overlap', 'max_chunks_per_source', 'stretch', 'reach', 'longest_step'
] -%}
paragraph_sizes as (

    select
        *,
        {{ vector_runtime.ceil_divide('chunk_size', 2) }} as stretch,
        {{ vector_runtime.floor_divide('chunk_size', 4) }} as reach,
        chunk_size - {{ vector_runtime.floor_divide('chunk_size', 4) }} - overlap as longest_step
    from paragraph_documents

),
{% for level in levels %}
{%- set parent = 'paragraph_sizes' if loop.first else 'pieces_of_' ~ loop.previtem %}
{%- set parent_start = '0' if loop.first else parent ~ '.piece_start' %}
{%- set parent_text = parent ~ ('.content' if loop.first else '.piece_text') %}
{%- set rest = '(' ~ parent ~ '.char_count - ' ~ parent_start ~ ')' %}
pieces_of_{{ level }} as (

    select
        {% for column in kept -%} {{ parent }}.{{ column }}, {% endfor %}
        {{ parent_start }} + piece.n * {{ level }} * {{ parent }}.stretch as piece_start,
        case
            when {{ rest }} <= {{ level }} * {{ parent }}.stretch then {{ parent_text }}
            else {{ vector_runtime.substring_chars(
                parent_text,
                'piece.n * ' ~ level ~ ' * ' ~ parent ~ '.stretch',
                level ~ ' * ' ~ parent ~ '.stretch + ' ~ parent ~ '.chunk_size') }}
        end as piece_text
    from {{ parent }}
    {{ vector_runtime.cross_join_series(
        vector_runtime.ceil_divide(
            rest if loop.first else
            'case when ' ~ rest ~ ' < ' ~ loop.previtem ~ ' * ' ~ parent ~ '.stretch then ' ~ rest ~ ' else '
            ~ loop.previtem ~ ' * ' ~ parent ~ '.stretch end',
            '(' ~ level ~ ' * ' ~ parent ~ '.stretch)'),
        'piece') }}

),
{% endfor %}
{%- set blocks = 'pieces_of_' ~ levels[-1] %}
-- The first line start of each stretch. Most texts have few lines, and a block without one need not be cut.
stretches as (

    select
        {% for column in kept -%} {{ blocks }}.{{ column }}, {% endfor %}
        {{ blocks }}.piece_start + stretch_number.n * {{ blocks }}.stretch as stretch_start,
        {{ vector_runtime.substring_chars(
            blocks ~ '.piece_text',
            'stretch_number.n * ' ~ blocks ~ '.stretch',
            blocks ~ '.stretch + 1') }} as stretch_text
    from {{ blocks }}
    {{ vector_runtime.cross_join_series(levels[-1], 'stretch_number') }}
    where {{ vector_runtime.line_start_offset(blocks ~ '.piece_text') }} is not null

),

line_starts as (

    select
        *,
        stretch_start + {{ vector_runtime.line_start_offset('stretch_text') }} as group_start
    from stretches

),

group_starts as (

    select
        {{ kept | join(', ') }},
        0 as group_start
    from paragraph_sizes
    union all
    select
        {{ kept | join(', ') }},
        group_start
    from line_starts
    where
        group_start is not null
        and stretch_start > 0

),

line_groups as (

    select
        *,
        coalesce(lead(group_start) over (partition by source_id order by group_start), char_count) as group_end
    from group_starts

),

group_sizes as (

    select
        *,
        group_end - group_start as group_length,
        case
            when group_end - group_start <= chunk_size then 1
            else {{ vector_runtime.ceil_divide('(group_end - group_start)', 'longest_step') }}
        end as group_window_count
    from line_groups

),

numbered_groups as (

    select
        *,
        sum(group_window_count) over (
            partition by source_id
            order by group_start
            rows unbounded preceding
        ) - group_window_count as first_chunk_index,
        sum(group_window_count) over (partition by source_id) as window_count
    from group_sizes

),

-- Where each window is looked for: its own start, and that of the next one.
planned as (

    select
        numbered_groups.*,
        group_window.n as window_number,
        numbered_groups.first_chunk_index + group_window.n as chunk_index,
        numbered_groups.group_start + {{ vector_runtime.floor_divide(
            'cast(group_window.n as bigint) * numbered_groups.group_length', 'numbered_groups.group_window_count') }}
            - case when group_window.n = 0 then 0 else numbered_groups.overlap end as planned_start,
        numbered_groups.group_start + {{ vector_runtime.floor_divide(
            'cast(group_window.n + 1 as bigint) * numbered_groups.group_length', 'numbered_groups.group_window_count') }}
            as planned_end
    from numbered_groups
    {{ vector_runtime.cross_join_series('numbered_groups.group_window_count', 'group_window') }}

),

placed_windows as (

    select
        {{ kept | join(', ') }},
        window_count,
        chunk_index,
        window_number,
        group_window_count,
        case when planned_start < group_start then group_start else planned_start end as window_start,
        planned_end,
        case
            when planned_end + reach < group_end and window_number < group_window_count - 1 then planned_end + reach
            else group_end
        end as window_limit,
        {{ vector_runtime.floor_divide(
            'case when planned_start < group_start then group_start else planned_start end',
            levels[-1] ~ ' * stretch') }} as block_index
    from planned
    where chunk_index < max_chunks_per_source

),

window_texts_of_paragraphs as (

    select
        placed_windows.*,
        case
            when placed_windows.window_limit - placed_windows.window_start = placed_windows.char_count
                then blocks.piece_text
            else {{ vector_runtime.substring_chars(
                'blocks.piece_text',
                'placed_windows.window_start - blocks.piece_start',
                'placed_windows.window_limit - placed_windows.window_start') }}
        end as window_text
    from placed_windows
    inner join {{ blocks }} as blocks
        on
            placed_windows.source_id = blocks.source_id
            and placed_windows.block_index * {{ levels[-1] }} * placed_windows.stretch = blocks.piece_start

),

-- What is looked at for a cut; null where the window starts or ends with its group.
reaches as (

    select
        *,
        case when window_number > 0 then {{ vector_runtime.substring_chars('window_text', '0', 'reach') }} end
            as start_reach,
        case
            when window_number < group_window_count - 1
                then {{ vector_runtime.substring_chars('window_text', '(planned_end - window_start)', 'reach') }}
        end as end_reach
    from window_texts_of_paragraphs

),

marks as (

    select
        *,
        {% for side in ('start', 'end') -%}
        case
            when {{ side }}_reach is not null
                then coalesce(
                    {{ vector_runtime.sentence_end_offset(side ~ '_reach') }},
                    {{ vector_runtime.space_offset(side ~ '_reach') }},
                    0
                )
        end as {{ side }}_mark{{ ',' if not loop.last }}
        {% endfor %}
    from reaches

),

after_marks as (

    select
        *,
        {{ vector_runtime.substring_chars('start_reach', 'start_mark', 'reach') }} as after_start_mark,
        {{ vector_runtime.substring_chars('end_reach', 'end_mark', 'reach') }} as after_end_mark
    from marks

),

paragraph_cuts as (

    select
        *,
        window_start
        + coalesce(start_mark + {{ vector_runtime.leading_space_count('after_start_mark') }}, 0) as start_offset,
        coalesce(planned_end + end_mark + {{ vector_runtime.leading_space_count('after_end_mark') }}, window_limit)
            as end_offset
    from after_marks

),

paragraph_windows as (

    select
        *,
        case
            when start_offset = window_start and end_offset = window_limit then window_text
            else {{ vector_runtime.substring_chars(
                'window_text', '(start_offset - window_start)', 'end_offset - start_offset') }}
        end as content
    from paragraph_cuts

)
{% endmacro %}
