{% macro json_string(text) -%}
    {{ return(adapter.dispatch('json_string')(text)) }}
{%- endmacro %}

{% macro default__json_string(text) -%}
    cast(to_json(cast({{ text }} as varchar)) as varchar)
{%- endmacro %}

{% macro sqlserver__json_string(text) -%}
    {#- STRING_ESCAPE also escapes the slash, which needs none. -#}
    concat(
        N'"',
        replace(
            string_escape(cast({{ text }} as nvarchar(max)), 'json') collate Latin1_General_100_BIN2, N'\/', N'/'
        ),
        N'"'
    )
{%- endmacro %}
