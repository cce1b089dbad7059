{% macro looks_like_sha256(column) -%}
    {{ return(adapter.dispatch('looks_like_sha256', 'vector_runtime')(column)) }}
{%- endmacro %}

{% macro default__looks_like_sha256(column) -%}
    regexp_full_match({{ column }}, '[0-9a-f]{64}')
{%- endmacro %}

{% macro sqlserver__looks_like_sha256(column) -%}
    (datalength(cast({{ column }} as varchar(100))) = 64
        and {{ column }} collate Latin1_General_100_BIN2 not like '%[^0-9a-f]%')
{%- endmacro %}

{% macro spark__looks_like_sha256(column) -%}
    (length({{ column }}) = 64 and {{ column }} rlike '^[0-9a-f]{64}')
{%- endmacro %}
