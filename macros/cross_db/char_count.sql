{% macro char_count(text) -%}
    {{ return(adapter.dispatch('char_count', 'vector_runtime')(text)) }}
{%- endmacro %}

{% macro default__char_count(text) -%}
    length({{ text }})
{%- endmacro %}

{% macro sqlserver__char_count(text) -%}
    {#-
        LEN drops trailing blanks, so a sentinel is appended: by +, since the length of null is null, and to the longest
        type, since a full nvarchar(4000) would lose it. Only a supplementary-character collation counts code points.
    -#}
    (len((cast({{ text }} as nvarchar(max)) + N'.') collate Latin1_General_100_CI_AS_SC) - 1)
{%- endmacro %}
