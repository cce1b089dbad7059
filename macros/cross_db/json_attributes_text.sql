{% macro json_attributes_text(column) -%}
    {{ return(adapter.dispatch('json_attributes_text', 'vector_runtime')(column)) }}
{%- endmacro %}

{% macro default__json_attributes_text(column) -%}
    (
        select string_agg(concat(replace(attribute.key, '_', ' '), ': ', attribute.value ->> '$'), '; ' order by attribute.key)
        from json_each(
            case
                when not json_valid({{ column }}) then null
                when json_type({{ column }}) not in ('OBJECT', 'ARRAY') then null
                when regexp_matches({{ column }}, '-0|[0-9][.eE]') then {{ vector_runtime.json_with_raw_numbers(column) }}
                else {{ column }}
            end
        ) as attribute
        where attribute.type not in ('OBJECT', 'ARRAY')
    )
{%- endmacro %}

{% macro sqlserver__json_attributes_text(column) -%}
    {#- OPENJSON's key has a collation of its own, another than its value's. Types 4 and 5 are arrays and objects. -#}
    (
        select
            string_agg(concat(replace(attribute.name, N'_', N' '), N': ', attribute.content), N'; ')
                within group (order by attribute.name)
        from (
            select
                [key] collate Latin1_General_100_BIN2 as name,
                cast([value] as nvarchar(max)) collate Latin1_General_100_BIN2 as content
            from openjson(case when isjson({{ column }}) = 1 then {{ column }} end)
            where [type] < 4
        ) as attribute
    )
{%- endmacro %}

{% macro spark__json_attributes_text(column) -%}
    nullif(
        array_join(
            transform(
                array_sort({{ vector_runtime.json_scalars(
                    'case when get_json_object(' ~ column ~ ", '$') is not null then " ~ column ~ ' end') }}),
                attribute -> concat(
                    replace(attribute.name, '_', ' '), ': ',
                    case
                        when attribute.content like '"%' then get_json_object(concat('[', attribute.content, ']'), '$[0]')
                        when attribute.content = 'null' then ''
                        else attribute.content
                    end)),
            '; '),
        '')
{%- endmacro %}
