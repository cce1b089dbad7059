{% macro sha256_hex(text) -%}
    {{ return(adapter.dispatch('sha256_hex', 'vector_runtime')(text)) }}
{%- endmacro %}

{% macro default__sha256_hex(text) -%}
    sha256({{ text }})
{%- endmacro %}

{% macro sqlserver__sha256_hex(text) -%}
    lower(convert(varchar(64), hashbytes('SHA2_256', {{ vector_runtime.utf8_text(text) }}), 2)) collate Latin1_General_100_BIN2
{%- endmacro %}

{% macro spark__sha256_hex(text) -%}
    sha2(cast({{ text }} as binary), 256)
{%- endmacro %}
