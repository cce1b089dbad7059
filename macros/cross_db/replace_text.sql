{% macro replace_text(text, old, new) -%}
    {{ return(adapter.dispatch('replace_text', 'vector_runtime')(text, old, new)) }}
{%- endmacro %}

{% macro default__replace_text(text, old, new) -%}
    replace({{ text }}, {{ old }}, {{ new }})
{%- endmacro %}

{% macro sqlserver__replace_text(text, old, new) -%}
    {#-
        A linguistic collation would also replace full-width and other look-alikes. Of a shorter type than max, REPLACE
        cuts what it returns at 4,000 characters.
    -#}
    replace(cast({{ text }} as nvarchar(max)) collate Latin1_General_100_BIN2, {{ old }}, {{ new }})
{%- endmacro %}
