{% macro retention_days(key, days=none) -%}
    {%- set retention = var('retention', {}) or {} -%}
    {%- set known = ['retrieval_days', 'embedding_days'] -%}
    {%- if retention is not mapping -%}
        {% do exceptions.raise_compiler_error(
            "The variable retention is " ~ tojson(retention) ~ "; give keys and values, as {retrieval_days: 90}. Known are "
            ~ known | join(', ') ~ ".") %}
    {%- endif -%}
    {%- for name in retention if name not in known -%}
        {% do exceptions.raise_compiler_error(
            "The variable retention has the unknown key " ~ name ~ "; known are " ~ known | join(', ') ~ ".") %}
    {%- endfor -%}
    {%- set chosen = retention.get(key) if days is none else days -%}
    {%- if chosen is none -%}
        {% do exceptions.raise_compiler_error(
            "days is not said: give a whole number from 1 to 36500, as {days: 90}, or set " ~ key
            ~ " in the variable retention.") %}
    {%- endif -%}
    {{ return(chosen) }}
{%- endmacro %}
