{#- A flat JSON object as readable text, its keys in order: `launch year: 1977; operator: NASA`. Null where it is none. -#}
{% macro json_attributes_text(column) -%}
    {{ return(adapter.dispatch('json_attributes_text')(column)) }}
{%- endmacro %}

{% macro default__json_attributes_text(column) -%}
    (
        select string_agg(concat(replace(attribute.key, '_', ' '), ': ', attribute.value ->> '$'), '; ' order by attribute.key)
        from json_each(case when json_valid({{ column }}) then {{ column }} end) as attribute
    )
{%- endmacro %}

{% macro sqlserver__json_attributes_text(column) -%}
    (
        select
            string_agg(cast(concat(replace([key], N'_', N' '), N': ', [value]) as nvarchar(max)), N'; ')
                within group (order by [key] collate Latin1_General_100_BIN2)
        from openjson(case when isjson({{ column }}) = 1 then {{ column }} end)
    )
{%- endmacro %}
