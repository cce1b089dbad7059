{% macro ledger_type(data_type) -%}
    {{ return(adapter.dispatch('ledger_type', 'vector_runtime')(data_type)) }}
{%- endmacro %}

{% macro default__ledger_type(data_type) -%}
    {{ data_type }}
{%- endmacro %}

{% macro sqlserver__ledger_type(data_type) -%}
    {#-
        Text is compared by its code units, whatever the database's collation: two ids that differ in case are two ids.
        UUIDs, digests and vectors (JSON arrays of numbers) are ASCII.
    -#}
    {%- set collation = ' collate Latin1_General_100_BIN2' -%}
    {#- dbt translates some names of the yml by itself, and writes those in capitals: INT, BIT, DATETIME2(6). -#}
    {%- set data_type = data_type | lower -%}
    {%- if data_type in ('varchar(36)', 'varchar(64)') -%} {{ data_type ~ collation }}
    {%- elif data_type.startswith('varchar(') -%} {{ 'n' ~ data_type ~ collation }}
    {%- elif data_type == 'text' -%} {{ 'nvarchar(max)' ~ collation }}
    {%- elif data_type == 'float[]' -%} {{ 'varchar(max)' ~ collation }}
    {%- else -%} {{ {'double': 'float', 'boolean': 'bit', 'timestamp': 'datetime2(6)', 'integer': 'int'}.get(data_type, data_type) }}
    {%- endif -%}
{%- endmacro %}

{% macro spark__ledger_type(data_type) -%}
    {%- set data_type = data_type | lower -%}
    {%- if data_type == 'text' or 'char' in data_type -%} string
    {%- else -%} {{ {
        'timestamp': 'timestamp_ntz', 'integer': 'int', 'float[]': 'array<float>', 'double precision': 'double'
    }.get(data_type, data_type) }}
    {%- endif -%}
{%- endmacro %}
