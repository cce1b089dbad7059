{#-
    How an engine is to store a column whose `config.meta.compression` is `uncompressed`. Digests and vectors are noise:
    what DuckDB saves on them by compression, a half and a tenth, every search pays for by unpacking all of them.
-#}
{% macro ledger_compression(column) -%}
    {{ return(adapter.dispatch('ledger_compression')(column)) }}
{%- endmacro %}

{% macro default__ledger_compression(column) -%}
    {%- set compression = column.get('config', {}).get('meta', {}).get('compression') -%}
    {{ return(' using compression ' ~ compression if compression else '') }}
{%- endmacro %}

{% macro sqlserver__ledger_compression(column) -%}
    {{ return('') }}
{%- endmacro %}
