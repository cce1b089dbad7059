{% macro json_without(column, key) -%}
    {{ return(adapter.dispatch('json_without', 'vector_runtime')(column, key)) }}
{%- endmacro %}

{% macro default__json_without(column, key) -%}
    {#- A merge patch (RFC 7396) makes an object of what is none, null included. -#}
    try(
        case
            when json_type({{ column }}) = 'OBJECT'
                then cast(json_merge_patch({{ column }}, '{"{{ key }}":null}') as varchar)
        end
    )
{%- endmacro %}

{% macro sqlserver__json_without(column, key) -%}
    {#- In the lax mode of a path, which is the default, null deletes the key. -#}
    json_modify(case when isjson({{ column }}) = 1 then {{ column }} end, '$.{{ key }}', null)
        collate Latin1_General_100_BIN2
{%- endmacro %}

{% macro spark__json_without(column, key) -%}
    {#- Of canonical JSON, without blanks, whose value under the key is a scalar. -#}
    {%- set value = '("([^"\\\\\\\\]|\\\\\\\\.)*"|[^",}]*)' -%}
    case
        when json_object_keys({{ column }}) is not null
            then regexp_replace(
                regexp_replace({{ column }}, ',?"{{ key }}":{{ value }}', ''), '^\\{,', '{'
            )
    end
{%- endmacro %}
