{% macro json_text(column, path) -%}
    {{ return(adapter.dispatch('json_text', 'vector_runtime')(column, path)) }}
{%- endmacro %}

{% macro default__json_text(column, path) -%}
    try(case json_type({{ column }}, '{{ path }}')
        when 'VARCHAR' then json_extract_string({{ column }}, '{{ path }}')
        when 'OBJECT' then null
        when 'ARRAY' then null
        else case
            when regexp_matches({{ column }}, '-0|[0-9][.eE]')
                then json_extract_string({{ vector_runtime.json_with_raw_numbers(column) }}, '{{ path }}')
            else json_extract_string({{ column }}, '{{ path }}')
        end
    end)
{%- endmacro %}

{% macro sqlserver__json_text(column, path) -%}
    {#- OPENJSON gives a row for each element of an array: in an array of its own, any text gives one. -#}
    (
        select json_row.json_value collate Latin1_General_100_BIN2
        from openjson(case when isjson({{ column }}) = 1 then concat(N'[', {{ column }}, N']') end)
        with (json_value nvarchar(max) '{{ path }}') as json_row
    )
{%- endmacro %}

{% macro spark__json_text(column, path) -%}
    {#- By way of an array of one, read by a wildcard: so a text keeps its quotes, an object tells itself from a text, and
        all of the JSON is read. -#}
    {%- set found = "get_json_object(concat('[', " ~ column ~ ", ']'), '$[*]" ~ path[1:] ~ "')" -%}
    case
        when {{ found }} like '"%' then get_json_object({{ column }}, '{{ path }}')
        when left({{ found }}, 1) in ('{', '[') or {{ found }} = 'null' then null
        when {{ column }} rlike '-0|[0-9][.eE]'
            then get_json_object({{ vector_runtime.json_with_raw_numbers(column) }}, '{{ path }}')
        else {{ found }}
    end
{%- endmacro %}
