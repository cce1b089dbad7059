{% macro seed_type(data_type) -%}
    {{ return(adapter.dispatch('seed_type', 'vector_runtime')(data_type | lower)) }}
{%- endmacro %}

{% macro default__seed_type(data_type) -%}
    {%- if 'char' in data_type or data_type in ('text', 'string') -%} {{ return('varchar') }} {%- endif -%}
    {{ return({'int': 'integer', 'double precision': 'double', 'float8': 'double', 'bool': 'boolean',
        'datetime': 'timestamp'}.get(data_type, data_type)) }}
{%- endmacro %}

{% macro sqlserver__seed_type(data_type) -%}
    {%- if data_type.startswith('varchar') -%} {{ return('nvarchar(max)') }} {%- endif -%}
    {{ return({'integer': 'int', 'double precision': 'float', 'boolean': 'bit'}.get(data_type, data_type)) }}
{%- endmacro %}
