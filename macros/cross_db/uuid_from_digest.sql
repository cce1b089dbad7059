{% macro uuid_from_digest(digest) -%}
    {{ return(adapter.dispatch('uuid_from_digest', 'vector_runtime')(digest)) }}
{%- endmacro %}

{% macro default__uuid_from_digest(digest) -%}
    concat(
        substring({{ digest }}, 1, 8), '-', substring({{ digest }}, 9, 4), '-', substring({{ digest }}, 13, 4), '-',
        substring({{ digest }}, 17, 4), '-', substring({{ digest }}, 21, 12)
    )
{%- endmacro %}

{% macro spark__uuid_from_digest(digest) -%}
    {#- The digest once: what stands five times is planned five times. -#}
    regexp_replace({{ digest }}, '^(.{8})(.{4})(.{4})(.{4})(.{12}).*$', '$1-$2-$3-$4-$5')
{%- endmacro %}
