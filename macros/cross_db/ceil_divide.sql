{% macro ceil_divide(numerator, denominator) -%}
    {{ return(adapter.dispatch('ceil_divide', 'vector_runtime')(numerator, denominator)) }}
{%- endmacro %}

{% macro default__ceil_divide(numerator, denominator) -%}
    (({{ numerator }} + {{ denominator }} - 1) // {{ denominator }})
{%- endmacro %}

{% macro sqlserver__ceil_divide(numerator, denominator) -%}
    (({{ numerator }} + {{ denominator }} - 1) / {{ denominator }})
{%- endmacro %}

{% macro spark__ceil_divide(numerator, denominator) -%}
    (({{ numerator }} + {{ denominator }} - 1) div {{ denominator }})
{%- endmacro %}
