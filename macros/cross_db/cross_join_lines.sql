{% macro cross_join_lines(text, alias) -%}
    {{ return(adapter.dispatch('cross_join_lines', 'vector_runtime')(text, alias)) }}
{%- endmacro %}

{% macro default__cross_join_lines(text, alias) -%}
    cross join lateral (
        select
            generate_subscripts(string_split({{ text }}, chr(10)), 1) as n,
            unnest(string_split({{ text }}, chr(10))) as content
    ) as {{ alias }}
{%- endmacro %}

{% macro sqlserver__cross_join_lines(text, alias) -%}
    {#-
        STRING_SPLIT numbers its rows from SQL Server 2022 on only, so the text is made an array of JSON: as it is escaped,
        a backslash is written otherwise first, so that each \n that is left is a line feed.
    -#}
    cross apply (
        select
            cast([key] collate Latin1_General_100_BIN2 as int) as n,
            [value] collate Latin1_General_100_BIN2 as content
        from openjson(concat(
            N'["',
            replace(
                replace(
                    string_escape(cast({{ text }} as nvarchar(max)), 'json') collate Latin1_General_100_BIN2,
                    N'\\', N'\u005c'
                ),
                N'\n', N'","'
            ),
            N'"]'
        ))
    ) as {{ alias }}
{%- endmacro %}

{% macro spark__cross_join_lines(text, alias) -%}
    lateral view posexplode(split({{ text }}, '\n')) {{ alias }} as n, content
{%- endmacro %}
