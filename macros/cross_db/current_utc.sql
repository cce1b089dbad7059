{% macro current_utc() -%}
    {{ return(adapter.dispatch('current_utc', 'vector_runtime')()) }}
{%- endmacro %}

{% macro default__current_utc() -%}
    make_timestamp(epoch_us(now()))
{%- endmacro %}

{% macro sqlserver__current_utc() -%}
    sysutcdatetime()
{%- endmacro %}

{% macro spark__current_utc() -%}
    cast(to_utc_timestamp(current_timestamp(), current_timezone()) as timestamp_ntz)
{%- endmacro %}
