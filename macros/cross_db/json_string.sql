{% macro json_string(text) -%}
    {{ return(adapter.dispatch('json_string', 'vector_runtime')(text)) }}
{%- endmacro %}

{% macro default__json_string(text) -%}
    {#-
        DuckDB writes the control characters that have no short escape with upper-case digits. So that only escapes are
        rewritten, a backslash of the text itself is a raw control character meanwhile, which no JSON string holds.
    -#}
    {%- set escaped = 'cast(to_json(cast(' ~ text ~ ' as varchar)) as varchar)' -%}
    {%- set lowered = namespace(sql="replace(" ~ escaped ~ ", '\\\\', chr(1))") -%}
    {%- for digits in ('000B', '000E', '000F', '001A', '001B', '001C', '001D', '001E', '001F') -%}
        {%- set lowered.sql = "replace(" ~ lowered.sql ~ ", '\\u" ~ digits ~ "', '\\u" ~ (digits | lower) ~ "')" -%}
    {%- endfor -%}
    case
        when regexp_matches({{ text }}, '[\x{0B}\x{0E}\x{0F}\x{1A}-\x{1F}]')
            then replace({{ lowered.sql }}, chr(1), '\\')
        else {{ escaped }}
    end
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

{% macro spark__json_string(text) -%}
    {#- TO_JSON takes no scalar. As in DuckDB's, control characters get lower-case digits, and a backslash of the text
        itself is a raw control character meanwhile. Named once in a lambda: what stands twice is planned twice. -#}
    {%- set lowered = namespace(sql="replace(escaped, '\\\\\\\\', '\\u0001')") -%}
    {%- for digits in ('000B', '000E', '000F', '001A', '001B', '001C', '001D', '001E', '001F') -%}
        {%- set lowered.sql = "replace(" ~ lowered.sql ~ ", '\\\\u" ~ digits ~ "', '\\\\u" ~ (digits | lower) ~ "')" -%}
    {%- endfor -%}
    transform(
        array(regexp_extract(to_json(array(cast({{ text }} as string))), '(?s)^\\[(.*)\\]\\z', 1)),
        escaped -> case
            when escaped = 'null' then null
            when escaped rlike '\\\\u00(0[BEF]|1[A-F])' then replace({{ lowered.sql }}, '\u0001', '\\\\')
            else escaped
        end)[0]
{%- endmacro %}
