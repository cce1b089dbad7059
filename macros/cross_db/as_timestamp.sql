{% macro as_timestamp(expression) -%}
    {{ return(adapter.dispatch('as_timestamp', 'vector_runtime')(expression)) }}
{%- endmacro %}

{% macro default__as_timestamp(expression) -%}
    case
        when {{ vector_runtime.utc_time(expression) }} between timestamp '0001-01-01' and timestamp '9999-12-31 23:59:59.999999'
            then {{ vector_runtime.utc_time(expression) }}
    end
{%- endmacro %}

{% macro sqlserver__as_timestamp(expression) -%}
    {{ vector_runtime.utc_time(expression) }}
{%- endmacro %}

{% macro spark__as_timestamp(expression) -%}
    {#- Named once in a lambda: what stands twice is planned twice, in each view above. -#}
    transform(
        array({{ vector_runtime.utc_time(expression) }}),
        moment -> case
            when moment between timestamp_ntz '0001-01-01 00:00:00' and timestamp_ntz '9999-12-31 23:59:59.999999' then moment
        end)[0]
{%- endmacro %}
