{#-
    Columns that an engine adds to a ledger for itself, as a list of definitions. SQL Server stamps the rows of a
    ledger whose meta says `row_version: true`: the local copy of the vectors is kept right by it.
-#}
{% macro ledger_engine_columns() -%}
    {{ return(adapter.dispatch('ledger_engine_columns')()) }}
{%- endmacro %}

{% macro default__ledger_engine_columns() -%}
    {{ return([]) }}
{%- endmacro %}

{% macro sqlserver__ledger_engine_columns() -%}
    {{ return(['row_version rowversion not null'] if config.get('meta', {}).get('row_version') else []) }}
{%- endmacro %}
