{% macro json_scalar_array(column, path) -%}
    {{ return(adapter.dispatch('json_scalar_array', 'vector_runtime')(column, path)) }}
{%- endmacro %}

{% macro default__json_scalar_array(column, path) -%}
    {%- set array = "json_extract(" ~ column ~ ", '" ~ path ~ "')" -%}
    concat(
        '[',
        (
            select
                string_agg(
                    case
                        when element.type = 'VARCHAR' then {{ vector_runtime.json_string("element.value ->> '$'") }}
                        when element.type = 'BOOLEAN' then element.value ->> '$'
                        else cast(try_cast(element.value ->> '$' as bigint) as varchar)
                    end,
                    ',' order by cast(element.key as bigint)
                )
            from json_each(
                case when json_valid({{ column }}) and json_type({{ array }}) = 'ARRAY' then {{ array }} end
            ) as element
            where element.type in ('VARCHAR', 'BOOLEAN', 'BIGINT', 'UBIGINT')
        ),
        ']'
    )
{%- endmacro %}

{% macro sqlserver__json_scalar_array(column, path) -%}
    {%- set array = "json_query(case when isjson(" ~ column ~ ") = 1 then " ~ column ~ " end, '" ~ path ~ "')" -%}
    {#- OPENJSON's types: 1 is a text, 2 a number, 3 a truth value. -#}
    concat(
        N'[',
        (
            select string_agg(element.content, N',') within group (order by element.position)
            from (
                select
                    cast([key] collate Latin1_General_100_BIN2 as int) as position,
                    case
                        when [type] = 1 then {{ vector_runtime.json_string('[value]') }}
                        when [type] = 3 then cast([value] as nvarchar(max)) collate Latin1_General_100_BIN2
                        when [value] not like N'%[^-0-9]%'
                            then cast(try_cast([value] as bigint) as nvarchar(max)) collate Latin1_General_100_BIN2
                    end as content
                from openjson(case when left({{ array }}, 1) = N'[' then {{ array }} end)
                where [type] in (1, 2, 3)
            ) as element
        ),
        N']'
    )
{%- endmacro %}

{% macro spark__json_scalar_array(column, path) -%}
    {%- set array = 'get_json_object(' ~ column ~ ", '" ~ path ~ "')" -%}
    {%- set scalars = vector_runtime.json_scalars('case when ' ~ array ~ " like '[%' then " ~ array ~ ' end') -%}
    concat(
        '[',
        coalesce(array_join(
            transform(
                filter(
                    {{ scalars }},
                    element -> element.content like '"%' or element.content in ('true', 'false')
                        or (element.content rlike '^-?[0-9]+\\z' and try_cast(element.content as bigint) is not null)),
                element -> case
                    when element.content like '"%'
                        then {{ vector_runtime.json_string("get_json_object(concat('[', element.content, ']'), '$[0]')") }}
                    when element.content in ('true', 'false') then element.content
                    else cast(try_cast(element.content as bigint) as string)
                end),
            ','), ''),
        ']')
{%- endmacro %}
