{% macro heading_ctes() %}
{%- set line_feed = vector_runtime.character(10) -%}
{%- set longest = 200 -%}
documents_with_headings as (

    select
        source_id,
        content
    from all_documents
    where
        content_error is null
        and (
            content like '#%'
            or content like '==%'
            or content like concat('%', {{ line_feed }}, '#%')
            or content like concat('%', {{ line_feed }}, '==%')
        )

),

source_lines as (

    select
        documents_with_headings.source_id,
        line.n as line_number,
        {{ vector_runtime.char_count('line.content') }} as line_length,
        case when line.content like '```%' then 1 else 0 end as is_fence,
        {{ vector_runtime.replace_text('line.content', vector_runtime.character(9), "' '") }} as line_text
    from documents_with_headings
    {{ vector_runtime.cross_join_lines('documents_with_headings.content', 'line') }}

),

placed_lines as (

    select
        *,
        sum(line_length + 1) over (partition by source_id order by line_number rows unbounded preceding)
        - line_length - 1 as line_start,
        sum(is_fence) over (partition by source_id order by line_number rows unbounded preceding) as fence_count
    from source_lines

),

line_levels as (

    select
        *,
        case
            {% for level in range(1, 7) -%}
            when line_text like '{{ '#' * level }} %' then {{ level }}
            {% endfor -%}
            {% for level in range(2, 7) -%}
            when
                line_text like '{{ '=' * level }}%'
                and line_text not like '{{ '=' * (level + 1) }}%'
                and {{ vector_runtime.trim_characters('line_text', ' ') }} like '%=='
                then {{ level }}
            {% endfor %}
        end as heading_level
    from placed_lines
    where
        is_fence = 0
        and {{ vector_runtime.floor_divide('fence_count', 2) }} * 2 = fence_count

),

heading_texts as (

    select
        source_id,
        line_start,
        heading_level,
        {{ vector_runtime.substring_chars(
            "case when line_text like '#%' then " ~ vector_runtime.trim_characters(vector_runtime.substring_chars(
                'line_text', 'heading_level', 'line_length'), ' ') ~ " else "
            ~ vector_runtime.trim_characters('line_text', '= ') ~ " end",
            '0', longest) }} as heading
    from line_levels
    where heading_level is not null

),

-- The last heading of each level so far, after its place: of two, the later one is the greater text.
last_headings as (

    select
        *,
        {% for level in range(1, 7) -%}
        max(
            case
                when heading_level = {{ level }}
                    then concat(right(concat('0000000000', line_start), 10), heading)
            end
        ) over (partition by source_id order by line_start rows unbounded preceding) as heading_{{ level }},
        {% endfor -%}
        lead(line_start) over (partition by source_id order by line_start) as section_end
    from heading_texts
    where not {{ vector_runtime.is_blank('heading') }}

),

sections as (

    select
        source_id,
        line_start as section_start,
        section_end,
        {% for level in range(1, 7) -%}
        case
            when
                heading_level >= {{ level }}
                {%- for above in range(1, level) %}
                and (heading_{{ above }} is null or heading_{{ above }} < heading_{{ level }})
                {%- endfor %}
                then heading_{{ level }}
        end as heading_{{ level }}{{ ',' if not loop.last }}
        {% endfor %}
    from last_headings

),

section_paths as (

    select
        source_id,
        section_start,
        section_end,
        concat(
            {%- for level in range(1, 7) %}
            case
                when heading_{{ level }} is not null
                    then concat(' > ', {{ vector_runtime.substring_chars('heading_' ~ level, '10', longest) }})
                else ''
            end{{ ',' if not loop.last }}
            {%- endfor %}
        ) as heading_path
    from sections

)
{% endmacro %}
