{#- The texts of a group, one after another in an order, with a separator between them. -#}
{% macro joined_text(text, separator, order_by) -%}
    {{ return(adapter.dispatch('joined_text')(text, separator, order_by)) }}
{%- endmacro %}

{% macro default__joined_text(text, separator, order_by) -%}
    string_agg({{ text }}, '{{ separator }}' order by {{ order_by }})
{%- endmacro %}

{% macro sqlserver__joined_text(text, separator, order_by) -%}
    string_agg({{ text }}, N'{{ separator }}') within group (order by {{ order_by }})
{%- endmacro %}
