{% macro json_with_raw_numbers(column) -%}
    {{ return(adapter.dispatch('json_with_raw_numbers', 'vector_runtime')(column)) }}
{%- endmacro %}

{% macro default__json_with_raw_numbers(column) -%}
    {%- set tokens = '(?s)"(?:[^"\\\\]|\\\\.)*"|-?[0-9][0-9.eE+-]*|.' -%}
    array_to_string(list_transform(
        regexp_extract_all({{ column }}, '{{ tokens }}'),
        lambda token: case when token[1] = '-' or token[1] between '0' and '9' then concat('"', token, '"') else token end
    ), '')
{%- endmacro %}

{% macro spark__json_with_raw_numbers(column) -%}
    {%- set tokens = '(?s)"(?:[^"\\\\\\\\]++|\\\\\\\\.)*+"|-?[0-9][0-9.eE+-]*|.' -%}
    array_join(transform(
        regexp_extract_all({{ column }}, '{{ tokens }}', 0),
        token -> case when left(token, 1) = '-' or left(token, 1) between '0' and '9' then concat('"', token, '"') else token end
    ), '')
{%- endmacro %}
